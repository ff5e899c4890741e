"""The log of a store: the changes that people made there, by whom, when and why.

releases/_changes/TIME-RANDOM    {time, by, why, action, subjects, what, sha256, until}
releases/_policy                 {why, tests}: if `required`, changes of persons need a reason, documents need tests

A store keeps the versions of a document, at best, but not their time and author. So every command that writes to a
store writes an entry as well: of documents in the same transaction, where the store has transactions. The log is below
releases/, where machines can read and not write. An entry is the claim of its writer; it is not signed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from ordain.agent.delivery.database.database import ANY, Database, StoredEntry, Write
from ordain.agent.delivery.release.publish_lock import INTERNAL
from ordain.agent.errors import Failure
from ordain.agent.instruction import check_why
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json

CHANGES = f"{INTERNAL}changes/"
POLICY = f"{INTERNAL}policy"
REQUIRED = "required"
"""The policy under which every change needs a reason."""
KEPT = 5000
"""The entries that `prune` keeps."""


class ChangeAction(StrEnum):
    """The kinds of changes in a store."""

    PUT = "put"
    DELETE = "delete"
    PUBLISH = "publish"
    PROMOTE = "promote"
    ROLLOUT = "rollout"
    HOLD = "hold"
    FOLLOW = "follow"
    POLICY = "policy"
    ENROLL = "enroll"
    REVOKE = "revoke"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChange:
    """A change: of documents (``layer/web``), a release (``stable 4``), or the machines of a hold.

    ``time`` is ISO 8601, UTC, by the clock of the writer. ``what`` describes the change. ``sha256`` has the hash of
    each document after it; a deleted one has none. ``removed`` are the keys and versions of a deleted one, under which
    the store may still have its text. ``until`` is the end of a hold.
    """

    time: str
    action: ChangeAction
    subjects: tuple[str, ...]
    by: str = ""
    why: str = ""
    what: str = ""
    until: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The person who changes a store, and the reason."""

    by: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLog:
    """The changes of a store, oldest first; ``unreadable`` are the keys of entries that cannot be read."""

    changes: tuple[StoreChange, ...]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePolicy:
    """The rules of a store for people: whether changes need a reason, and documents tests that they pass.

    ``required`` or ``optional``.
    """

    why: str = "optional"
    tests: str = "optional"

    @property
    def requires_why(self) -> bool:
        """Return whether every change needs a reason."""
        return self.why == REQUIRED

    @property
    def requires_tests(self) -> bool:
        """Return whether documents must pass tests before they are written."""
        return self.tests == "required"


def new_change(
    action: ChangeAction,
    subjects: Iterable[str],
    author: Author,
    *,
    what: str = "",
    until: str = "",
    texts: Mapping[str, bytes] | None = None,
) -> StoreChange:
    """Return the entry of a change that ``author`` makes now; ``texts`` are the documents after it."""
    return StoreChange(
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        action=action,
        subjects=tuple(subjects),
        by=author.by,
        why=author.why,
        what=what,
        until=until,
        sha256={title: hashlib.sha256(data).hexdigest() for title, data in (texts or {}).items()},
    )


def change_entry(change: StoreChange) -> Write:
    """Return the write of an entry. Keys sort by time."""
    moment = datetime.fromisoformat(change.time).strftime("%Y%m%dT%H%M%S.%f")
    return Write(
        key=f"{CHANGES}{moment}-{secrets.token_hex(4)}", data=json.dumps(to_json(change)).encode(), expect=None
    )


async def record_change(database: Database, change: StoreChange) -> None:
    """Write an entry after its change. Raises `SourceError`."""
    await database.write([change_entry(change)])


async def read_changes(database: Database) -> ChangeLog:
    """Return the log. Raises `SourceError`."""
    changes: list[StoreChange] = []
    unreadable: list[str] = []
    for entry in (await database.list(CHANGES)).entries:
        try:
            change = from_json(StoreChange, json.loads(entry.data))
            datetime.fromisoformat(change.time)
        except (ValueError, RecursionError):
            unreadable.append(entry.key)
        else:
            changes.append(change)
    changes.sort(key=lambda change: datetime.fromisoformat(change.time))
    return ChangeLog(changes=tuple(changes), unreadable=tuple(unreadable))


async def prune_changes(database: Database, kept: int = KEPT) -> int:
    """Remove the oldest entries, and return their number. Raises `SourceError`."""
    entries = (await database.list(CHANGES)).entries
    old = entries[: max(0, len(entries) - kept)]
    for entry in old:
        await database.delete(entry.key, expect=ANY)
    return len(old)


async def read_policy(database: Database) -> StorePolicy:
    """Return the policy of a store. Raises `SourceError`.

    While it is not clear (`policy_doubt`), every change needs a reason.
    """
    return _policy_of(await database.get(POLICY))[0]


async def policy_doubt(database: Database) -> str:
    """Return the reason why the policy is not clear: it cannot be read, or two servers have another one. "": it is."""
    return _policy_of(await database.get(POLICY))[1]


def _policy_of(entry: StoredEntry | None) -> tuple[StorePolicy, str]:
    if entry is None:
        return StorePolicy(), ""
    settle = "every change needs a reason until `ordainctl store policy required` or `optional` settles it"
    try:
        policy = from_json(StorePolicy, json.loads(entry.data))
    except (ValueError, RecursionError) as error:
        return StorePolicy(why=REQUIRED), f"{POLICY}: cannot read the policy of the store: {error}; {settle}"
    if entry.conflict:
        return replace(policy, why=REQUIRED), f"{POLICY} {entry.conflict}; {settle}"
    return policy, ""


async def require_why(database: Database, author: Author) -> Author:
    """Return the author with the reason in its final form. Raises `Failure` if the policy of the store wants one."""
    why = check_why(author.why)
    if not why and (await read_policy(database)).requires_why:
        raise Failure(f"{database.location} wants a reason for every change; give it with --why; nothing was written")
    return Author(by=author.by, why=why)

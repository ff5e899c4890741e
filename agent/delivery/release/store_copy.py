"""A copy of a store in a directory: all documents and releases, readable, and the same for every kind of store.

DIR/documents/… releases/… blobs/… machines/…   a file for each key, as `DirectoryDatabase` keeps them
DIR/backup.json                      the store, the time, and the SHA-256 of each file; written last

Reports and locks are not copied: machines write them again. The log, the policy and the list of machines are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.delivery.database.database import ABSENT, Database, Listing, Write
from ordain.agent.delivery.database.directory_database import file_of_key
from ordain.agent.delivery.database.document_keys import DOCUMENTS, MACHINES
from ordain.agent.delivery.database.listing_parts import list_all_parts
from ordain.agent.delivery.release.manifest import read_release
from ordain.agent.delivery.release.publish import BLOBS, PUBLISH_AGAIN
from ordain.agent.delivery.release.publish_lock import LOCK, RELEASES
from ordain.agent.delivery.release.settling import settled_by
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.control_characters import visible
from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.errors import Refused

MANIFEST = "backup.json"
FORMAT = 1
PREFIXES = RELEASES, BLOBS, DOCUMENTS, MACHINES
"""In the order in which they are read; see `copy_store`."""
ATTEMPTS = 5
_HEAD = "head"
_MOST_OF_KEY = 100
"""The characters of a key that a message has: those of other programs can have any length."""
_MAX_FILE_NAME = 255
"""The bytes of a name of a file (limits.h); `_MAX_PATH` leaves room for the name of the folder."""
_MAX_PATH = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCopy:
    """The entries of a store at ``location`` by key, as they were at ``time`` (ISO 8601, UTC).

    ``problems`` are sentences on releases that cannot be read, which are copied as they are, and on keys that are left
    out.
    """

    location: str
    time: str
    entries: Mapping[str, bytes]
    problems: tuple[str, ...] = ()


async def copy_store(database: Database) -> StoreCopy:
    """Return a copy in which every release has its documents, with the content that it names.

    Raises `SourceError`, and `Failure` for conflicts and for a store that has nothing.

    A publisher writes documents before the manifest that names them, and prune removes them after it. So the manifests
    are read first; if documents are missing then, somebody has pruned, and all is read again.
    """
    missing: frozenset[str] = frozenset()
    for _ in range(ATTEMPTS):
        entries: dict[str, bytes] = {}
        for prefix in PREFIXES:
            listing = await _list(database, prefix)
            if listing.conflicts:
                key, reason = min(listing.conflicts.items())
                raise Failure(f"{key} {reason}; before the backup, {settled_by(key)}")
            entries |= {entry.key: entry.data for entry in listing.entries if not entry.key.startswith(LOCK)}
        if not entries:
            raise Failure(f"{database.location} has nothing to back up; is the path, the prefix or the database right?")
        names, problems = _named_blobs(entries)
        odd = _keys_without_a_file(entries)
        missing = frozenset(key for key in names if key not in entries or f"{BLOBS}{_hash(entries[key])}" != key)
        if not missing:
            kept = {key: data for key, data in entries.items() if key not in odd}
            left_out = tuple(f"{visible(key[:_MOST_OF_KEY])} is left out: {reason}" for key, reason in odd.items())
            return StoreCopy(location=database.location, time=_now(), entries=kept, problems=(*problems, *left_out))
    named = ", ".join(sorted(missing)[:3])
    message = f"{database.location}: releases name documents that are missing or damaged in the store: {named}"
    raise Failure(f"{message}; publish them again, or prune the releases")


def write_copy(copy: StoreCopy, folder: Path) -> None:
    """Write a copy to ``folder``, which must be missing or empty. Raises `Failure`, and `OSError`."""
    if folder.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty; name another directory")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key, data in copy.entries.items():
        path = file_of_key(folder, key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_files.write(path, data)
    manifest = {
        "format": FORMAT,
        "store": copy.location,
        "time": copy.time,
        "sha256": {key: _hash(data) for key, data in sorted(copy.entries.items())},
    }
    atomic_files.replace(folder / MANIFEST, f"{json.dumps(manifest, indent=2)}\n".encode())


def read_copy(folder: Path) -> StoreCopy:
    """Return the copy in ``folder``. Raises `Failure` if it is incomplete, or differs from its sums."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise Failure(f"{folder}: a backup of format {manifest['format']}; this version reads {FORMAT}")
        sums = {str(key): str(value) for key, value in manifest["sha256"].items()}
        entries = {key: file_of_key(folder, key).read_bytes() for key in sums}
        location, time = str(manifest["store"]), str(manifest["time"])
    except FileNotFoundError as error:
        raise Failure(f"{error.filename} is missing, so {folder} is not a whole backup") from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Failure(f"{folder / MANIFEST} is damaged") from None
    damaged = [key for key, data in entries.items() if _hash(data) != sums[key]]
    if damaged:
        raise Failure(f"{folder / damaged[0]} has changed since the backup; restore it, or take another backup")
    return StoreCopy(location=location, time=time, entries=entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """The writes that bring a copy into a store, in their order; ``differing`` are keys that hold something else now.

    ``kept`` is the number of entries that are in the store already, ``others`` of those that the copy does not have.
    """

    writes: tuple[Write, ...]
    differing: tuple[str, ...]
    kept: int
    others: int


async def plan_restore(database: Database, copy: StoreCopy) -> Restore:
    """Return what a restore of ``copy`` would write. Raises `SourceError`."""
    listings = [await _list(database, prefix) for prefix in PREFIXES]
    present = {entry.key: entry for listing in listings for entry in listing.entries}
    writes, differing, kept = [], [], 0
    for key in sorted(copy.entries, key=_order):
        entry, data = present.get(key), copy.entries[key]
        if entry is not None and entry.data == data and entry.version != ABSENT:
            kept += 1
            continue
        if entry is not None and entry.data != data:
            differing.append(key)
        writes.append(Write(key=key, data=data, expect=(entry.version or None) if entry else None))
    others = sum(1 for key in present if key not in copy.entries and not key.startswith(LOCK))
    return Restore(writes=tuple(writes), differing=tuple(differing), kept=kept, others=others)


async def restore(database: Database, plan: Restore) -> None:
    """Write what is planned, one by one. An interrupted run is continued by the next one. Raises `Conflict`."""
    for write in plan.writes:
        assert write.data is not None
        await database.put(write.key, write.data, expect=write.expect)


async def _list(database: Database, prefix: str) -> Listing:
    """Return the keys with ``prefix``. Only those of blobs, which are hashes, can be listed in parts."""
    return await (list_all_parts(database, prefix) if prefix == BLOBS else database.list(prefix))


def _order(key: str) -> tuple[int, str]:
    """Return the rank of a key: machines follow the head of a channel, so all that it needs is written before it."""
    if key.startswith(RELEASES):
        return (2 if key.endswith(f"/{_HEAD}") else 1), key
    return 0, key


def _keys_without_a_file(keys: Iterable[str]) -> Mapping[str, str]:
    """Return the keys that cannot be files of one directory, with the reasons. They are of other programs."""
    known = set(keys)
    folders = {key[:at] for key in known for at, char in enumerate(key) if char == "/"}
    reasons = {}
    for key in sorted(known):
        try:
            file_of_key(Path(), key)
            is_text = len(key.encode()) <= _MAX_PATH and all(
                len(part.encode()) <= _MAX_FILE_NAME for part in key.split("/")
            )
        except ValueError:  # also the one of a key that is not Unicode
            is_text = False
        if not is_text:
            reasons[key] = "it cannot be the name of a file"
        elif key in folders:
            reasons[key] = "other keys lie below it, so that it cannot be a file"
    return reasons


def _named_blobs(entries: Mapping[str, bytes]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the keys of the documents that the releases among ``entries`` name, and the problems of releases."""
    keys: set[str] = set()
    problems = []
    for key, data in entries.items():
        name = key.rpartition("/")[2]
        if key.startswith(RELEASES) and (name == _HEAD or is_decimal(name)):
            try:
                keys.update(f"{BLOBS}{hash}" for hash in read_release(key, data).documents.values())
            except Refused as refused:
                what = f"cannot read the release: {refused.problems[0].what}; it is in the backup as it is"
                problems.append(f"{key}: {what}; {PUBLISH_AGAIN}")
    return frozenset(keys), tuple(problems)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

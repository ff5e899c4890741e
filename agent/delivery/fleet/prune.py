"""Old releases and the documents that only they name, removed from a store; effect.

    manifests, reports, Nodes ─▶ the numbers that stay ─▶ manifests that go ─▶ blobs that nobody names ─▶ gone

What stays of a channel: its head and the newest ``keep``, what a rollout is at, what a machine reports, and what a Node
of a release that stays pins a machine to. It holds the publish lock, and removes by compare-and-set. Manifests go
first: a run that is cut off leaves blobs that nobody names, which the next one finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry, Write
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.fleet.rollout_policy import decode_rollout
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish import BLOBS, RELEASES
from ordain.agent.delivery.release.publish_lock import hold_publish_lock
from ordain.agent.errors import Failure
from ordain.transforms.document import reader

KEEP = 10
"""Releases of a channel that stay in any case."""
_AT_ONCE = 50
_DIGITS = "0123456789abcdef"
_MOST_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The releases that go and those that stay, by channel and number, and the hashes of the blobs that go."""

    gone: tuple[Release, ...]
    stay: tuple[Release, ...]
    blobs: tuple[str, ...]


async def prune(database: Database, *, channel: str = "", keep: int = KEEP, dry_run: bool = False) -> Pruned:
    """Remove what nobody needs of ``channel`` ("": of all). Raises `Failure`, `Refused` and `SourceError`."""
    if dry_run:
        return (await _survey(database, channel, keep))[0]
    async with hold_publish_lock(database) as turn:
        pruned, changes = await _survey(database, channel, keep)
        for at in range(0, len(changes), _AT_ONCE):
            await turn.ensure_held()
            try:
                await database.write(changes[at : at + _AT_ONCE])
            except Conflict as conflict:
                raise Failure(f"{conflict}: the rest stays; do it again") from None
    return pruned


async def _survey(database: Database, channel: str, keep: int) -> tuple[Pruned, Sequence[Write]]:
    """What goes, and the changes that remove it."""
    listing = await database.list(RELEASES)
    manifests: dict[tuple[str, int], tuple[Release, StoredEntry]] = {}
    heads: list[Release] = []
    used: set[tuple[str, int]] = set()
    for entry in listing.entries:
        of, _, name = entry.key.removeprefix(RELEASES).partition("/")
        if name == "rollout":
            try:
                used.add((of, decode_rollout(entry.data).number))
            except ValueError as error:
                raise Failure(f"{entry.key}: {error}") from None
            continue
        release = read_release(entry.key, entry.data)
        if name == "head":
            heads.append(release)
            used.add((of, release.number))
        else:
            manifests[of, release.number] = release, entry
    used |= await _reported(database)
    used |= {each for each in manifests if channel and each[0] != channel}
    for of in {name for name, _ in manifests}:
        numbers = sorted((number for name, number in manifests if name == of), reverse=True)
        used |= {(of, number) for number in numbers[:keep]}
    blobs, pins = await _blobs(database)
    stay = _with_pinned(manifests, used & manifests.keys(), heads, pins)
    gone = sorted(manifests.keys() - stay)
    named = {hash for release in heads for hash in release.documents.values()}
    named |= {hash for each in stay for hash in manifests[each][0].documents.values()}
    unnamed = sorted(blobs.keys() - named)
    changes = [Write(key=(e := manifests[each][1]).key, data=None, expect=e.version) for each in gone]
    changes += [Write(key=f"{BLOBS}{hash}", data=None, expect=blobs[hash]) for hash in unnamed]
    found = Pruned(
        gone=tuple(manifests[each][0] for each in gone),
        stay=tuple(manifests[each][0] for each in sorted(stay)),
        blobs=tuple(unnamed),
    )
    return found, changes


async def _reported(database: Database) -> set[tuple[str, int]]:
    """Channel and number of what machines have, also of those that were not heard of for long."""
    found, unreadable, _ = await read_reports(database)
    if unreadable:
        what = f"{', '.join(unreadable[:3])}: a report that cannot be read, so that nobody knows what the machine has"
        raise Failure(f"{what} (`ordainctl fleet forget MACHINE` if it is no more)")
    return {(report.release.channel, report.release.number) for report in found if report.release.number}


async def _blobs(database: Database) -> tuple[Mapping[str, str], Mapping[str, frozenset[int]]]:
    """The version of every blob by its hash, and the pins in those that are Nodes; in parts, as they may be many."""
    versions: dict[str, str] = {}
    pins: dict[str, frozenset[int]] = {}
    parts = [f"{BLOBS}{digit}" for digit in _DIGITS]
    while parts:
        part = parts.pop()
        try:
            listing = await database.list(part)
        except SourceError as error:
            if error.code is not SourceFault.TOO_LARGE or len(part) > len(BLOBS) + _MOST_DIGITS:
                raise
            parts += [f"{part}{digit}" for digit in _DIGITS]
            continue
        for entry in listing.entries:
            hash = entry.key.removeprefix(BLOBS)
            versions[hash] = entry.version
            if b"pin" in entry.data:
                found = reader.read(entry.key, entry.data)[0]
                pins[hash] = frozenset(document.pin for document in found if document.pin)
    return versions, pins


def _with_pinned(
    manifests: Mapping[tuple[str, int], tuple[Release, StoredEntry]],
    stay: set[tuple[str, int]],
    heads: Iterable[Release],
    pins: Mapping[str, frozenset[int]],
) -> set[tuple[str, int]]:
    """``stay``, and what Nodes in those or in ``heads`` pin machines to."""
    look = [*heads, *(manifests[each][0] for each in stay)]
    found = set(stay)
    while look:
        release = look.pop()
        for number in frozenset().union(*(pins.get(hash, frozenset()) for hash in set(release.documents.values()))):
            each = release.channel, number
            if each in manifests and each not in found:
                found.add(each)
                look.append(manifests[each][0])
    return found

"""Removing old releases from a store, and the documents that only they name.

    manifests, rollouts, reports, pins ─▶ releases to keep ─▶ manifests and blobs to remove ─▶ writes

Of a channel these are kept: its head, the newest ``keep``, the release of a rollout, every release that a machine
reports, and every release that a Node of a kept release pins a machine to. The publish lock is held meanwhile, and
every write is a compare-and-set. Manifests are removed first: if a run is interrupted, the next one finds blobs that
no manifest names, and removes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ordain.agent.delivery.database.database import ABSENT, ANY, Conflict, Database, StoredEntry, Write
from ordain.agent.delivery.database.listing_parts import list_parts
from ordain.agent.delivery.fleet.report_publisher import STATUS
from ordain.agent.delivery.fleet.reports import TOO_LARGE, read_reports
from ordain.agent.delivery.fleet.rollout_policy import decode_rollout
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish import BLOBS
from ordain.agent.delivery.release.publish_lock import INTERNAL, RELEASES, hold_publish_lock
from ordain.agent.errors import Failure
from ordain.transforms.document import reader
from ordain.transforms.errors import Refused
from ordain.transforms.machine.facts import MACHINE_ID

KEEP = 10
"""The number of the newest releases of a channel that are always kept."""
_WRITES_AT_ONCE = 50

_ReleaseId = tuple[str, int]
"""Channel and number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The removed and the kept releases, by channel and number, and the hashes of the removed blobs."""

    removed: tuple[Release, ...]
    kept: tuple[Release, ...]
    blobs: tuple[str, ...]
    problems: tuple[str, ...] = ()
    """Sentences on entries that cannot be read: their channels are left as they are, and all documents are kept.

    Also on documents that are moved from the place of earlier versions.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredReleases:
    """All releases in a store: each with its entry, the head of each channel, and the releases of rollouts."""

    manifests: Mapping[_ReleaseId, tuple[Release, StoredEntry]]
    heads: Mapping[str, Release]
    rollouts: frozenset[_ReleaseId]
    unreadable: Mapping[str, str]
    """The channels with an entry that cannot be read, and the sentence on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredBlobs:
    """All documents in a store by hash: their versions, and the releases that Nodes among them pin machines to."""

    versions: Mapping[str, str]
    misplaced: Mapping[str, bytes]
    """Those that lie where earlier versions of Ordain put them."""
    pins: Mapping[str, frozenset[int]]


async def prune(database: Database, *, channel: str = "", keep: int = KEEP, dry_run: bool = False) -> Pruned:
    """Remove releases of ``channel`` ("": of all) that nobody needs, unless this is a dry run.

    Raises `Failure`, `Refused` and `SourceError`.
    """
    if dry_run:
        return (await _plan(database, channel, keep))[0]
    async with hold_publish_lock(database) as lock:
        pruned, writes = await _plan(database, channel, keep)
        for first in range(0, len(writes), _WRITES_AT_ONCE):
            await lock.ensure_held()
            try:
                await database.write(writes[first : first + _WRITES_AT_ONCE])
            except Conflict as conflict:
                raise Failure(f"{conflict}; the rest was not removed; run the command again") from None
    return pruned


async def _plan(database: Database, channel: str, keep: int) -> tuple[Pruned, Sequence[Write]]:
    """Return the releases and blobs to remove, and the writes that remove them."""
    stored = await _read_releases(database)
    reported = await _reported_releases(database)
    blobs = await _read_blobs(database)
    kept = _releases_to_keep(stored, reported, blobs.pins, channel, keep)
    removed = sorted(stored.manifests.keys() - kept)
    named = {hash for release in stored.heads.values() for hash in release.documents.values()}
    named |= {hash for id in kept for hash in stored.manifests[id][0].documents.values()}
    # A document may be named by what cannot be read, such as a release of a newer version of Ordain.
    unnamed = [] if stored.unreadable else sorted(blobs.versions.keys() - named)
    entries = [stored.manifests[id][1] for id in removed]
    writes = [Write(key=entry.key, data=None, expect=entry.version) for entry in entries]
    writes += [Write(key=f"{BLOBS}{hash}", data=None, expect=blobs.versions[hash] or ANY) for hash in unnamed]
    moved = sorted(blobs.misplaced.keys() - set(unnamed))
    writes += [Write(key=f"{BLOBS}{hash}", data=blobs.misplaced[hash], expect=None) for hash in moved]
    notes = [f"{len(moved)} documents are moved to the database that machines only read"] if moved else []
    pruned = Pruned(
        removed=tuple(stored.manifests[id][0] for id in removed),
        kept=tuple(stored.manifests[id][0] for id in sorted(kept)),
        blobs=tuple(unnamed),
        problems=(*stored.unreadable.values(), *notes),
    )
    return pruned, writes


async def _read_releases(database: Database) -> _StoredReleases:
    manifests: dict[_ReleaseId, tuple[Release, StoredEntry]] = {}
    heads: dict[str, Release] = {}
    rollouts: set[_ReleaseId] = set()
    unreadable: dict[str, str] = {}
    for entry in (await database.list(RELEASES)).entries:
        if entry.key.startswith(INTERNAL):
            continue
        channel, _, name = entry.key.removeprefix(RELEASES).partition("/")
        try:
            if name == "rollout":
                rollouts.add((channel, decode_rollout(entry.data).number))
            elif name == "head":
                heads[channel] = read_release(entry.key, entry.data)
            else:
                release = read_release(entry.key, entry.data)
                manifests[channel, release.number] = release, entry
        except (ValueError, Refused) as error:
            reason = error.problems[0].what if isinstance(error, Refused) else error
            unreadable[channel] = f"{entry.key}: cannot be read: {reason}; {channel} and all documents stay as they are"
    return _StoredReleases(manifests=manifests, heads=heads, rollouts=frozenset(rollouts), unreadable=unreadable)


async def _reported_releases(database: Database) -> frozenset[_ReleaseId]:
    """Return the releases that machines have, also machines that have not reported for a long time."""
    reports = await read_reports(database)
    refused = [
        key
        for key, refusal in sorted(reports.refused.items())
        if refusal.code == TOO_LARGE or MACHINE_ID.fullmatch(key.removeprefix(STATUS))  # no machine has another key
    ]
    if refused:
        keys = ", ".join(refused[:3])
        message = f"{keys}: cannot read the report, so that the machine's release is not known"
        raise Failure(f"{message}; if there is no such machine, run `ordainctl fleet forget KEY`")
    everybody = (*reports.machines, *reports.unlisted)
    return frozenset((report.release.channel, report.release.number) for report in everybody if report.release.number)


async def _read_blobs(database: Database) -> _StoredBlobs:
    """Read all blobs, in parts where they are too many for one listing."""
    versions: dict[str, str] = {}
    misplaced: dict[str, bytes] = {}
    pins: dict[str, frozenset[int]] = {}
    async for part in list_parts(database, BLOBS, digits=1):
        if part.fault:
            raise part.fault
        for entry in part.listing.entries:
            hash = entry.key.removeprefix(BLOBS)
            versions[hash] = entry.version
            if entry.version == ABSENT:
                misplaced[hash] = entry.data
            if b"pin" in entry.data:
                documents, _ = reader.read(entry.key, entry.data)
                pins[hash] = frozenset(document.pin for document in documents if document.pin)
    return _StoredBlobs(versions=versions, misplaced=misplaced, pins=pins)


def _releases_to_keep(
    stored: _StoredReleases,
    reported: Iterable[_ReleaseId],
    pins: Mapping[str, frozenset[int]],
    channel: str,
    keep: int,
) -> set[_ReleaseId]:
    """Return the releases with a manifest in the store that somebody needs, or that are of another channel."""
    needed = {(name, head.number) for name, head in stored.heads.items()} | stored.rollouts | {*reported}
    needed |= {id for id in stored.manifests if (channel and id[0] != channel) or id[0] in stored.unreadable}
    for name in sorted({id[0] for id in stored.manifests}):
        needed |= set(sorted((id for id in stored.manifests if id[0] == name), reverse=True)[:keep])
    return _with_pinned_releases(stored, needed & stored.manifests.keys(), pins)


def _with_pinned_releases(
    stored: _StoredReleases, kept: set[_ReleaseId], pins: Mapping[str, frozenset[int]]
) -> set[_ReleaseId]:
    """Return ``kept`` and all releases that Nodes in them, or in the heads, pin machines to."""
    pending = [*stored.heads.values(), *(stored.manifests[id][0] for id in kept)]
    all_kept = set(kept)
    while pending:
        release = pending.pop()
        for number in sorted({number for hash in release.documents.values() for number in pins.get(hash, ())}):
            id = release.channel, number
            if id in stored.manifests and id not in all_kept:
                all_kept.add(id)
                pending.append(stored.manifests[id][0])
    return all_kept

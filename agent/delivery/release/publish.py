"""Publishing releases to a store: first the documents by hash, then the manifest, then the head of the channel.

releases/_…                  the publish lock and the list of machines: no channel has such a name
blobs/SHA256                 a document, shared by all releases that name it
releases/CHANNEL/NUMBER      every release of a channel, for pins and for people
releases/CHANNEL/rollout     the progress of the rollout of the head (`fleet.rollout_policy.RolloutState`)
releases/CHANNEL/head        a copy of the latest release, which the machines of the channel watch

Every write is a compare-and-set.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.delivery.database.database import ABSENT, Conflict, Database, StoredEntry
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish_lock import INTERNAL, RELEASES, PublishLock, hold_publish_lock
from ordain.agent.delivery.release.settling import settled_by
from ordain.agent.errors import Failure
from ordain.transforms.errors import Refused

BLOBS = "blobs/"


def head_key(channel: str) -> str:
    """Return the key of the latest release of a channel."""
    return f"{RELEASES}{channel}/head"


def rollout_key(channel: str) -> str:
    """Return the key of the state of a channel's rollout."""
    return f"{RELEASES}{channel}/rollout"


def number_key(channel: str, number: int) -> str:
    """Return the key of one release."""
    return f"{RELEASES}{channel}/{number}"


PUBLISH_AGAIN = "publish the intended release again: ordainctl release publish RELEASE FILES"
"""The remedy if two servers have different releases of one number."""


async def read_head(database: Database, channel: str) -> tuple[Release | None, StoredEntry | None]:
    """Return the latest release of a channel and its entry, if there is one. Raises `Failure` if it is not valid."""
    entry = await database.get(head_key(channel))
    if entry is None:
        return None, None
    try:
        return read_release(entry.key, entry.data), entry
    except Refused as refused:
        message = f"{entry.key}: cannot read the latest release: {refused.problems[0].what}"
        raise Failure(f"{message}; {PUBLISH_AGAIN}") from None


async def publish(database: Database, release: Release, blobs: Mapping[str, bytes]) -> bool:
    """Publish a release; return False if it was published before. Raises `Failure`, and then leaves the head unchanged.

    ``blobs`` need not contain documents that the store has already. An interrupted run is continued. If two sites have
    published different releases of this number, this one is kept.
    """
    async with hold_publish_lock(database) as lock:
        return await _publish(database, release, blobs, lock)


async def _publish(database: Database, release: Release, blobs: Mapping[str, bytes], lock: PublishLock) -> bool:
    try:
        head, head_entry = await read_head(database, release.channel)
        latest = head.number if head else 0
    except Failure:  # the next release that is published replaces it
        head, head_entry = None, await database.get(head_key(release.channel))
        listed = (await list_releases(database)).releases
        latest = max((other.number for other, _ in listed if other.channel == release.channel), default=0)
    key = number_key(release.channel, release.number)
    conflicts = (await database.list(key, head_key(release.channel))).conflicts
    settles = key in conflicts or head_key(release.channel) in conflicts
    if latest > release.number and key not in conflicts:
        message = f"cannot publish release {release.title}: the channel is at {latest}, and numbers only grow"
        raise Failure(f"{message}; sign it under a new number")
    if head and head.number == release.number and head.hash != release.hash and not settles:
        raise _other_release(release)
    for hash in sorted(set(release.documents.values())):
        await lock.ensure_held()
        await _publish_blob(database, hash, blobs.get(hash), release)
    await lock.ensure_held()
    stored = await database.get(key)
    if stored and not settles and _hash_of(stored) not in (release.hash, ""):
        raise _other_release(release)
    if stored is None or stored.data != release.text() or key in conflicts:
        await _put(database, key, release.text(), stored.version if stored else None)
    if head and head.number > release.number:
        return True
    if head_entry and head_entry.data == release.text() and head_key(release.channel) not in conflicts:
        return False
    await _put(database, head_key(release.channel), release.text(), head_entry.version if head_entry else None)
    return True


def _hash_of(entry: StoredEntry) -> str:
    """Return the hash of a stored release, "" for a text that is not one, and that a release may replace."""
    try:
        return read_release(entry.key, entry.data).hash
    except Refused:
        return ""


def _other_release(release: Release) -> Failure:
    return Failure(f"there is another release {release.title} already; sign this one under a new number")


async def _put(database: Database, key: str, data: bytes, expect: str | None) -> None:
    try:
        await database.put(key, data, expect=expect)
    except Conflict as conflict:
        raise Failure(f"{conflict}; check who publishes there, and publish again") from None


async def _publish_blob(database: Database, hash: str, data: bytes | None, release: Release) -> None:
    """Put one document into the store, unless it is there already and intact. Raises `Failure` without ``data``."""
    stored = await database.get(f"{BLOBS}{hash}")
    is_intact = stored is not None and hashlib.sha256(stored.data).hexdigest() == hash
    if stored is not None and is_intact:
        if stored.version != ABSENT:
            return
        data = stored.data  # from a place of earlier versions
    if data is None:
        names = ", ".join(name for name, document_hash in release.documents.items() if document_hash == hash)
        message = f"{names}: the document with SHA-256 {hash[:12]}… is neither in the store nor among the files"
        raise Failure(f"{message}; name the files that the release was made of")
    await _put(database, f"{BLOBS}{hash}", data, (stored.version or None) if stored else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedReleases:
    """Every release in a store, by channel and number, with whether it is the head of its channel.

    ``problems`` are sentences on the entries that are not clear or cannot be read.
    """

    releases: tuple[tuple[Release, bool], ...]
    problems: tuple[str, ...]


async def list_releases(database: Database) -> ListedReleases:
    """Return the releases in the store. Raises `SourceError`."""
    listing = await database.list(RELEASES)
    heads = {entry.data for entry in listing.entries if entry.key.endswith("/head")}
    problems = [f"{key} {reason}; {settled_by(key)}" for key, reason in listing.conflicts.items()]
    releases = []
    for entry in listing.entries:
        if entry.key.endswith("/rollout") or entry.key.startswith(INTERNAL):
            continue
        try:
            release = read_release(entry.key, entry.data)
        except Refused as refused:
            problems.append(
                f"{entry.key}: cannot read the release: {refused.problems[0].what}; {settled_by(entry.key)}"
            )
            continue
        if not entry.key.endswith("/head"):
            releases.append((release, entry.data in heads))
    return ListedReleases(
        releases=tuple(sorted(releases, key=lambda item: (item[0].channel, item[0].number))), problems=tuple(problems)
    )


async def read_blobs(database: Database, release: Release, hashes: Iterable[str]) -> dict[str, bytes]:
    """Return the documents of ``release`` that the store has, by hash.

    Raises `SourceError` if the content of one does not have its hash.
    """
    entries = await asyncio.gather(*(database.get(f"{BLOBS}{hash}") for hash in hashes))
    blobs: dict[str, bytes] = {}
    for entry in filter(None, entries):
        hash = hashlib.sha256(entry.data).hexdigest()
        if entry.key != f"{BLOBS}{hash}":
            names = sorted(name for name, expected in release.documents.items() if entry.key.endswith(expected))
            message = f"release {release.title}: {names[0]} is not the document that was signed"
            raise SourceError(message, code=SourceFault.VERIFY_FAILED, hint="publish the release again")
        blobs[hash] = entry.data
    return blobs

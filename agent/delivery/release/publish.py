"""Releases in a store: documents by their hash first, then the manifest, last the channel's head, by compare-and-set.

blobs/SHA256                 a document, the same for every release that names it
releases/CHANNEL/NUMBER      every release of a channel, for pins and for people
releases/CHANNEL/rollout     how far the rollout of the head is (`fleet.rollout.State`)
releases/CHANNEL/head        what the machines of the channel watch: a copy of the latest
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping

from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish_lock import PublishLock, hold_publish_lock
from ordain.agent.errors import Failure

RELEASES = "releases/"
BLOBS = "blobs/"


def head_key(channel: str) -> str:
    """Where the latest release of a channel lies."""
    return f"{RELEASES}{channel}/head"


def rollout_key(channel: str) -> str:
    """Where the state of a channel's rollout lies."""
    return f"{RELEASES}{channel}/rollout"


def number_key(channel: str, number: int) -> str:
    """Where one release lies."""
    return f"{RELEASES}{channel}/{number}"


async def read_head(database: Database, channel: str) -> tuple[Release | None, StoredEntry | None]:
    """The latest release of a channel, if there is one. Raises `Refused` if it cannot be read."""
    entry = await database.get(head_key(channel))
    return (read_release(entry.key, entry.data), entry) if entry else (None, None)


async def publish(database: Database, release: Release, blobs: Mapping[str, bytes]) -> bool:
    """Publish a release; False if it was published before. Raises `Failure`, and then the head is as it was.

    ``blobs`` need not hold what the store has already. What an interrupted run left is gone on with.
    """
    async with hold_publish_lock(database) as turn:
        return await _publish(database, release, blobs, turn)


async def _publish(database: Database, release: Release, blobs: Mapping[str, bytes], turn: PublishLock) -> bool:
    now, entry = await read_head(database, release.channel)
    if now and now.number > release.number:
        raise Failure(f"{release.channel} is at {now.number}: a channel never goes back; sign it under a new number")
    if now and now.number == release.number and now.hash != release.hash:
        raise Failure(f"there is another release {release.title} already; sign this one under a new number")
    for hash in sorted(set(release.documents.values())):
        await turn.keep()
        await _blob(database, hash, blobs.get(hash), release)
    await turn.keep()
    key = number_key(release.channel, release.number)
    there = await database.get(key)
    if there and read_release(key, there.data).hash != release.hash:
        raise Failure(f"there is another release {release.title} already; sign this one under a new number")
    if there is None or there.data != release.text():
        await _put(database, key, release.text(), there.version if there else None)
    if entry and entry.data == release.text():
        return False
    await _put(database, head_key(release.channel), release.text(), entry.version if entry else None)
    return True


async def _put(database: Database, key: str, data: bytes, expect: str | None) -> None:
    try:
        await database.put(key, data, expect=expect)
    except Conflict as conflict:
        raise Failure(f"{conflict}: look at it, and publish again") from None


async def _blob(database: Database, hash: str, data: bytes | None, release: Release) -> None:
    there = await database.get(f"{BLOBS}{hash}")
    if there is not None and hashlib.sha256(there.data).hexdigest() == hash:
        return
    if data is None:
        names = ", ".join(name for name, each in release.documents.items() if each == hash)
        raise Failure(f"{names}: not in the store, and among the files is none with SHA-256 {hash[:12]}…")
    await _put(database, f"{BLOBS}{hash}", data, there.version if there else None)


async def list_releases(database: Database) -> tuple[tuple[Release, bool], ...]:
    """Every release in the store by channel and number, and whether it is its channel's head."""
    listing = await database.list(RELEASES)
    entries = [entry for entry in listing.entries if not entry.key.endswith("/rollout")]
    heads = {entry.data for entry in entries if entry.key.endswith("/head")}
    found = [
        (read_release(entry.key, entry.data), entry.data in heads)
        for entry in entries
        if not entry.key.endswith("/head")
    ]
    return tuple(sorted(found, key=lambda item: (item[0].channel, item[0].number)))


async def read_blobs(database: Database, release: Release, hashes: Iterable[str]) -> dict[str, bytes]:
    """Those documents of ``release`` that are there. Raises `SourceError` if one is not what its hash says."""
    entries = await asyncio.gather(*(database.get(f"{BLOBS}{hash}") for hash in hashes))
    found: dict[str, bytes] = {}
    for entry in filter(None, entries):
        hash = hashlib.sha256(entry.data).hexdigest()
        if entry.key != f"{BLOBS}{hash}":
            names = sorted(name for name, each in release.documents.items() if entry.key.endswith(each))
            what = f"release {release.title}: {names[0]} is not the document that was signed"
            raise SourceError(what, code=SourceFault.VERIFY_FAILED, hint="publish it again")
        found[hash] = entry.data
    return found

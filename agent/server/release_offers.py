"""The releases in a directory → what each machine gets of them: its channel's latest whole one; pure.

    texts ─offer▶ `OfferedReleases`, problems      `OfferedReleases` ─for_machine▶ one text (`release.bundle`)

Nothing is verified here: a machine trusts its keys, and not who hands a release to it. A release of which a document is
missing is not handed out, and neither is one that asks machines to take turns, for which it takes a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.bundle import bundle, is_manifest
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.manifest import Release, Rollout, read_release
from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.model import RawDocument
from ordain.agent.server.machine_documents import could_be_for, known_of
from ordain.transforms.errors import Problem, Refused, Severity, Where
from ordain.transforms.model import Document

Found = dict[tuple[str, int], list[tuple[str, Release]]]
"""By channel and number: the files that say they are it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRelease:
    """A release of which every document is there; ``blobs`` by their SHA-256."""

    release: Release
    blobs: Mapping[str, bytes]
    nodes: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedReleases:
    """What is handed out: by channel and number the whole releases, and by channel the number of the latest."""

    releases: Mapping[tuple[str, int], OfferedRelease] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)

    def for_machine(self, asker: MachineIdentity) -> bytes:
        """The latest release of its channel, the one that its Node pins it to, and those documents that it asks for.

        Nothing for a channel without a release.
        """
        channel = asker.channel or STABLE
        if channel not in self.heads:
            return b""
        head = self.releases[channel, self.heads[channel]]
        facts = known_of(asker)
        pins = sorted({node.pin for node in head.nodes if node.pin and could_be_for(node, facts)})
        offers = [head, *(self.releases[channel, pin] for pin in pins if (channel, pin) in self.releases)]
        offers = [offer_releases for n, offer_releases in enumerate(offers) if offer_releases not in offers[:n]]
        texts = [(offer_releases.release.title, offer_releases.release.text()) for offer_releases in offers]
        named = {hash: name for offer_releases in offers for name, hash in _names(offer_releases.release, asker)}
        blobs = {hash: data for offer_releases in offers for hash, data in offer_releases.blobs.items()}
        return bundle([*texts, *((name, blobs[hash]) for hash, name in named.items())])


def offer_releases(
    texts: Iterable[RawDocument], before: OfferedReleases
) -> tuple[OfferedReleases, tuple[Problem, ...]]:
    """What the releases among ``texts`` come to, and what is wrong with some.

    A channel never goes back: what was handed out ``before`` stays where nothing later can be.
    """
    files = tuple(texts)
    have = verify.by_hash(data for _, data in files if not is_manifest(data))
    found: Found = {}
    problems: list[Problem] = []
    for path, data in files:
        if is_manifest(data):
            try:
                release = read_release(path, data)
            except Refused as refused:
                problems += refused.problems
            else:
                found.setdefault((release.channel, release.number), []).append((path, release))
    whole: dict[tuple[str, int], OfferedRelease] = {}
    told: set[str] = set()
    for (channel, number), rivals in found.items():
        if not (wrong := tuple(_wrong(rivals, have))):
            whole[channel, number] = _offer(max(rivals, key=lambda rival: len(rival[1].signatures))[1], have)
        elif not any(c == channel and n > number for c, n in found):  # else only a pin would ask for it
            problems += wrong
            told.add(channel)
    heads = {channel: max(n for c, n in whole if c == channel) for channel, _ in whole}
    for channel, number in before.heads.items():
        old = before.releases[channel, number]
        now = whole.get((channel, number))
        if number > heads.get(channel, 0) or (now and now.release.hash != old.release.hash):
            if channel not in told:
                what = f"release {channel} {number} is handed out, and not there any more"
                hint = "a channel never goes back; what replaces it has a higher number"
                problems.append(_problem(_path(found, channel, number), what, hint))
            heads[channel] = max(number, heads.get(channel, 0))
            whole[channel, number] = old
    for channel, number in heads.items():
        if not whole[channel, number].release.signatures:
            what = f"release {channel} {number} is not signed: machines take it only where `trust: open` is"
            problems.append(_problem(_path(found, channel, number), what, "ordainctl release sign", Severity.WARNING))
    return OfferedReleases(releases=whole, heads=heads), tuple(problems)


def _path(found: Found, channel: str, number: int) -> str:
    return found[channel, number][0][0] if (channel, number) in found else f"{channel} {number}"


def _offer(release: Release, have: Mapping[str, bytes]) -> OfferedRelease:
    blobs = {hash: have[hash] for hash in release.documents.values()}
    nodes = verify.node_documents(tuple(blobs.items()))
    return OfferedRelease(release=release, blobs=blobs, nodes=nodes)


def _wrong(rivals: list[tuple[str, Release]], have: Mapping[str, bytes]) -> Iterator[Problem]:
    path, release = rivals[0]
    for other, rival in rivals[1:]:
        if rival.hash != release.hash:
            yield _problem(other, f"there is another release {release.title}, in {path}", "sign it under a new number")
    if missing := frozenset(release.documents.values()) - have.keys():
        yield _problem(
            path, str(verify.incomplete_release(release, missing)), "the documents as they were signed belong here"
        )
    if release.rollout != Rollout():
        what = f"release {release.title} asks machines to take turns, and a boot server has none to give"
        yield _problem(path, what, "sign it without, or hand it out from a store")


def _names(release: Release, asker: MachineIdentity) -> Iterator[tuple[str, str]]:
    """Names and hashes of the documents in scopes that may be those of ``asker``: labels are the machine's to know."""
    scopes = document_keys.scopes_for(known_of(asker))
    known = {"machine-id": asker.machine_id, "hostname": asker.hostname, "mac": asker.mac}
    for name, hash in release.documents.items():
        scope = name.partition("/")[0]
        if scope in scopes or not known.get(scope.partition("=")[0]):
            yield name, hash


def _problem(path: str, what: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(where=Where(path=path), what=what, hint=hint, code="Release", severity=severity)

"""The releases in a directory, and the one that each machine gets: the latest complete release of its channel.

    texts ─offer_releases▶ `OfferedReleases`, problems      `OfferedReleases` ─for_machine▶ one text (`release.bundle`)

The server verifies nothing: a machine trusts its keys, and not the carrier of a release. A release is not offered if
one of its documents is missing, or if it has a rollout, because a boot server cannot give turns to machines. A relay
gives turns to machines that boot from the network (`boot_turns`), and machines that use it as their source take theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.bundle import bundle, is_manifest
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.manifest import Release, Rollout, read_release
from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.model import RawDocument
from ordain.agent.server.machine_documents import could_match, facts_of
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, Severity, Where
from ordain.transforms.model import Document
from ordain.transforms.resolve.other_machines import mentions_machines

_ReleaseId = tuple[str, int]
"""Channel and number."""
_Manifests = Mapping[_ReleaseId, Sequence[tuple[str, Release]]]
"""The files that claim to be a release, as path and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRelease:
    """A release with all its documents: ``blobs`` by their SHA-256, and the Node documents among them."""

    release: Release
    blobs: Mapping[str, bytes]
    nodes: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedReleases:
    """All complete releases by channel and number, and the number of the latest release of each channel.

    ``boot_heads`` are the latest releases for machines that boot from the network, also those with a rollout.
    """

    releases: Mapping[_ReleaseId, OfferedRelease] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)
    boot_heads: Mapping[str, int] = field(default_factory=dict)

    def parsed(self, channel: str, number: int = 0) -> tuple[Document, ...]:
        """Return the documents of a release, without those that cannot be read; ``number`` 0 is the latest to boot.

        Returns nothing for a release that is not offered.
        """
        offered = self.releases.get((channel, number or self.boot_heads.get(channel, 0)))
        if offered is None:
            return ()
        # A file with several documents is named in the scope of each of them.
        names = {hash: name for name, hash in sorted(offered.release.documents.items(), reverse=True)}
        texts = ((name, offered.blobs[hash]) for hash, name in names.items())
        return tuple(document for name, data in texts for document in read(name, data)[0])

    def for_machine(self, identity: MachineIdentity, *, proven: bool = False) -> bytes:
        """Return the latest release of the machine's channel and the one that its Node pins it to, with documents.

        Returns nothing for a channel without a release. See `MachineDocuments.for_machine`.
        """
        channel = identity.channel or STABLE
        if channel not in self.heads:
            return b""
        head = self.releases[channel, self.heads[channel]]
        facts = facts_of(identity)
        pins = sorted({node.pin for node in head.nodes if node.pin and could_match(node, facts, proven=proven)})
        offered = [head, *(self.releases[channel, pin] for pin in pins if (channel, pin) in self.releases)]
        offered = [release for n, release in enumerate(offered) if release not in offered[:n]]
        manifests = [(release.release.title, release.release.text()) for release in offered]
        names = {hash: name for release in offered for name, hash in _names_for(release, identity, proven)}
        blobs = {hash: data for release in offered for hash, data in release.blobs.items()}
        return bundle([*manifests, *((name, blobs[hash]) for hash, name in names.items())])


def offer_releases(
    texts: Iterable[RawDocument], before: OfferedReleases, *, rollouts: bool = False
) -> tuple[OfferedReleases, tuple[Problem, ...]]:
    """Return the releases among ``texts`` to offer, and the problems of the others.

    The number of a channel never falls: a release that was offered ``before`` stays until there is a later one. With
    ``rollouts``, a release with a rollout is offered to machines that boot from the network.
    """
    files = tuple(texts)
    manifests, problems = _read_manifests(files)
    available = verify.by_hash(data for _, data in files if not is_manifest(data))
    faults = {id: tuple(_faults(rivals, available, rollouts=rollouts)) for id, rivals in manifests.items()}
    releases = {id: _offered(rivals, available) for id, rivals in manifests.items() if not faults[id]}
    newest = {(channel, max(n for c, n in manifests if c == channel)) for channel, _ in manifests}
    faulty = [id for id in manifests if id in newest and faults[id]]  # older releases are offered only for pins
    problems += [problem for id in faulty for problem in faults[id]]
    plain = [id for id, offered in releases.items() if offered.release.rollout == Rollout()]
    heads = {channel: max(n for c, n in plain if c == channel) for channel, _ in plain}
    for channel, number in _withdrawn(before, before.heads, releases, heads):
        if channel not in {name for name, _ in faulty}:
            message = f"release {channel} {number} is still offered, although its files have been removed or changed"
            hint = "replace it by a release with a higher number"
            problems.append(_problem(_path(manifests, channel, number), message, hint))
        heads[channel] = max(number, heads.get(channel, 0))
        releases[channel, number] = before.releases[channel, number]
    for channel, number in heads.items():
        if not releases[channel, number].release.signatures:
            message = f"release {channel} {number} is not signed; machines accept it only with `trust: open`"
            path = _path(manifests, channel, number)
            problems.append(_problem(path, message, "sign it: `ordainctl release sign`", Severity.WARNING))
    boot_heads = {channel: max(n for c, n in releases if c == channel) for channel, _ in releases}
    for channel, number in _withdrawn(before, before.boot_heads, releases, boot_heads):
        boot_heads[channel] = max(number, boot_heads.get(channel, 0))
        releases[channel, number] = before.releases[channel, number]
    for channel, number in boot_heads.items():
        if number > heads.get(channel, 0):
            problems.append(_rolled_out(manifests, channel, number, heads.get(channel, 0)))
    return OfferedReleases(releases=releases, heads=heads, boot_heads=boot_heads), tuple(problems)


def _rolled_out(manifests: _Manifests, channel: str, number: int, head: int) -> Problem:
    have = f"have release {head}" if head else "have none"
    message = f"release {channel} {number} has a rollout; machines that ask for documents by URL {have}"
    hint = "let them use the relay as their source: `type: relay` in agent.yaml"
    return _problem(_path(manifests, channel, number), message, hint, Severity.WARNING)


def _read_manifests(files: Iterable[RawDocument]) -> tuple[_Manifests, list[Problem]]:
    manifests: dict[_ReleaseId, list[tuple[str, Release]]] = {}
    problems: list[Problem] = []
    for path, data in files:
        if is_manifest(data):
            try:
                release = read_release(path, data)
            except Refused as refused:
                problems += refused.problems
            else:
                manifests.setdefault((release.channel, release.number), []).append((path, release))
    return manifests, problems


def _faults(
    rivals: Sequence[tuple[str, Release]], available: Mapping[str, bytes], *, rollouts: bool
) -> Iterator[Problem]:
    """Yield the reasons against offering a release, of which ``rivals`` are the files."""
    path, release = rivals[0]
    for other_path, other in rivals[1:]:
        if other.hash != release.hash:
            message = f"there is another release {release.title}, in {path}"
            yield _problem(other_path, message, "sign it under a new number")
    if missing := frozenset(release.documents.values()) - available.keys():
        hint = "put the documents that were signed into this directory"
        yield _problem(path, str(verify.incomplete_release(release, missing)), hint)
    if release.rollout != Rollout() and not rollouts:
        message = f"release {release.title} has a rollout, which a boot server does not support"
        yield _problem(path, message, "sign it without a rollout, or publish it in a store")


def _offered(rivals: Sequence[tuple[str, Release]], available: Mapping[str, bytes]) -> OfferedRelease:
    """Return a release without faults; of several equal files, the one with the most signatures."""
    release = max((release for _, release in rivals), key=lambda release: len(release.signatures))
    blobs = {hash: available[hash] for hash in release.documents.values()}
    return OfferedRelease(release=release, blobs=blobs, nodes=verify.node_documents(tuple(blobs.items())))


def _withdrawn(
    before: OfferedReleases,
    earlier: Mapping[str, int],
    releases: Mapping[_ReleaseId, OfferedRelease],
    heads: Mapping[str, int],
) -> list[_ReleaseId]:
    """Return the ``earlier`` heads that are not followed by a later release, and are missing or changed now."""
    withdrawn = []
    for channel, number in earlier.items():
        old, new = before.releases[channel, number], releases.get((channel, number))
        if number > heads.get(channel, 0) or (new and new.release.hash != old.release.hash):
            withdrawn.append((channel, number))
    return withdrawn


def _path(manifests: _Manifests, channel: str, number: int) -> str:
    return manifests[channel, number][0][0] if (channel, number) in manifests else f"{channel} {number}"


def _names_for(offered: OfferedRelease, identity: MachineIdentity, proven: bool) -> list[tuple[str, str]]:
    """Return name and hash of each document for the machine.

    If one of its documents calls `machines()`, those of all other machines are among them.
    """
    chosen = list(_own_names(offered.release, identity, proven))
    if not mentions_machines(offered.blobs[hash] for _, hash in chosen):
        return chosen
    own = {name for name, _ in chosen}
    documents = offered.release.documents.items()
    of_one_machine = document_keys.is_of_one_machine
    return [item for item in documents if item[0] in own or of_one_machine(item[0].partition("/")[0])]


def _own_names(release: Release, identity: MachineIdentity, proven: bool) -> Iterator[tuple[str, str]]:
    """Yield name and hash of each document in a scope that may be the machine's; labels are known only to it."""
    scopes = document_keys.scopes_for(facts_of(identity))
    known = {"machine-id": identity.machine_id, "hostname": identity.hostname, "mac": identity.mac}
    for name, hash in release.documents.items():
        scope = name.partition("/")[0]
        kind = scope.partition("=")[0]
        if scope in scopes or not (known.get(kind) or (proven and kind in known)):
            yield name, hash


def _problem(path: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(where=Where(path=path), what=message, hint=hint, code="Release", severity=severity)

"""What a source brought → the documents that this machine takes: signed ones, unless its admin said otherwise; effect.

A source brings a release as texts like all others: manifests (of its channel's head, and of the one a Node is pinned
to) and the documents they name. Whoever carried them is not trusted; this is where they are.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, SourceError, SourceFault
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.bundle import is_manifest, split_releases
from ordain.agent.delivery.release.channel import channel_of
from ordain.agent.delivery.release.highest_accepted import read_highest, record_accepted
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.signing import valid_signers
from ordain.agent.delivery.release.trusted_keys import trusted_keys
from ordain.agent.errors import Failure
from ordain.agent.model import RawDocuments
from ordain.agent.settings import Trust
from ordain.transforms.catalog.machine_catalog import transforms
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.errors import Refused
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.model import Facts
from ordain.transforms.resolve.resolve import with_node

log = logging.getLogger(__name__)


def admit_snapshot(
    root: Path, trust: Trust, snapshot: Snapshot
) -> tuple[Snapshot, ReleaseReference, Mapping[str, tuple[str, ...]]]:
    """Return the documents of ``snapshot`` that the machine below ``root`` accepts, their release, and its labels.

    The labels are those of the machine's Node and of its facts. See `Admission.admit`. Raises `SourceError`.
    The result is a plain tuple: the agent, which has a worker process call this, must not load this module for it.
    """
    facts = read_facts(root)
    shared = shared_versions(transforms(root))
    admitted, release = Admission(root=root, trust=trust, check=valid_signers).admit(snapshot, facts, shared)
    reference = ReleaseReference()
    if release:
        reference = ReleaseReference(channel=release.channel, number=release.number, hash=release.hash)
    return admitted, reference, with_node(verify.node_documents(admitted.texts), facts, shared).labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whose word counts on the machine below ``root``."""

    root: Path
    trust: Trust
    check: verify.Check

    def admit(self, snapshot: Snapshot, facts: Facts, shared: Mapping[str, str]) -> tuple[Snapshot, Release | None]:
        """What to apply of ``snapshot``, and the release that it is. Raises `SourceError`.

        A release that was taken is remembered, so that no older one is taken again.
        """
        texts = split_releases(snapshot.texts)
        manifests = [(path, data) for path, data in texts if is_manifest(data)]
        if not manifests:
            if not snapshot.texts or self.trust is Trust.OPEN or (self.trust is Trust.LOCAL and snapshot.own):
                return snapshot, None
            what = f"the documents are not signed, and `trust: {self.trust}` takes no such"
            hint = "publish a signed release, or set `trust: open` in agent.yaml"
            raise SourceError(what, code=SourceFault.UNSIGNED, hint=hint)
        channel = channel_of(facts)
        releases = [self._verified(path, data) for path, data in manifests]
        head = verify.highest_release(releases)
        verify.require_newer(head, channel, self._highest().get(channel))
        chosen = _all(head, texts, facts, shared)
        taken = head
        pin = verify.pinned_number(chosen, facts, shared)
        if pin and pin != head.number:
            taken = _pinned(releases, head, pin)
            chosen = _all(taken, texts, facts, shared)
        self._remember(channel, verify.AcceptedRelease(number=head.number, hash=head.hash))
        revision = f"{taken.channel}-{taken.number}-{_digest(chosen)}"
        return replace(
            snapshot, texts=chosen, revision=revision, removals_intended=snapshot.removals_intended or taken.shrinks
        ), taken

    def _verified(self, path: str, data: bytes) -> Release:
        try:
            release = read_release(path, data)
        except Refused as refused:
            raise verify.unreadable_release(refused) from None
        keys, problems = trusted_keys(self.root)
        if self.trust is Trust.OPEN and not keys and not problems:
            return release
        try:
            verify.trusted_signers(release, keys, self.check)
        except SourceError as error:
            bad = f"; {problems[0].where}: {problems[0].what}" if problems else ""
            raise SourceError(f"{error}{bad}", code=error.code, hint=error.hint) from None
        except Failure as failure:
            raise SourceError(str(failure), code=SourceFault.VERIFY_FAILED) from None
        return release

    def _highest(self) -> Mapping[str, verify.AcceptedRelease]:
        try:
            return read_highest(self.root)
        except (ValueError, OSError) as error:
            raise SourceError(str(error), code=SourceFault.RELEASE_REPLAYED) from None

    def _remember(self, channel: str, accepted: verify.AcceptedRelease) -> None:
        try:
            record_accepted(self.root, channel, accepted)
        except OSError as error:  # a full disk keeps no configuration away
            log.warning("release %s %d: not remembered: %s", channel, accepted.number, error)


def _all(release: Release, texts: RawDocuments, facts: Facts, shared: Mapping[str, str]) -> RawDocuments:
    chosen, missing = verify.select_documents(release, verify.by_hash(data for _, data in texts), facts, shared)
    if missing:
        there = {path.rpartition("#")[2] for path, _ in texts if "#" in path}
        for name in sorted(there & {name for name, hash in release.documents.items() if hash in missing}):
            what = f"release {release.title}: {name} is not the document that was signed"
            raise SourceError(what, code=SourceFault.VERIFY_FAILED, hint="somebody changed it after it was signed")
        raise verify.incomplete_release(release, missing)
    return chosen


def _pinned(releases: Iterable[Release], head: Release, pin: int) -> Release:
    for release in releases:
        if release.number == pin and release.channel == head.channel:
            return release
    what = f"this machine is pinned to release {head.channel} {pin}, which is not there"
    raise SourceError(
        what, code=SourceFault.RELEASE_INCOMPLETE, hint=f"publish it again, or change the pin: {head.title} sets it"
    )


def _digest(texts: RawDocuments) -> str:
    digest = hashlib.sha256()
    for path, data in texts:
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]

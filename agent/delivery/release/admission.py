"""The admission of documents on a machine: signed ones, unless its administrator allows others.

A source brings a release as texts like all others: manifests (the head of its channel, and the one that a Node is
pinned to) and the documents that they name. Nobody on their way is trusted; they are verified here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, SourceError, SourceFault, content_revision
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.bundle import is_manifest, split_releases
from ordain.agent.delivery.release.channel import channel_of
from ordain.agent.delivery.release.highest_accepted import read_highest, record_accepted
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.signing import SignatureCheck, valid_signers
from ordain.agent.delivery.release.trusted_keys import PublicKey, trusted_keys
from ordain.agent.errors import Failure
from ordain.agent.model import RawDocuments
from ordain.agent.settings import Trust
from ordain.transforms.catalog.machine_catalog import machine_transforms
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.errors import Refused
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.model import Facts
from ordain.transforms.resolve.resolve import with_node_labels

log = logging.getLogger(__name__)


def admit_snapshot(
    root: Path, trust: Trust, snapshot: Snapshot, record: bool = True
) -> tuple[Snapshot, ReleaseReference, Mapping[str, tuple[str, ...]]]:
    """Return the documents of ``snapshot`` that the machine below ``root`` accepts, their release, and its labels.

    The labels are those of the machine's facts and of its Node. Without ``record``, nothing is written. See
    `Admission.admit`. Raises `SourceError`.
    The result is a plain tuple: the agent, which has a worker process call this, must not load this module for it.
    """
    facts = read_facts(root)
    shared = shared_versions(machine_transforms(root))
    admission = Admission(root=root, trust=trust, check=valid_signers, record=record)
    admitted, release = admission.admit(snapshot, facts, shared)
    reference = ReleaseReference()
    if release:
        reference = ReleaseReference(
            channel=release.channel, number=release.number, hash=release.hash, expires=release.expires
        )
    return admitted, reference, with_node_labels(verify.node_documents(admitted.texts), facts, shared).labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The rules by which the machine below ``root`` accepts documents.

    ``record``: an accepted release is remembered, so that no older one is accepted later.
    """

    root: Path
    trust: Trust
    check: SignatureCheck
    record: bool = True

    def admit(self, snapshot: Snapshot, facts: Facts, shared: Mapping[str, str]) -> tuple[Snapshot, Release | None]:
        """Return the documents of ``snapshot`` to apply, and the release that they are. Raises `SourceError`."""
        texts = split_releases(snapshot.texts)
        manifests = [(path, data) for path, data in texts if is_manifest(data)]
        if not manifests:
            if not snapshot.texts or self.trust is Trust.OPEN or (self.trust is Trust.LOCAL and snapshot.own):
                return snapshot, None
            message = f"the documents are not signed, and `trust: {self.trust}` requires a signature"
            hint = "publish a signed release, or set `trust: open` in agent.yaml"
            raise SourceError(message, code=SourceFault.UNSIGNED, hint=hint)
        channel = channel_of(facts)
        signers: dict[str, tuple[PublicKey, ...]] = {}
        releases = []
        for release, by in (self._verified(path, data) for path, data in manifests):
            releases.append(release)
            signers[release.hash] = (*signers.get(release.hash, ()), *by)
        head = verify.highest_release(releases)
        verify.require_newer(head, channel, self._highest().get(channel))
        selected = _documents(head, texts, facts, shared)
        verify.require_own_scope(head, signers[head.hash], selected, facts, shared)
        release = head
        pin = verify.pinned_number(selected, facts, shared)
        if pin and pin != head.number:
            release = _pinned_release(releases, head, pin)
            selected = _documents(release, texts, facts, shared)
            verify.require_own_scope(release, signers[release.hash], selected, facts, shared)
        if self.record:
            self._record(channel, verify.AcceptedRelease(number=head.number, hash=head.hash))
        admitted = replace(
            snapshot,
            texts=selected,
            revision=f"{release.channel}-{release.number}-{content_revision(selected)}",
            removals_intended=snapshot.removals_intended or release.shrinks,
        )
        return admitted, release

    def _verified(self, path: str, data: bytes) -> tuple[Release, tuple[PublicKey, ...]]:
        """Return a release and the trusted keys that have signed it; none if every release is accepted."""
        try:
            release = read_release(path, data)
        except Refused as refused:
            raise verify.unreadable_release(refused) from None
        keys, problems = trusted_keys(self.root)
        if self.trust is Trust.OPEN and not keys and not problems:
            return release, ()
        try:
            return release, verify.trusted_signers(release, keys, self.check)
        except SourceError as error:
            invalid_key = f"; {problems[0].where}: {problems[0].what}" if problems else ""
            raise SourceError(f"{error}{invalid_key}", code=error.code, hint=error.hint) from None
        except Failure as failure:
            raise SourceError(str(failure), code=SourceFault.VERIFY_FAILED) from None

    def _highest(self) -> Mapping[str, verify.AcceptedRelease]:
        try:
            return read_highest(self.root)
        except (ValueError, OSError) as error:
            raise SourceError(str(error), code=SourceFault.RELEASE_REPLAYED) from None

    def _record(self, channel: str, accepted: verify.AcceptedRelease) -> None:
        try:
            record_accepted(self.root, channel, accepted)
        except OSError as error:  # a full disk must not keep a configuration away
            log.warning("release %s %d: cannot record that it was accepted: %s", channel, accepted.number, error)


def _documents(release: Release, texts: RawDocuments, facts: Facts, shared: Mapping[str, str]) -> RawDocuments:
    """Return the documents of ``release`` for this machine. Raises `SourceError` if one is missing or changed."""
    available = verify.by_hash(data for _, data in texts)
    selected, missing = verify.select_documents(release, available, facts, shared)
    if missing:
        present = {path.rpartition("#")[2] for path, _ in texts if "#" in path}
        for name in sorted(present & {name for name, hash in release.documents.items() if hash in missing}):
            message = f"release {release.title}: {name} is not the document that was signed"
            hint = "somebody changed it after it was signed; publish the release again"
            raise SourceError(message, code=SourceFault.VERIFY_FAILED, hint=hint)
        raise verify.incomplete_release(release, missing)
    return selected


def _pinned_release(releases: Iterable[Release], head: Release, pin: int) -> Release:
    for release in releases:
        if release.number == pin and release.channel == head.channel:
            return release
    message = f"this machine is pinned to release {head.channel} {pin}, which was not found"
    hint = f"publish it again, or change the pin, which is set in {head.title}"
    raise SourceError(message, code=SourceFault.RELEASE_INCOMPLETE, hint=hint)

"""What a source brought → the documents that this machine takes: signed ones, unless its admin said otherwise; effect.

A source brings a release as texts like all others: manifests (of its channel's head, and of the one a Node is pinned
to) and the documents they name. Whoever carried them is not trusted; this is where they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.failure import Failure
from ordain.agent.release import accept
from ordain.agent.release.keys import trusted
from ordain.agent.release.manifest import Release, read
from ordain.agent.release.remember import highest, remember
from ordain.agent.settings import Trust
from ordain.agent.sources import Fault, Snapshot, SourceError
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts

log = logging.getLogger(__name__)
STABLE = "stable"
LABEL = "channel"
"""The label that says whose releases a machine takes: on its kernel command line or in agent.yaml."""
_RELEASE = re.compile(rb"""^["']?kind["']?[ \t]*:[ \t]*["']?Release["']?[ \t\r]*(#.*)?$""", re.MULTILINE)

_SEPARATOR = re.compile(rb"^---[ \t]*\r?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whose word counts on the machine below ``root``."""

    root: Path
    trust: Trust
    check: accept.Check

    def admit(self, snapshot: Snapshot, facts: Facts, shared: Mapping[str, str]) -> tuple[Snapshot, Release | None]:
        """What to apply of ``snapshot``, and the release that it is. Raises `SourceError`.

        A release that was taken is remembered, so that no older one is taken again.
        """
        texts = snapshot.texts
        manifests = [(path, data) for path, data in texts if is_manifest(data)]
        if not manifests:
            # A boot server sends one text: a release and its documents with --- between them.
            texts = tuple((path, piece) for path, data in texts for piece in _SEPARATOR.split(data))
            manifests = [(path, data) for path, data in texts if is_manifest(data)]
        if not manifests:
            if not snapshot.texts or self.trust is Trust.OPEN or (self.trust is Trust.LOCAL and snapshot.own):
                return snapshot, None
            what = f"the documents are not signed, and `trust: {self.trust}` takes no such"
            hint = "publish a signed release, or set `trust: open` in agent.yaml"
            raise SourceError(what, code=Fault.UNSIGNED, hint=hint)
        channel = channel_of(facts)
        releases = [self._verified(path, data) for path, data in manifests]
        head = accept.one_of(releases)
        accept.newer(head, channel, self._highest().get(channel))
        have = accept.by_hash(data for _, data in texts)
        chosen = _all(head, have, facts, shared)
        taken = head
        pin = accept.pin_of(chosen, facts, shared)
        if pin and pin != head.number:
            taken = _pinned(releases, head, pin)
            chosen = _all(taken, have, facts, shared)
        self._remember(channel, accept.Accepted(number=head.number, hash=head.hash))
        revision = f"{taken.channel}-{taken.number}-{_digest(chosen)}"
        return replace(snapshot, texts=chosen, revision=revision, meant=snapshot.meant or taken.shrinks), taken

    def _verified(self, path: str, data: bytes) -> Release:
        try:
            release = read(path, data)
        except Refused as refused:
            raise accept.unreadable(refused) from None
        keys, problems = trusted(self.root)
        if self.trust is Trust.OPEN and not keys and not problems:
            return release
        try:
            accept.signed_by(release, keys, self.check)
        except SourceError as error:
            bad = f"; {problems[0].where}: {problems[0].what}" if problems else ""
            raise SourceError(f"{error}{bad}", code=error.code, hint=error.hint) from None
        except Failure as failure:
            raise SourceError(str(failure), code=Fault.VERIFY_FAILED) from None
        return release

    def _highest(self) -> Mapping[str, accept.Accepted]:
        try:
            return highest(self.root)
        except (ValueError, OSError) as error:
            raise SourceError(str(error), code=Fault.RELEASE_REPLAYED) from None

    def _remember(self, channel: str, accepted: accept.Accepted) -> None:
        try:
            remember(self.root, channel, accepted)
        except OSError as error:  # a full disk keeps no configuration away
            log.warning("release %s %d: not remembered: %s", channel, accepted.number, error)


def channel_of(facts: Facts) -> str:
    """The channel of a machine. Raises `SourceError` for a machine of two."""
    named = facts.labels.get(LABEL, ())
    if len(named) > 1:
        raise SourceError(f"this machine has {len(named)} channels: {', '.join(named)}", code=Fault.SETTINGS)
    return named[0] if named else STABLE


def is_manifest(data: bytes) -> bool:
    """Whether a text says that it is a Release.

    >>> is_manifest(b'{"ordain": "v1", "kind": "Release"}'), is_manifest(b"kind: Layer\\nname: Release")
    (True, False)
    """
    if b"Release" not in data:
        return False
    if not data.lstrip().startswith(b"{"):
        return _RELEASE.search(data) is not None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == "Release"


def _all(release: Release, have: Mapping[str, bytes], facts: Facts, shared: Mapping[str, str]) -> accept.Texts:
    texts, missing = accept.choose(release, have, facts, shared)
    if missing:
        raise accept.incomplete(release, missing)
    return texts


def _pinned(releases: Iterable[Release], head: Release, pin: int) -> Release:
    for release in releases:
        if release.number == pin and release.channel == head.channel:
            return release
    what = f"this machine is pinned to release {head.channel} {pin}, which is not there"
    raise SourceError(
        what, code=Fault.RELEASE_INCOMPLETE, hint=f"publish it again, or change the pin: {head.title} sets it"
    )


def _digest(texts: accept.Texts) -> str:
    digest = hashlib.sha256()
    for path, data in texts:
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]

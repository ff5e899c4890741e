"""Whether a machine takes a release: its signatures, its number, and every document by its hash; pure.

Nothing here trusts who carried the bytes. An answer is all of the documents, or a `NotTaken` and what was applied
stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.release.keys import TRUST, Key
from ordain.agent.release.manifest import Release
from ordain.agent.sources import SourceError

Check = Callable[[bytes, Mapping[bytes, str]], frozenset[bytes]]
"""`signing.check` or `signing.in_child`."""

VERIFY_FAILED = "VerifyFailed"
INCOMPLETE = "ReleaseIncomplete"
REPLAYED = "ReleaseReplayed"
CONFLICT = "SourceConflict"


class NotTaken(SourceError):
    """A release is not taken; ``code`` is one of the names above."""

    def __init__(self, what: str, *, code: str, hint: str = "") -> None:
        super().__init__(f"{what} ({hint})" if hint else what)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The highest release of a channel that this machine took; ``hash`` is that of the manifest."""

    number: int
    hash: str


def signed_by(release: Release, keys: Iterable[Key], check: Check) -> tuple[Key, ...]:
    """The trusted keys that signed ``release``, one being enough. Raises `NotTaken` if none did."""
    keys = tuple(keys)
    if not keys:
        raise NotTaken(
            f"release {release.title}: no key is trusted here",
            code=VERIFY_FAILED,
            hint=f"put the public key into /{TRUST}/",
        )
    named = [key for key in keys if key.id in release.signatures]
    fitting = [key for key in named if key.signs_for(release.channel)]
    if not fitting:
        who = ", ".join(f"{key.name} signs for {', '.join(sorted(key.channels))} only" for key in named)
        by = f"is signed by {', '.join(sorted(release.signatures))}" if release.signatures else "is not signed"
        raise NotTaken(
            f"release {release.title} {by}, and no key in /{TRUST} is that{f' ({who})' if who else ''}",
            code=VERIFY_FAILED,
        )
    good = check(release.canonical, {key.raw: release.signatures[key.id] for key in fitting})
    if not good:
        names = ", ".join(key.name for key in fitting)
        what = f"release {release.title}: the signature of {names} is not over this text"
        raise NotTaken(what, code=VERIFY_FAILED, hint="somebody changed it after it was signed")
    return tuple(key for key in fitting if key.raw in good)


def newer(release: Release, channel: str, highest: Accepted | None) -> None:
    """Raise `NotTaken` for a release of another channel, one that is older than ``highest``, or another of its
    number."""
    if release.channel != channel:
        what = f"release {release.title} stands in the place of channel {channel}"
        raise NotTaken(what, code=VERIFY_FAILED)
    if highest is None or (release.number, release.hash) == (highest.number, highest.hash):
        return
    if release.number < highest.number:
        raise NotTaken(
            f"release {release.title} is older than {highest.number}, which was taken here before",
            code=REPLAYED,
            hint=f"publish the old documents under a new number, or on this machine: ordainctl release forget {channel}",
        )
    if release.number == highest.number:
        what = f"release {release.title} is another one than the {highest.number} that was taken here before"
        raise NotTaken(what, code=CONFLICT, hint="publish it under a new number")


def complete(release: Release, documents: Mapping[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    """Name and bytes of every document of ``release``, sorted. ``documents``: what the store has under a SHA-256.

    Raises `NotTaken` for one that is missing, or that is not what its hash says.
    """
    missing = sorted(name for name, sha256 in release.documents.items() if sha256 not in documents)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"release {release.title} is not complete: {', '.join(missing[:3])}{more} not there yet"
        raise NotTaken(what, code=INCOMPLETE, hint="it is being published, or a replica is behind")
    for name, sha256 in sorted(release.documents.items()):
        if hashlib.sha256(documents[sha256]).hexdigest() != sha256:
            what = f"release {release.title}: {name} is not the document that was signed"
            raise NotTaken(what, code=VERIFY_FAILED, hint="the store holds other bytes under its hash")
    return tuple((name, documents[sha256]) for name, sha256 in sorted(release.documents.items()))


def one_of(releases: Iterable[Release]) -> Release:
    """The one to take of several that all verify, as after a conflict between replicas: the highest number.

    Raises `NotTaken` where two have that number.
    """
    best = sorted(releases, key=lambda release: release.number)[-2:]
    if len(best) == 2 and best[0].number == best[1].number and best[0].hash != best[1].hash:
        what = f"there are two releases {best[0].title}, both signed"
        raise NotTaken(what, code=CONFLICT, hint="publish a new number")
    return best[-1]

"""Whether a machine takes a release: its signatures, its number, and every document by its hash; pure.

Nothing here trusts who carried the bytes. An answer is all of the documents, or a `SourceError` and what was applied
stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.release.trusted_keys import TRUST, PublicKey
from ordain.agent.model import RawDocuments
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.model import Document, Facts, Kind
from ordain.transforms.resolve.resolve import nodes_of, with_node

Check = Callable[[bytes, Mapping[bytes, str]], frozenset[bytes]]
"""`signing.check`: which of these keys (key → signature) signed the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRelease:
    """The highest release of a channel that this machine took; ``hash`` is that of the manifest."""

    number: int
    hash: str


def trusted_signers(release: Release, keys: Iterable[PublicKey], check: Check) -> tuple[PublicKey, ...]:
    """The trusted keys that signed ``release``, one being enough. Raises `SourceError` if none did."""
    keys = tuple(keys)
    if not keys:
        raise SourceError(
            f"release {release.title}: no key is trusted here",
            code=SourceFault.VERIFY_FAILED,
            hint=f"put the public key into /{TRUST}/",
        )
    named = [key for key in keys if key.id in release.signatures]
    fitting = [key for key in named if key.signs_for(release.channel)]
    if not fitting:
        who = ", ".join(f"{key.name} signs for {', '.join(sorted(key.channels))} only" for key in named)
        by = f"is signed by {', '.join(sorted(release.signatures))}" if release.signatures else "is not signed"
        raise SourceError(
            f"release {release.title} {by}, and no key in /{TRUST} is that{f' ({who})' if who else ''}",
            code=SourceFault.VERIFY_FAILED,
        )
    good = check(release.canonical, {key.raw: release.signatures[key.id] for key in fitting})
    if not good:
        names = ", ".join(key.name for key in fitting)
        what = f"release {release.title}: the signature of {names} is not over this text"
        raise SourceError(what, code=SourceFault.VERIFY_FAILED, hint="somebody changed it after it was signed")
    return tuple(key for key in fitting if key.raw in good)


def require_newer(release: Release, channel: str, highest: AcceptedRelease | None) -> None:
    """Raise `SourceError` for a release of another channel, one that is older than ``highest``, or another of its
    number."""
    if release.channel != channel:
        what = f"release {release.title} stands in the place of channel {channel}"
        raise SourceError(what, code=SourceFault.VERIFY_FAILED)
    if highest is None or (release.number, release.hash) == (highest.number, highest.hash):
        return
    if release.number < highest.number:
        raise SourceError(
            f"release {release.title} is older than {highest.number}, which was taken here before",
            code=SourceFault.RELEASE_REPLAYED,
            hint=f"publish it under a new number, or here: ordainctl release forget {channel}",
        )
    if release.number == highest.number:
        what = f"release {release.title} is another one than the {highest.number} that was taken here before"
        raise SourceError(what, code=SourceFault.CONFLICT, hint="publish it under a new number")


def select_documents(
    release: Release, have: Mapping[str, bytes], facts: Facts, shared: Mapping[str, str]
) -> tuple[RawDocuments, frozenset[str]]:
    """Name and bytes of the documents of ``release`` that this machine may match, sorted by name; and what is missing.

    ``have``: what there is (`by_hash`). Which scopes a machine has depends on its Node, which is one of the documents:
    with something missing there is no choice yet, and what is missing may not be all.
    """
    scopes: tuple[str, ...] = ()
    wanted = document_keys.scopes_for(facts)
    while set(wanted) - set(scopes):
        scopes = tuple({*scopes, *wanted})
        named = {name: hash for name, hash in release.documents.items() if name.partition("/")[0] in scopes}
        if missing := frozenset(named.values()) - have.keys():
            return (), missing
        texts = tuple(sorted({(name.partition("/")[2], have[hash]) for name, hash in named.items()}))
        wanted = document_keys.scopes_for(with_node(node_documents(texts), facts, shared))
    return texts, frozenset()


def by_hash(texts: Iterable[bytes]) -> dict[str, bytes]:
    """Texts by the SHA-256 that they have, whatever anybody says of them."""
    return {hashlib.sha256(data).hexdigest(): data for data in texts}


def pinned_number(texts: RawDocuments, facts: Facts, shared: Mapping[str, str]) -> int:
    """The release that this machine's Node pins it to; 0: none."""
    return max((node.pin for node in nodes_of(node_documents(texts), facts, shared)), default=0)


def node_documents(texts: RawDocuments) -> tuple[Document, ...]:
    """The Node documents; one that is wrong is the compiler's to refuse."""
    return tuple(d for path, data in texts if b"Node" in data for d in read(path, data)[0] if d.kind is Kind.NODE)


def incomplete_release(release: Release, missing: Iterable[str]) -> SourceError:
    """What there is to say while documents are missing."""
    names = sorted({name for name, hash in release.documents.items() if hash in set(missing)})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    what = f"release {release.title} is not complete: {', '.join(names[:3])}{more} not there yet"
    return SourceError(what, code=SourceFault.RELEASE_INCOMPLETE, hint="it is being published, or a replica is behind")


def unreadable_release(refused: Refused) -> SourceError:
    """What there is to say of a text that is no release."""
    first = refused.problems[0]
    code = SourceFault.SCHEMA_TOO_NEW if first.code == SourceFault.SCHEMA_TOO_NEW else SourceFault.VERIFY_FAILED
    return SourceError(f"{first.where}: {first.what}", code=code, hint=first.hint)


def highest_release(releases: Iterable[Release]) -> Release:
    """The one to take of several that all verify, as after a conflict between replicas: the highest number.

    Raises `SourceError` where two have that number.
    """
    best = sorted(releases, key=lambda release: release.number)[-2:]
    if len(best) == 2 and best[0].number == best[1].number and best[0].hash != best[1].hash:
        what = f"there are two releases {best[0].title}, both signed"
        raise SourceError(what, code=SourceFault.CONFLICT, hint="publish a new number")
    return best[-1]

"""The checks that a release must pass on a machine: its signatures, its number, and the hash of every document.

The carrier of the bytes is not trusted. The result is either all documents of the release, or a `SourceError`; then the
documents that were applied before stay in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.release.signing import SignatureCheck
from ordain.agent.delivery.release.trusted_keys import TRUST, PublicKey
from ordain.agent.model import RawDocuments
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.model import Document, Facts, Kind
from ordain.transforms.resolve.other_machines import mentions_machines
from ordain.transforms.resolve.resolve import matching_nodes, with_node_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRelease:
    """The highest release of a channel that this machine has accepted; ``hash`` is the hash of its manifest."""

    number: int
    hash: str


def trusted_signers(release: Release, keys: Iterable[PublicKey], check: SignatureCheck) -> tuple[PublicKey, ...]:
    """Return the trusted keys that have signed ``release``. Raises `SourceError` if there is none.

    One is enough, unless keys are for some scopes only: then each document needs one that covers it, and a release that
    removes most services needs one for all scopes.
    """
    keys = tuple(keys)
    if not keys:
        message = f"release {release.title}: this machine trusts no key"
        raise SourceError(message, code=SourceFault.VERIFY_FAILED, hint=f"put the public key into /{TRUST}/")
    named = [key for key in keys if key.id in release.signatures]
    allowed = [key for key in named if key.signs_for(release.channel)]
    if not allowed:
        raise SourceError(_why_untrusted(release, named), code=SourceFault.VERIFY_FAILED)
    valid = check(release.canonical, {key.raw: release.signatures[key.id] for key in allowed})
    if not valid:
        names = ", ".join(key.name for key in allowed)
        message = f"release {release.title}: the signature of {names} does not match the content"
        hint = "somebody changed the release after it was signed; publish it again"
        raise SourceError(message, code=SourceFault.VERIFY_FAILED, hint=hint)
    signers = tuple(key for key in allowed if key.raw in valid)
    for name in sorted(release.documents):
        if not any(key.covers(name) for key in signers):
            raise _not_covered(release, signers, f"{name} is in another scope")
    if release.shrinks and all(key.scopes for key in signers):
        raise _not_covered(release, signers, "`shrinks` removes services of other scopes as well")
    return signers


def require_own_scope(
    release: Release, signers: Iterable[PublicKey], texts: RawDocuments, facts: Facts, shared: Mapping[str, str]
) -> None:
    """Raise `SourceError` if all ``signers`` sign for scopes of other machines than the one with ``facts``.

    Such a release has no document for this machine. It would remove those of others here, and its number would keep
    this machine from their next release. ``texts`` are the documents of ``release`` for this machine.
    """
    signers = tuple(signers)
    if not signers or not all(key.scopes for key in signers):
        return
    own = document_keys.scopes_for(with_node_labels(node_documents(texts), facts, shared))
    if not any(key.scopes & {*own} for key in signers):
        raise _not_covered(release, signers, "this machine is in other scopes")


def _not_covered(release: Release, signers: Iterable[PublicKey], reason: str) -> SourceError:
    scopes = ", ".join(f"{key.name} signs only for {', '.join(sorted(key.scopes))}" for key in signers)
    hint = "sign it with a key for that as well: ordainctl release sign"
    message = f"release {release.title}: {scopes}; {reason}"
    return SourceError(message, code=SourceFault.VERIFY_FAILED, hint=hint)


def _why_untrusted(release: Release, named: Iterable[PublicKey]) -> str:
    """Return the reason why no signature counts; ``named`` are trusted keys that may not sign for the channel."""
    if not release.signatures:
        return f"release {release.title} is not signed"
    signers = ", ".join(sorted(release.signatures))
    restricted = [f"{key.name} signs only for {', '.join(sorted(key.channels))}" for key in named]
    details = f" ({', '.join(restricted)})" if restricted else ""
    return f"release {release.title} is signed by {signers}, which is not a trusted key (/{TRUST}){details}"


def require_newer(release: Release, channel: str, highest: AcceptedRelease | None) -> None:
    """Raise `SourceError` unless ``release`` is of ``channel``, and is ``highest`` or has a higher number."""
    if release.channel != channel:
        message = f"release {release.title} was found where a release of channel {channel} should be"
        raise SourceError(message, code=SourceFault.VERIFY_FAILED)
    if highest is None or (release.number, release.hash) == (highest.number, highest.hash):
        return
    if release.number < highest.number:
        raise SourceError(
            f"release {release.title} is older than {highest.number}, which this machine accepted before",
            code=SourceFault.RELEASE_REPLAYED,
            hint=f"publish it under a new number, or run here: ordainctl release forget {channel}",
        )
    if release.number == highest.number:
        message = f"release {release.title} differs from the release {highest.number} that this machine accepted before"
        raise SourceError(message, code=SourceFault.CONFLICT, hint="publish it under a new number")


def select_documents(
    release: Release, available: Mapping[str, bytes], facts: Facts, shared: Mapping[str, str]
) -> tuple[RawDocuments, frozenset[str]]:
    """Return the documents of ``release`` that this machine may match, sorted by name, and the hashes that are missing.

    ``available`` maps hashes to bytes (`by_hash`). The scopes of a machine depend on its Node, which is one of the
    documents. So while something is missing nothing is selected, and the missing hashes may not be all.
    """
    scopes: tuple[str, ...] = ()
    wanted = document_keys.scopes_for(facts)
    while set(wanted) - set(scopes):
        scopes = tuple({*scopes, *wanted})
        named = {name: hash for name, hash in release.documents.items() if _scope(name) in scopes}
        if missing := frozenset(named.values()) - available.keys():
            return (), missing
        texts = tuple(sorted({(name.partition("/")[2], available[hash]) for name, hash in named.items()}))
        wanted = document_keys.scopes_for(with_node_labels(node_documents(texts), facts, shared))
        if mentions_machines(data for _, data in texts):
            of_machines = {
                scope for name in release.documents if document_keys.is_of_one_machine(scope := _scope(name))
            }
            wanted = (*wanted, *sorted(of_machines))
    return texts, frozenset()


def _scope(name: str) -> str:
    return name.partition("/")[0]


def by_hash(texts: Iterable[bytes]) -> dict[str, bytes]:
    """Return texts by their SHA-256, which is computed here and not taken from the carrier."""
    return {hashlib.sha256(data).hexdigest(): data for data in texts}


def pinned_number(texts: RawDocuments, facts: Facts, shared: Mapping[str, str]) -> int:
    """Return the number of the release that this machine's Node pins it to, or 0."""
    return max((node.pin for node in matching_nodes(node_documents(texts), facts, shared)), default=0)


def node_documents(texts: RawDocuments) -> tuple[Document, ...]:
    """Return the Node documents in ``texts``. Invalid ones are left out here; the compiler refuses them."""
    return tuple(d for path, data in texts if b"Node" in data for d in read(path, data)[0] if d.kind is Kind.NODE)


def incomplete_release(release: Release, missing: Iterable[str]) -> SourceError:
    """Return the error for a release of which documents are missing."""
    missing = frozenset(missing)
    names = sorted(name for name, hash in release.documents.items() if hash in missing)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    message = f"release {release.title} is not complete: {', '.join(names[:3])}{more} not found"
    hint = "wait: the release is still being published, or a replica is behind"
    return SourceError(message, code=SourceFault.RELEASE_INCOMPLETE, hint=hint)


def unreadable_release(refused: Refused) -> SourceError:
    """Return the error for a text that is not a valid release."""
    first = refused.problems[0]
    code = SourceFault.SCHEMA_TOO_NEW if first.code == SourceFault.SCHEMA_TOO_NEW else SourceFault.VERIFY_FAILED
    return SourceError(f"{first.where}: {first.what}", code=code, hint=first.hint)


def highest_release(releases: Iterable[Release]) -> Release:
    """Return the release with the highest number of several that are verified, as after a conflict between replicas.

    Raises `SourceError` if two different releases have that number.
    """
    last = sorted(releases, key=lambda release: release.number)[-2:]
    if len(last) == 2 and last[0].number == last[1].number and last[0].hash != last[1].hash:
        message = f"there are two different releases {last[0].title}, both signed"
        raise SourceError(message, code=SourceFault.CONFLICT, hint="publish a release with a new number")
    return last[-1]

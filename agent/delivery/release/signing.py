"""Ed25519 (RFC 8032) by python3-cryptography, whose import costs 12 MB: the agent never loads this (`worker`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ordain.agent.errors import Failure

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def generate_key(passphrase: bytes = b"") -> tuple[bytes, bytes]:
    """A new key: the private one as PEM, locked by ``passphrase`` unless that is empty; the public one's 32 bytes."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    locked = form.BestAvailableEncryption(passphrase) if passphrase else form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked), public_bytes(key)


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of its public key."""
    from cryptography.hazmat.primitives import serialization as form

    return key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)


class LockedKey(Failure):
    """The key needs its passphrase."""


def load_private_key(path: str, pem: bytes, passphrase: bytes = b"") -> Ed25519PrivateKey:
    """Read a private key. Raises `LockedKey`, or `Failure` for what is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, passphrase or None)
    except TypeError:
        raise LockedKey(f"{path}: locked by a passphrase") from None
    except ValueError:
        if passphrase:
            raise Failure(f"{path}: not opened by this passphrase") from None
        raise Failure(f"{path}: no private key in PEM (`ordainctl release keygen` makes one)") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Failure(f"{path}: no Ed25519 key")
    return key


def sign(key: Ed25519PrivateKey, data: bytes) -> str:
    """A signature in base64."""
    return base64.b64encode(key.sign(data)).decode()


def valid_signers(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
    """Those public keys of ``signatures`` (key → base64) whose signature over ``data`` is good."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    good = set()
    for raw, signature in signatures.items():
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, ValueError, binascii.Error):
            continue
        good.add(raw)
    return frozenset(good)

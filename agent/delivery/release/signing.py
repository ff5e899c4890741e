"""Signatures by Ed25519 (RFC 8032), made by python3-cryptography, and checked by libsodium through PyNaCl.

libsodium needs a quarter of the time of OpenSSL for a check. It is the only one that checks signatures here, so that no
two libraries must agree on malformed ones. Importing each costs memory, so the functions import them, and the agent has
its worker process call them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ordain.agent.errors import Failure

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


KEY_BYTES, SIGNATURE_BYTES = 32, 64
SignatureCheck = Callable[[bytes, Mapping[bytes, str]], frozenset[bytes]]
"""`valid_signers`: return which of these keys (key → signature) have signed the bytes."""


def generate_key(passphrase: bytes = b"") -> tuple[bytes, bytes]:
    """Return a new key: the private half as PEM, encrypted if there is a passphrase, and the 32 public bytes."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    encryption = form.BestAvailableEncryption(passphrase) if passphrase else form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption), public_bytes(key)


def generate_seed() -> bytes:
    """Return the 32 bytes of the private half of a new key (RFC 8032, 5.1.5)."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(form.Encoding.Raw, form.PrivateFormat.Raw, form.NoEncryption())


def key_from_seed(seed: bytes) -> Ed25519PrivateKey:
    """Return the key with this private half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public half."""
    from cryptography.hazmat.primitives import serialization as form

    return key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)


class LockedKey(Failure):
    """The private key needs its passphrase."""


def load_private_key(path: str, pem: bytes, passphrase: bytes = b"") -> Ed25519PrivateKey:
    """Read a private key from ``pem``, the content of ``path``. Raises `LockedKey` and `Failure`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, passphrase or None)
    except TypeError:
        raise LockedKey(f"{path}: the key needs its passphrase") from None
    except ValueError:
        if passphrase:
            raise Failure(f"{path}: cannot open the key: the passphrase is wrong") from None
        message = f"{path}: cannot read a private key in PEM form"
        raise Failure(f"{message}; `ordainctl release keygen` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Failure(f"{path}: the key is not an Ed25519 key; `ordainctl release keygen` makes one")
    return key


def sign(key: Ed25519PrivateKey, data: bytes) -> str:
    """Return the signature over ``data`` in base64."""
    return base64.b64encode(key.sign(data)).decode()


def valid_signers(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
    """Return the public keys in ``signatures`` (key → base64) whose signature over ``data`` is valid."""
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import BadSignatureError

    valid = set()
    for raw, text in signatures.items():
        try:
            signature = base64.b64decode(text, validate=True)
            if (len(raw), len(signature)) != (KEY_BYTES, SIGNATURE_BYTES):
                continue  # the binding does not look at lengths
            crypto_sign_open(signature + data, raw)
        except (BadSignatureError, ValueError, binascii.Error):
            continue
        valid.add(raw)
    return frozenset(valid)

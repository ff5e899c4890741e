"""Keys that sign releases, the same ones in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.trusted_keys import PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def key_of(seed: int, name: str = "ops", channels: frozenset[str] = frozenset()) -> tuple[Ed25519PrivateKey, PublicKey]:
    """Return the key pair of ``seed``, 0 to 255; the public key is called ``name``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return private, PublicKey(name=name, raw=signing.public_bytes(private), channels=channels)

"""The key of a machine that opens secrets, and recovery keys: an X25519 key (RFC 7748), as one line.

    ordain-secret-key BASE64

BASE64 encodes the 32 bytes of the private half. The line is the credential `ordain.secret-key` of a machine, or a file
that an administrator keeps elsewhere. PyNaCl, which makes and uses these keys, is loaded only when one is used.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from typing import Any

from ordain.agent.delivery.identity.machine_record import KEY_BYTES, encode_key
from ordain.agent.delivery.identity.statement import key_id
from ordain.agent.errors import Failure

CREDENTIAL = "ordain.secret-key"
"""The name of the credential with the key that opens the secrets of the machine."""
_FORM = "ordain-secret-key"


class NaclMissing(Failure):
    """PyNaCl is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecryptionKey:
    """The private half of a key that opens secrets. It is not shown."""

    private: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the public half. Raises `NaclMissing`."""
        return bytes(load_nacl().public.PrivateKey(self.private).public_key)

    @property
    def id(self) -> str:
        """Return the id of the key."""
        return key_id(self.public)

    @property
    def public_text(self) -> str:
        """Return the public half as text."""
        return encode_key(self.public)

    @property
    def line(self) -> str:
        """Return the content of the credential."""
        return f"{_FORM} {base64.b64encode(self.private).decode()}"


def generate_decryption_key() -> DecryptionKey:
    """Return a new key."""
    return DecryptionKey(private=os.urandom(KEY_BYTES))


def parse_decryption_key(text: str) -> DecryptionKey:
    """Read the content of the credential. Raises ValueError; the message does not hold any of it."""
    words = text.split()
    if len(words) != 2 or words[0] != _FORM:
        raise ValueError(f"it is not a line that begins with {_FORM}")
    try:
        private = base64.b64decode(words[1], validate=True)
    except ValueError:
        private = b""
    if len(private) != KEY_BYTES:
        raise ValueError("its second word is not the base64 of 32 bytes")
    return DecryptionKey(private=private)


def load_nacl() -> Any:
    """Return the package `nacl` with the modules that are used. Raises `NaclMissing`."""
    try:
        import nacl.exceptions
        import nacl.public
        import nacl.secret
        import nacl.utils
    except ImportError:
        raise NaclMissing("PyNaCl is not installed; install the package python3-nacl") from None
    return nacl

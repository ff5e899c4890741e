"""A sealed secret: the form in which documents, generations and boot caches hold it. Nothing here can open one.

    secrets/NAME of a document ──▶ `SealedSecret` ──text──▶ the credential ``sealed:TEXT`` of a placed file

The value is encrypted once, with a data key; each recipient has a copy of the data key that only its own key opens
(docs/design/sealed-secrets.md).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.transforms.forbidden_paths import SECRETS

MAX_VALUE = 1 << 16
"""The longest secret, in bytes: all credentials of a service together may have 1 MiB (systemd.exec(5))."""
MAX_RECIPIENTS = 10_000
COPY_BYTES = 80
"""A data key of 32 bytes in a sealed box, which adds 48 bytes."""
VALUE_OVERHEAD = 40
"""The nonce and the authenticator of a secret box."""
_HEADER_MAX = 512
_ID_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """The secret ``name``: its encrypted ``value``, and by id of a key its ``copies`` of the data key, in base64."""

    name: str
    value: str
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Return the file that the opened secret is placed in.

        It depends on the value: a new value is a new file, so that the units that use it are restarted, and the file
        of the value before is there if they are rolled back. Copies for other recipients change nothing.
        """
        digest = hashlib.sha256(f"{self.name}\0{self.value}".encode()).hexdigest()
        return f"{SECRETS}{self.name}-{digest[:16]}"

    @property
    def text(self) -> str:
        """Return the secret as one line, which `parse` reads."""
        return " ".join([self.name, self.value, *(f"{id}:{copy}" for id, copy in sorted(self.copies.items()))])


def secret_digest(text: str) -> str:
    """Return the SHA-256, in hex, of a sealed secret as a generation holds it: with its value and all copies."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse(text: str) -> SealedSecret:
    """Read what `SealedSecret.text` returned. Raises ValueError."""
    words = text.split(" ")
    if len(words) < 2:
        raise ValueError("it is not a sealed secret")
    name, value, *rest = words
    copies = {}
    for word in rest:
        check_copy(word)
        id, _, copy = word.partition(":")
        copies[id] = copy
    check_value(value)
    return SealedSecret(name=name, value=value, copies=copies)


def check_value(text: str) -> None:
    """Check the encrypted value of a secret. Raises ValueError with a hint.

    >>> check_value("AAAA")
    Traceback (most recent call last):
    ValueError: it is too short for a sealed value; use the output of `ordainctl secret seal` as it is
    """
    raw = _decoded(text)
    if len(raw) <= VALUE_OVERHEAD:
        raise ValueError("it is too short for a sealed value; use the output of `ordainctl secret seal` as it is")
    if len(raw) > MAX_VALUE + VALUE_OVERHEAD + _HEADER_MAX:
        raise ValueError(f"a secret has at most {MAX_VALUE:,} bytes")


def check_copy(text: str) -> None:
    """Check a copy of the data key, as ``ID:BASE64``. Raises ValueError with a hint."""
    id, _, copy = text.partition(":")
    if len(id) != 16 or not _ID_DIGITS.issuperset(id):
        raise ValueError("begin it with the id of a key, 16 hexadecimal digits, and a colon")
    if len(_decoded(copy)) != COPY_BYTES:
        raise ValueError(f"a sealed copy has {COPY_BYTES} bytes; use the output of `ordainctl secret seal` as it is")


def check_recipient(text: str) -> None:
    """Check a recipient, such as ``role=web``. Raises ValueError with a hint."""
    kind, equals, value = text.partition("=")
    if text == RECOVERY:
        return
    if not (equals and kind and value and text.isprintable() and " " not in text and len(text) <= 300):
        raise ValueError("write machine=NAME, LABEL=VALUE such as role=web, key=BASE64, or recovery")
    if kind == KEY and len(_decoded(value)) != 32:
        raise ValueError("a public key is the base64 of 32 bytes, as `ordainctl secret key` prints it")


RECOVERY, MACHINE, KEY = "recovery", "machine", "key"
"""The recipients that are not a label: the fleet's recovery keys, one machine, and one public key."""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        raise ValueError("use the base64 that `ordainctl secret seal` prints, as it is") from None

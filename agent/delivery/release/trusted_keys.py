"""Public keys that verify releases, and the ones that a machine trusts: /etc/ordain/trust/*.pub.

A public key is one line: ``ed25519 BASE64 NAME [channel=CHANNEL,…] [scope=SCOPE,…]``. BASE64 encodes the 32 bytes of
RFC 8032, and NAME is for people. With ``channel=`` the key signs for these channels only, with ``scope=`` only for
documents in these scopes, as manifests name them (``role=web``). Blank lines, and lines that begin with #, are ignored.
A private key is PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.errors import OrdainError
from ordain.transforms.errors import Problem, Where
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs

TRUST = "etc/ordain/trust"
SUFFIX = ".pub"
_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")
_RESTRICTIONS = {
    "channel": lazy_pattern(r"[a-z0-9][a-z0-9-]*(,[a-z0-9][a-z0-9-]*)*"),
    "scope": lazy_pattern(r"[^\s,/]+(,[^\s,/]+)*"),
}


class InvalidKey(OrdainError, ValueError):
    """A line that is not a public key; the message tells the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key, and the ``channels`` and the ``scopes`` of documents that it may sign for; empty: all."""

    name: str
    raw: bytes
    channels: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Return the id that manifests name the key by: the first 16 digits of the SHA-256 of its 32 bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def line(self) -> str:
        """Return the line of a .pub file."""
        restrictions = (("channel", self.channels), ("scope", self.scopes))
        only = [f"{name}={','.join(sorted(values))}" for name, values in restrictions if values]
        return " ".join(["ed25519", base64.b64encode(self.raw).decode(), self.name, *only])

    def signs_for(self, channel: str) -> bool:
        """Return whether the key may sign for ``channel``."""
        return not self.channels or channel in self.channels

    def covers(self, document: str) -> bool:
        """Return whether the key may sign for the document that a manifest calls ``SCOPE/FILE``."""
        return not self.scopes or document.partition("/")[0] in self.scopes


def parse_key(line: str) -> PublicKey:
    """Read a public key. Raises `InvalidKey`.

    >>> parse_key("ed25519 " + "A" * 43 + "= ops channel=canary").channels
    frozenset({'canary'})
    """
    words = line.split()
    if not 3 <= len(words) <= 5 or words[0] != "ed25519":
        raise InvalidKey("not a public key (a line is: ed25519 BASE64 NAME [channel=CHANNEL,…] [scope=SCOPE,…])")
    try:
        raw = base64.b64decode(words[1], validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        raw = b""
    if len(raw) != 32:
        raise InvalidKey("the key is not the base64 of 32 bytes")
    if not _NAME.fullmatch(words[2]):
        raise InvalidKey(f"invalid name {words[2]!r} of a key (letters, digits, _ . @ -)")
    restrictions: dict[str, frozenset[str]] = {}
    for word in words[3:]:
        name, _, values = word.partition("=")
        if name in restrictions or name not in _RESTRICTIONS or not _RESTRICTIONS[name].fullmatch(values):
            raise InvalidKey(f"invalid restriction {word!r} of a key (channel=canary or scope=role=web)")
        restrictions[name] = frozenset(values.split(","))
    channels, scopes = restrictions.get("channel", frozenset()), restrictions.get("scope", frozenset())
    return PublicKey(name=words[2], raw=raw, channels=channels, scopes=scopes)


def trusted_keys(root: Path) -> tuple[tuple[PublicKey, ...], tuple[Problem, ...]]:
    """Return the keys that the machine below ``root`` trusts, and the problems of lines that are not keys."""
    keys: list[PublicKey] = []
    problems: list[Problem] = []
    folder = root / TRUST
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        return (), (_problem(f"/{TRUST}", 0, error.strerror or str(error)),)
    if other := rootfs.other_writer(folder):
        return (), (_unsafe(f"/{TRUST}", other),)
    for name in names:
        path = f"/{TRUST}/{name}"
        try:
            if other := rootfs.other_writer(folder / name):
                problems.append(_unsafe(path, other))
                continue
            for number, line in _lines((folder / name).read_bytes()):
                try:
                    keys.append(parse_key(line))
                except InvalidKey as invalid:
                    problems.append(_problem(path, number, str(invalid)))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(_problem(path, 0, getattr(error, "strerror", None) or "the file is not UTF-8"))
    return tuple(keys), tuple(problems)


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(data.decode().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _unsafe(path: str, other: rootfs.OtherWriter) -> Problem:
    what = f"not trusted: {other.place}: {other.who}"
    return Problem(where=Where(path=path), what=what, hint=other.remedy, code="BadKey")


def _problem(path: str, line: int, message: str) -> Problem:
    hint = "`ordainctl release keygen` makes a key"
    return Problem(where=Where(path=path, line=line), what=message, hint=hint, code="BadKey")

"""Keys that sign releases, and those a machine trusts: /etc/ordain/trust/*.pub.

A public key is one line: ``ed25519 BASE64 NAME [channel=CHANNEL,…]``; BASE64 are the 32 bytes of RFC 8032, NAME is for
people, and with ``channel=`` the key signs for these channels only. Blank lines and lines with # are comments. A
private key is PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.errors import OrdainError
from ordain.transforms.errors import Problem, Where

TRUST = "etc/ordain/trust"
SUFFIX = ".pub"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")
_ONLY = re.compile(r"channel=[a-z0-9][a-z0-9-]*(,[a-z0-9][a-z0-9-]*)*")


class InvalidKey(OrdainError, ValueError):
    """A line that is no key; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key. ``channels``: those it may sign for; none named is all."""

    name: str
    raw: bytes
    channels: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """What signatures go by: the first 16 digits of the SHA-256 of its 32 bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def line(self) -> str:
        """The key as a .pub file holds it."""
        only = [f"channel={','.join(sorted(self.channels))}"] if self.channels else []
        return " ".join(["ed25519", base64.b64encode(self.raw).decode(), self.name, *only])

    def signs_for(self, channel: str) -> bool:
        """Whether its word counts in ``channel``."""
        return not self.channels or channel in self.channels


def parse_key(line: str) -> PublicKey:
    """Read a public key. Raises `InvalidKey`.

    >>> read_line("ed25519 " + "A" * 43 + "= ops channel=canary").channels
    frozenset({'canary'})
    """
    words = line.split()
    if not 3 <= len(words) <= 4 or words[0] != "ed25519":
        raise InvalidKey("no public key (a line is: ed25519 BASE64 NAME [channel=CHANNEL,…])")
    try:
        raw = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise InvalidKey("its key is not the base64 of 32 bytes")
    if not _NAME.fullmatch(words[2]):
        raise InvalidKey(f"{words[2]!r} is no name for a key (letters, digits, _ . @ -)")
    if words[3:] and not _ONLY.fullmatch(words[3]):
        raise InvalidKey(f"{words[3]!r} is nothing a key can be bound to (channel=canary)")
    channels = words[3].removeprefix("channel=").split(",") if words[3:] else ()
    return PublicKey(name=words[2], raw=raw, channels=frozenset(channels))


def trusted_keys(root: Path) -> tuple[tuple[PublicKey, ...], tuple[Problem, ...]]:
    """The keys this machine trusts, and the lines that are none; of a bad line nothing is believed."""
    found: list[PublicKey] = []
    problems: list[Problem] = []
    folder = root / TRUST
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        return (), (_problem(f"/{TRUST}", 0, error.strerror or str(error)),)
    for name in names:
        path = f"/{TRUST}/{name}"
        try:
            for number, line in _lines((folder / name).read_bytes()):
                try:
                    found.append(parse_key(line))
                except InvalidKey as bad:
                    problems.append(_problem(path, number, str(bad)))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(_problem(path, 0, getattr(error, "strerror", None) or "is not UTF-8"))
    return tuple(found), tuple(problems)


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(data.decode().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _problem(path: str, line: int, what: str) -> Problem:
    return Problem(where=Where(path=path, line=line), what=what, hint="`ordainctl release keygen`", code="BadKey")

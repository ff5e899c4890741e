"""The tokens of people and programs that use the API of a boot server: a name, rights, and the digest of the secret.

    # name      rights            SHA-256 of the token
    dashboard   read              7c0e…
    anna        read,adopt,boot   91bb…
    *           read              -

The line ``*`` gives rights to everybody who reaches the server. The file has no secret in it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.lazy_patterns import lazy_pattern

MAX_BYTES = 1 << 20
EVERYBODY = "*"
NO_TOKEN = "-"
_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = lazy_pattern(r"[0-9a-f]{64}")


class Right(StrEnum):
    """One thing that a token allows."""

    READ = "read"
    ADOPT = "adopt"
    BOOT = "boot"
    UNITS = "units"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One line of the file; ``digest`` is the SHA-256 of the token, "" for the line of everybody."""

    name: str
    rights: frozenset[Right]
    digest: str


NOBODY = ApiToken(name="", rights=frozenset(), digest="")


def read_tokens(path: Path) -> tuple[ApiToken, ...]:
    """Return the tokens in a file. Raises `Failure` with the line of an error."""
    try:
        text = atomic_files.read(path, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = atomic_files.describe_error(error, path) if isinstance(error, OSError) else f"{path}: not UTF-8"
        raise Failure(f"{reason}; name the file of tokens, which `ordainctl netboot token` makes") from None
    tokens: dict[str, ApiToken] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                token = _parse(line.split())
            except ValueError as error:
                raise Failure(f"{path}:{number}: {error}") from None
            if token.name in tokens:
                raise Failure(f"{path}:{number}: there are two lines for {token.name}; remove one of them")
            tokens[token.name] = token
    return tuple(tokens.values())


def _parse(words: list[str]) -> ApiToken:
    if len(words) != 3:
        raise ValueError("a line needs a name, rights and a digest; `ordainctl netboot token` writes one")
    name, rights, digest = words
    if name == EVERYBODY:
        if digest != NO_TOKEN:
            raise ValueError(f"the line of {EVERYBODY} has no token: write {NO_TOKEN} for the digest")
        return ApiToken(name=name, rights=parse_rights(rights), digest="")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a token: use letters, digits and . _ - @")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("the digest is not a SHA-256 in hexadecimal; `ordainctl netboot token` writes one")
    return ApiToken(name=name, rights=parse_rights(rights), digest=digest)


def parse_rights(text: str) -> frozenset[Right]:
    """Return the rights in a text such as ``read,adopt``. Raises ValueError."""
    words = text.split(",")
    unknown = [word for word in words if word not in list(Right)]
    if unknown:
        raise ValueError(f"there is no right {unknown[0]!r}; the rights are {', '.join(Right)}")
    return frozenset(map(Right, words)) | {Right.READ}


def bearer(tokens: Iterable[ApiToken], secret: str) -> ApiToken | None:
    """Return the token with this secret, the line of everybody for "", and None for a wrong secret."""
    if not secret:
        return next((token for token in tokens if token.name == EVERYBODY), NOBODY)
    digest = hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()  # bytes of the header as they are
    matching = [token for token in tokens if token.digest and hmac.compare_digest(token.digest, digest)]
    return matching[0] if matching else None


def add_token(path: Path, name: str, rights: frozenset[Right]) -> str:
    """Add a token to the file, or replace the one of this name, and return the new secret. Raises `Failure`."""
    secret = "" if name == EVERYBODY else secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest() if secret else NO_TOKEN
    line = f"{name} {','.join(sorted(rights))} {digest}"
    try:
        _parse(line.split(" "))
    except ValueError as error:
        raise Failure(str(error)) from None
    _write(path, name, [line])
    return secret


def remove_token(path: Path, name: str) -> None:
    """Remove a token from the file. Raises `Failure` if there is none."""
    if name not in {token.name for token in read_tokens(path)}:
        raise Failure(f"{path}: there is no token {name}")
    _write(path, name, [])


def _write(path: Path, name: str, lines: list[str]) -> None:
    """Replace the line of ``name`` by ``lines``; all other lines stay as they are."""
    kept: list[str] = []
    if path.exists():
        read_tokens(path)
        kept = [line for line in path.read_text().splitlines() if line.split()[:1] != [name]]
    try:
        atomic_files.replace(path, "".join(f"{line}\n" for line in [*kept, *lines]).encode(), 0o600)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None

"""The files by which the agent has secrets tried before it applies the generation that uses them.

    run/ordain/secrets-asked.json    the agent: the sealed secrets of a new generation
    run/ordain/secrets-tried.json    `main`: by `secret_digest`, the reason why each cannot be opened; "" if it can

Both are root's alone, and neither holds anything that was sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ordain.agent.delivery.identity.decryption_key import CREDENTIAL
from ordain.agent.delivery.identity.key_file import place_of_key
from ordain.agent.system import atomic_files

UNIT = "ordain-secrets.service"
_ASKED = "run/ordain/secrets-asked.json"
_TRIED = "run/ordain/secrets-tried.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFault:
    """The reason why a secret cannot be opened. Without a code, it can."""

    code: str = ""
    what: str = ""
    hint: str = ""


def key_signature(root: Path) -> tuple[str, int, int]:
    """Return the place of the key that opens secrets, and the times of its file: they change with the key."""
    path = place_of_key(root, CREDENTIAL)
    try:
        status = (root / path.lstrip("/")).stat()
    except OSError:
        return "", 0, 0
    return (path, status.st_mtime_ns, status.st_ctime_ns) if path else ("", 0, 0)


def ask(root: Path, sealed: Iterable[str]) -> None:
    """Ask `main` to try the secrets ``sealed`` in its next run. Raises OSError."""
    atomic_files.make_folder((root / _ASKED).parent)
    (root / _TRIED).unlink(missing_ok=True)
    atomic_files.replace(root / _ASKED, json.dumps(sorted(sealed)).encode())


def asked(root: Path) -> tuple[str, ...]:
    """Return the secrets to try, and forget them; none if nobody has asked."""
    path = root / _ASKED
    try:
        words = json.loads(atomic_files.read(path))
        path.unlink()
    except (OSError, ValueError):
        return ()
    return tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()


def answer(root: Path, faults: Mapping[str, SecretFault]) -> None:
    """Record the result by `secret_digest`. Raises OSError."""
    data = {digest: asdict(fault) for digest, fault in faults.items()}
    atomic_files.replace(root / _TRIED, json.dumps(data, sort_keys=True).encode())


def answered(root: Path) -> Mapping[str, SecretFault]:
    """Return the result by `secret_digest`; nothing if `main` has not run."""
    try:
        data = json.loads(atomic_files.read(root / _TRIED))
        return {str(digest): SecretFault(**fault) for digest, fault in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

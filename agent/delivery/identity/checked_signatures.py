"""The signatures that earlier commands of the same user have found valid, in a file of that user.

A check by Ed25519 costs 0.13 ms, which is as much as everything else that is done with a report. The result depends
on the key, the signature and the signed bytes only, so that it can be kept: for each valid signature, the SHA-256 of
these three. The state of the key is not kept; each command reads it from the store.

Whoever can write the file could also change the commands that this user runs. A file that others may write, or in a
directory that they may write, is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.delivery.release.signing import SignatureCheck, valid_signers
from ordain.agent.system import atomic_files

MOST = 20_000
"""The number of signatures that are kept: those of all machines of a large fleet."""
_HEADER = b"ordain checked signatures 1\n"
_DIGEST_BYTES = 32
_WRITABLE_BY_OTHERS = 0o022


@dataclass(slots=True, kw_only=True)
class CheckedSignatures:
    """A `SignatureCheck` that remembers valid signatures in the file ``path``; None: in no file.

    ``used`` are the digests of signatures that were valid since `load`, in the order of their first check.
    """

    path: Path | None
    verify: SignatureCheck = valid_signers
    _known: frozenset[bytes] = frozenset()
    used: dict[bytes, None] = field(default_factory=dict)

    def load(self) -> None:
        """Read the file; one that is missing, damaged or not only the user's own is as an empty one."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            data = _read_own(self.path)
            if data.startswith(_HEADER) and (len(data) - len(_HEADER)) % _DIGEST_BYTES == 0:
                first = range(len(_HEADER), len(data), _DIGEST_BYTES)
                self._known = frozenset(data[at : at + _DIGEST_BYTES] for at in first)

    def check(self, data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
        """Return which of the keys in ``signatures`` have signed ``data``; see `SignatureCheck`."""
        digests = {key: _digest(key, signature, data) for key, signature in signatures.items()}
        known = {key for key, digest in digests.items() if digest in self._known or digest in self.used}
        unknown = {key: signature for key, signature in signatures.items() if key not in known}
        valid = known | (self.verify(data, unknown) if unknown else frozenset())
        self.used.update((digests[key], None) for key in signatures if key in valid)
        return frozenset(valid)

    def save(self) -> None:
        """Write the file if there is something new in it; on a full disk, or where it may not be made, do nothing.

        Signatures that were used last are kept first.
        """
        if self.path is None or not self.used.keys() - self._known:
            return
        digests = [*self.used, *(self._known - self.used.keys())][:MOST]
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_own(self.path.parent.lstat(), stat.S_ISDIR):
                atomic_files.replace(self.path, _HEADER + b"".join(digests))


def cache_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of this user, None for one without a home directory (XDG Base Directory Specification)."""
    home = environment.get("HOME", "")
    cache = environment.get("XDG_CACHE_HOME", "") or (f"{home}/.cache" if home else "")
    return Path(cache) / "ordain/checked-signatures" if cache.startswith("/") else None


def _digest(key: bytes, signature: str, data: bytes) -> bytes:
    head = b"%d %d\n%s%s" % (len(key), len(signature), key, signature.encode())
    return hashlib.sha256(head + data).digest()


def _read_own(path: Path) -> bytes:
    """Return the content of a file that only this user may write. Raises `OSError`, also for any other file."""
    if not _is_own(path.parent.lstat(), stat.S_ISDIR):
        raise PermissionError(f"{path.parent} is not only this user's own")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not _is_own(os.fstat(descriptor), stat.S_ISREG):
            raise PermissionError(f"{path} is not only this user's own")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(len(_HEADER) + MOST * _DIGEST_BYTES + 1)
    finally:
        os.close(descriptor)


def _is_own(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    is_writable = status.st_mode & _WRITABLE_BY_OTHERS
    return is_kind(status.st_mode) and status.st_uid == os.geteuid() and not is_writable

"""A directory as an archive of cpio, in the format "newc" that a kernel unpacks as an initrd.

See Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import stat
from pathlib import Path

_FILE, _FOLDER = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700


def cpio_of(folder: Path, name: str) -> bytes:
    """Return ``folder`` with its files as the directory ``name`` for root alone; b"" if there are no files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_dir() or path.is_file()) if folder.is_dir() else []
    if not any(path.is_file() for path in paths):
        return b""
    members = [_member(name, _FOLDER, b"")]
    for path in paths:
        inside = f"{name}/{path.relative_to(folder)}"
        members.append(_member(inside, _FOLDER, b"") if path.is_dir() else _member(inside, _FILE, path.read_bytes()))
    data = b"".join([*members, _member("TRAILER!!!", 0, b"")])
    return data + bytes(-len(data) % 512)


def _member(name: str, mode: int, data: bytes) -> bytes:
    word = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(word), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + word
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)

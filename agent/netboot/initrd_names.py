"""The names of the files in an initrd: archives of cpio behind one another, each of them compressed or not.

See Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. An initrd that the kernel reads gives all
its names; anything else gives those up to the place where it cannot be read.
"""

from __future__ import annotations

import bz2
import lzma
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs

_HEAD = 110
_NUMBER = lazy_pattern(rb"[0-9A-Fa-f]{8}")
_DEEPEST = 3
"""The compressed archives within one another that are read; those that hold themselves have no end."""
_MAGIC = (b"070701", b"070702")
MAX_BYTES = 1 << 30
"""The most bytes of an initrd, compressed or not, that are read."""


def initrd_names(path: Path) -> frozenset[str]:
    """Return the names of all files in the initrd, without a leading ``./``. Raises `OSError`."""
    return frozenset(names_in(rootfs.first_bytes(path, MAX_BYTES)))


def names_in(data: bytes, depth: int = 0) -> Iterator[str]:
    """Yield the names of all files in an initrd."""
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            while at < len(data) and not data[at]:
                at += 1
        elif data.startswith(_MAGIC, at):
            name, at = _member(data, at)
            if name is None:
                return
            yield name
        else:
            rest = data[at:]
            unpack = next((unpack for magic, unpack in _UNPACKERS.items() if rest.startswith(magic)), None)
            if unpack is not None and depth < _DEEPEST:
                yield from names_in(unpack(rest), depth + 1)
            return


def _member(data: bytes, at: int) -> tuple[str | None, int]:
    """Return the name of the member at ``at`` and the place after it; None if it is not whole."""
    fields = data[at + 54 : at + 62], data[at + 94 : at + 102]
    if not all(map(_NUMBER.fullmatch, fields)):  # a sign would lead back to a member before
        return None, at
    size, length = (int(field, 16) for field in fields)
    begin = at + _aligned(_HEAD + length)
    end = begin + _aligned(size)
    name = data[at + _HEAD : at + _HEAD + length - 1].decode(errors="replace")
    return (name.removeprefix("./"), end) if begin + size <= len(data) else (None, at)


def _aligned(size: int) -> int:
    return size + -size % 4


def _zstd(data: bytes) -> bytes:
    with tempfile.TemporaryFile() as packed:
        packed.write(data)
        packed.seek(0)
        words = ["zstd", "-d", "-c", "-q"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(words, stdin=packed, stdout=subprocess.PIPE, stderr=quiet) as unpacker:
            assert unpacker.stdout is not None
            unpacked = unpacker.stdout.read(MAX_BYTES)
            unpacker.kill()  # it may have more, without end
    return unpacked


def _first_stream(decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Callable[[bytes], bytes]:
    def unpack(data: bytes) -> bytes:
        try:
            return decompressor().decompress(data, MAX_BYTES)
        except (OSError, EOFError, lzma.LZMAError):
            return b""

    return unpack


def _gzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, MAX_BYTES)
    except zlib.error:
        return b""


_UNPACKERS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\x00": _first_stream(lzma.LZMADecompressor),
    b"BZh": _first_stream(bz2.BZ2Decompressor),
}

"""The boot cache: the finished bytes of every unit of one generation, in one file.

    Cache ─pack─▶ bytes ─unpack─▶ Cache

    ordain-cache 1 CRC32\\n                                    24 bytes; the sum covers all that follows
    number hash machine-id boot-id [path kind payload]…       each field ends where a NUL or the file does
    [files files JSON]                                        last: what is no unit, as `files` reads it

``kind`` is a file's mode in octal, or ``link``. No unit may hold a NUL (systemd reads it as the end of a
line), so a NUL can part the fields, and one ``bytes.split`` reads them all: this is the boot path, where a
Python loop over the bytes would cost more than everything else. Nothing here depends on the version of
Python, and equal caches are equal bytes. The sum finds damage, not malice: who may write the file is
checked by its owner and mode (`choose`).
"""

from __future__ import annotations

from zlib import crc32

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    Entry = tuple[str, int, bytes | None, bytes | None]
    """Path, mode, content, link; of the last two one is None."""

VERSION = 1
MAGIC = b"ordain-cache "
DIRECTORIES = ("normal/", "early/", "late/")
_LINE = len(MAGIC) + len(b"1 01234567\n")
_HEAD = 4
_LINK = b"link"
_FILES = b"files"


class CacheError(Exception):
    """A cache that cannot be used.

    ``code``: ``DamagedCache`` (not what was written), ``NewerCache`` (made by a later Ordain),
    ``ForeignCache`` (made for another machine), ``UnsafeCache`` (others may write it), ``UnsignedCache``
    (it came with the boot of a machine that wants signatures), ``BadEntry`` (a path or content that may not be placed).
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what


class Cache:
    """One generation as the generator places it.

    ``machine_id`` and ``boot_id`` bind it to a machine and a boot, as 32 hex digits; empty: any.
    ``entries`` hold paths like ``normal/web.service`` or ``early/x.target.wants/y.service``. ``files`` is what the
    generator only carries: what is no unit, placed by programs that run later (`files`).
    """

    __slots__ = ("boot_id", "entries", "files", "hash", "machine_id", "number")

    def __init__(
        self,
        *,
        number: int = 0,
        hash: str = "",
        machine_id: str = "",
        boot_id: str = "",
        entries: list[Entry],
        files: bytes = b"",
    ) -> None:
        self.number = number
        self.hash = hash
        self.machine_id = machine_id
        self.boot_id = boot_id
        self.entries = entries
        self.files = files

    @property
    def title(self) -> str:
        """What to call it: its number, or the start of its hash where it has none (of an image, of a first boot)."""
        return str(self.number) if self.number else self.hash[:12]


def pack(cache: Cache) -> bytes:
    """The bytes of ``cache``: files first, then links, each by path.

    Raises `CacheError` ``BadEntry`` for what `unpack` would refuse.

    >>> pack(Cache(number=7, hash="c0ffee", entries=[("normal/a.target", 0o644, b"[Unit]\\n", None)]))
    b'ordain-cache 1 c7f5c23a\\n7\\x00c0ffee\\x00\\x00\\x00normal/a.target\\x00644\\x00[Unit]\\n'
    """
    ids = (cache.machine_id.replace("-", ""), cache.boot_id.replace("-", ""))
    fields = [_bytes(word) for word in (str(cache.number), cache.hash, *ids)]
    for path, mode, content, link in sorted(cache.entries, key=lambda entry: (entry[3] is not None, entry[0])):
        if content is not None and link is None:
            fields += [_bytes(path), b"%o" % mode, content]
        elif link is not None and content is None:
            fields += [_bytes(path), _LINK, link]
        else:
            raise CacheError("BadEntry", f"{path}: neither a file nor a link")
    if cache.files:
        fields += [_FILES, _FILES, cache.files]
    body = b"\0".join(fields)
    if len(fields) != body.count(b"\0") + 1:
        raise CacheError("BadEntry", "a field holds a NUL")
    data = b"%s%d %08x\n%s" % (MAGIC, VERSION, crc32(body), body)
    unpack(data)
    return data


def unpack(data: bytes) -> Cache:
    """The cache in ``data``, every field checked. Raises `CacheError`."""
    line = data[:_LINE]
    if not line.startswith(MAGIC):
        raise CacheError("DamagedCache", "not a boot cache" if data else "empty file")
    version = line[len(MAGIC) :].partition(b" ")[0]
    if version != b"%d" % VERSION:
        code = "NewerCache" if version.isdigit() and int(version) > VERSION else "DamagedCache"
        raise CacheError(code, f"format {version.decode('ascii', 'backslashreplace')}, this is {VERSION}")
    if line != b"%s%d %08x\n" % (MAGIC, VERSION, crc32(memoryview(data)[_LINE:])):
        raise CacheError("DamagedCache", f"checksum is wrong ({len(data)} bytes)")
    fields = data.split(b"\0")
    fields[0] = fields[0][_LINE:]
    if len(fields) < _HEAD or (len(fields) - _HEAD) % 3 or not fields[0].isdigit() or len(fields[0]) > 18:
        raise CacheError("DamagedCache", f"{len(fields)} fields")
    files = b""
    if fields[-2] == _FILES and len(fields) > _HEAD:
        files = fields[-1]
        del fields[-3:]
    payloads = fields[_HEAD + 2 :: 3]
    if not all(payloads):
        raise CacheError("BadEntry", "a file or link is empty; an empty unit file masks the unit")
    try:  # unit names are ASCII (unit-name.c, VALID_CHARS)
        number, hash, machine_id, boot_id = [field.decode("ascii") for field in fields[:_HEAD]]
        paths = b"\0".join(fields[_HEAD::3]).decode("ascii").split("\0") if payloads else []
        entries: list[Entry] = []
        for path, kind, payload in zip(paths, fields[_HEAD + 1 :: 3], payloads, strict=True):
            if kind == b"644":
                entries.append((path, 0o644, payload, None))
            elif kind == _LINK:
                entries.append((path, 0o777, None, payload))
            else:
                entries.append((path, _mode(kind), payload, None))
    except ValueError as error:
        raise CacheError("BadEntry", str(error)) from None
    _check(paths)
    return Cache(number=int(number), hash=hash, machine_id=machine_id, boot_id=boot_id, entries=entries, files=files)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # whatever is not ASCII is refused by unpack


def _mode(kind: bytes) -> int:
    if not kind.isdigit() or len(kind) > 4:
        raise ValueError(f"mode {kind!r}")
    return int(kind, 8)


def _check(paths: list[str]) -> None:
    """Refuse a path that leaves its directory or that systemd would not read."""
    together = "\0".join(["", *paths, ""])  # one search through all of them costs less than a thousand small ones
    if (
        # No component may be empty or start with a dot, which rules out "." and ".." as well.
        any(part in together for part in ("/.", "//", "/\0"))
        or sum(together.count(f"\0{directory}") for directory in DIRECTORIES) != len(paths)
        or max([path.count("/") for path in paths], default=0) > 2
    ):
        raise CacheError("BadEntry", next(filter(None, map(_why_not, paths))))
    if len(set(paths)) != len(paths):
        raise CacheError("BadEntry", "two entries with one path")


def _why_not(path: str) -> str:
    if not path.startswith(DIRECTORIES) or "/." in path or "//" in path or path[-1] == "/":
        return f"{path!r} is no place for a unit"
    return f"{path!r} is too deep" if path.count("/") > 2 else ""

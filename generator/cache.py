"""The boot cache: one file with the finished bytes of all units of one generation.

    Cache ─pack─▶ bytes ─unpack─▶ Cache

    ordain-cache 1 CRC32\\n                                    24 bytes; the sum covers everything after them
    number hash machine-id boot-id [path kind payload]…       fields, separated by NUL
    [files files JSON]                                        last: files that are not units, as `files` reads them

``kind`` is the mode of a file in octal, or ``link``. A unit may not contain NUL, which systemd reads as the end of a
line, so NUL separates the fields, and one ``bytes.split`` reads them all. In the boot path, a Python loop over the
bytes would cost more than everything else. Nothing depends on the version of Python, and equal caches have equal bytes.
The sum detects damage but not malice; the owner and the mode of the file show who may write it (`choose`).
"""

from __future__ import annotations

from zlib import crc32

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    Entry = tuple[str, int, bytes | None, bytes | None]
    """Path, mode, content, target of a link; one of the last two is None."""

VERSION = 1
MAGIC = b"ordain-cache "
DIRECTORIES = ("normal/", "early/", "late/")
_LINE = len(MAGIC) + len(b"1 01234567\n")
_HEAD = 4
_LINK = b"link"
_FILES = b"files"


class CacheError(Exception):
    """A cache that cannot be used.

    The codes are ``DamagedCache`` (it was changed after it was written), ``NewerCache`` (made by a later version of
    Ordain), ``ForeignCache`` (made for another machine), ``UnsafeCache`` (writable by users other than root),
    ``UnsignedCache`` (delivered with the boot of a machine that requires signatures), and ``BadEntry`` (a path or
    content that may not be placed).
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what


class Cache:
    """One generation as the generator places it.

    ``machine_id`` and ``boot_id`` (32 hex digits) restrict it to a machine and a boot; empty means any. ``entries``
    have paths like ``normal/web.service`` or ``early/x.target.wants/y.service``. ``files`` are files that are not
    units: the generator ignores them, and programs that run later place them (`files`).
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
        """Return the number, or the start of the hash if there is no number (in an image or at a first boot)."""
        return str(self.number) if self.number else self.hash[:12]


def pack(cache: Cache) -> bytes:
    """Return the bytes of ``cache``: files first, then links, both sorted by path.

    Raises `CacheError` ``BadEntry`` for entries that `unpack` would refuse.

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
            raise CacheError("BadEntry", f"{path}: is neither a file nor a link")
    if cache.files:
        fields += [_FILES, _FILES, cache.files]
    body = b"\0".join(fields)
    if len(fields) != body.count(b"\0") + 1:
        raise CacheError("BadEntry", "a field contains a NUL")
    data = b"%s%d %08x\n%s" % (MAGIC, VERSION, crc32(body), body)
    unpack(data)
    return data


def unpack(data: bytes) -> Cache:
    """Return the cache in ``data`` after every field is checked. Raises `CacheError`."""
    line = data[:_LINE]
    if not line.startswith(MAGIC):
        raise CacheError("DamagedCache", "the file is not a boot cache" if data else "the file is empty")
    version = line[len(MAGIC) :].partition(b" ")[0]
    if version != b"%d" % VERSION:
        code = "NewerCache" if version.isdigit() and int(version) > VERSION else "DamagedCache"
        raise CacheError(
            code, f"has format {version.decode('ascii', 'backslashreplace')}, but only {VERSION} can be read"
        )
    if line != b"%s%d %08x\n" % (MAGIC, VERSION, crc32(memoryview(data)[_LINE:])):
        raise CacheError("DamagedCache", f"the checksum is wrong ({len(data)} bytes)")
    fields = data.split(b"\0")
    fields[0] = fields[0][_LINE:]
    if len(fields) < _HEAD or (len(fields) - _HEAD) % 3 or not fields[0].isdigit() or len(fields[0]) > 18:
        raise CacheError("DamagedCache", f"the number of fields is wrong ({len(fields)})")
    files = b""
    if fields[-2] == _FILES and len(fields) > _HEAD:
        files = fields[-1]
        del fields[-3:]
    payloads = fields[_HEAD + 2 :: 3]
    if not all(payloads):
        raise CacheError("BadEntry", "a file or link is empty, and an empty unit file would mask the unit")
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
    return text.encode("utf-8", "surrogatepass")  # unpack refuses everything that is not ASCII


def _mode(kind: bytes) -> int:
    if not kind.isdigit() or len(kind) > 4:
        raise ValueError(f"mode {kind!r}")
    return int(kind, 8)


def _check(paths: list[str]) -> None:
    """Refuse a path outside of its directory, or one that systemd would not read."""
    together = "\0".join(["", *paths, ""])  # one search through all paths is faster than a thousand small ones
    if (
        # No component may be empty or start with a dot, so "." and ".." are refused, too.
        any(part in together for part in ("/.", "//", "/\0"))
        or sum(together.count(f"\0{directory}") for directory in DIRECTORIES) != len(paths)
        or max([path.count("/") for path in paths], default=0) > 2
    ):
        raise CacheError("BadEntry", next(filter(None, map(_why_not, paths))))
    if len(set(paths)) != len(paths):
        raise CacheError("BadEntry", "two entries have the same path")


def _why_not(path: str) -> str:
    if not path.startswith(DIRECTORIES) or "/." in path or "//" in path or path[-1] == "/":
        return f"{path!r} is not a valid path for a unit"
    return f"{path!r} has too many components" if path.count("/") > 2 else ""

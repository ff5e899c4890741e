"""The choice of the generation for this boot.

    kernel command line, attempts, caches ──choose──▶ BootChoice

The candidates, in order: the trial of this boot, current, fallback, a cache that was made in this boot or delivered
with it, baseline, nothing (docs/design/contract.md, rule 6). A cache that is missing, damaged, of another machine, or
whose last three boots did not complete is skipped with a note. A cache that was delivered with the boot is skipped if
agent.yaml requires signatures. This module only reads, and only below the given root.
"""

from __future__ import annotations

from posix import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, close, environ, fstat, geteuid, read
from posix import open as open_fd
from zlib import crc32

from ordain.generator.cache import CacheError, unpack

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ordain.generator.cache import Cache

AGENT = "/etc/ordain/agent.yaml"
TRUST = "/etc/ordain/boot/trust"
"""The value of `trust` in agent.yaml, which the agent records, because the generator cannot read YAML."""
LOCAL, REQUIRED, OPEN = "local", "required", "open"
ATTEMPTS = "/etc/ordain/boot/attempts"
RECORD = "/run/ordain/boot/choice"
HANDED = "/run/ordain/boot/handed"
"""The cache that was made in this boot (`first_boot`), or delivered with it."""
BASELINE = "/usr/lib/ordain/boot/baseline"
MAX_ATTEMPTS = 3
"""The number of boots that each candidate gets to complete one."""
NOTHING = "nothing"
"""The entry among the attempts, instead of a hash, of a boot for which no candidate was left."""
SIZE_MAX = 64 << 20
AGENT_SIZE_MAX = 1 << 20
"""As much as the agent reads of its file (`rootfs.LIMIT`)."""
TRUST_SIZE_MAX = 64
_REGULAR = 0o100000  # S_IFREG; the stat module is one import more


class BootChoice:
    """The cache to place in this boot, and the way it was chosen.

    ``origin``: ``trial``, ``current``, ``fallback``, ``handed``, ``baseline``, the number asked for with
    ``ordain.boot=``, ``nothing`` or ``off``. ``notes`` name the caches that were passed over, with reasons. ``tried``
    holds the hash of a generation once for every `MAX_ATTEMPTS` boots that did not complete with it before this boot,
    ``booted`` is the hash of the generation this boot began with. Both stay the same for the whole boot; otherwise a
    reload would count the boot's own attempt and place another generation. ``boot_usec`` is the time that the first
    run of the boot took. ``handed`` is the hash that an earlier run of this boot placed from `HANDED`.
    ``undecided``: a cache at `HANDED` was passed over because nobody has recorded the `trust` of agent.yaml.
    """

    __slots__ = (
        *("boot_id", "boot_usec", "booted", "cache", "first", "handed", "notes", "option", "origin"),
        *("tried", "undecided"),
    )

    def __init__(self, root: str) -> None:
        self.boot_id = _word(root + "/proc/sys/kernel/random/boot_id").replace("-", "")
        record = read_record(root)
        self.first = not self.boot_id or record.get("boot_id") != self.boot_id
        self.tried = _tried(root) if self.first else record.get("tried", "").split()
        self.boot_usec = "" if self.first else record.get("boot_usec", "")
        self.booted = "" if self.first else record.get("booted", "")
        self.handed = record.get("hash", "") if not self.first and record.get("from") == "handed" else ""
        self.undecided = False
        self.option = ""
        self.origin = "nothing"
        self.cache: Cache | None = None
        self.notes: list[str] = []


def choose(root: str, trust: str = "") -> BootChoice:
    """Return the choice of the first cache below ``root`` that may be placed in this boot.

    ``trust`` is the value in agent.yaml if `first_boot` has read it; it counts only if the agent recorded none.
    """
    choice = BootChoice(root)
    on, option = _options(root)
    if not on:
        choice.origin = "off"
        return choice
    if option not in ("", "fallback", "baseline") and not (option.isascii() and option.isdigit()):
        choice.notes.append(f"ordain.boot={option[:40]}: is not fallback, baseline or a number; using fallback")
        option = "fallback"
    choice.option = option
    passed: list[str] = []
    for origin, path in _candidates(option):
        try:
            cache = _load(root, path)
            if path == HANDED:
                _check_trust(root, trust, choice, cache)
        except FileNotFoundError:
            if origin == option:
                choice.notes.append(f"ordain.boot={option}: no such boot cache; using the next one")
            continue
        except OSError as error:
            choice.notes.append(f"{path}: {error.strerror}; using the next one")
            continue
        except CacheError as error:
            choice.notes.append(f"{path}: {error}; using the next one")
            continue
        if origin == "trial" and (not cache.boot_id or cache.boot_id != choice.boot_id):
            continue  # the trial of an earlier boot is over
        # A hash that occurs twice gets its boots twice: a fallback that equals current has completed a boot before.
        if choice.tried.count(cache.hash) > passed.count(cache.hash) and origin not in ("trial", option):
            passed.append(cache.hash)
            what = f"{MAX_ATTEMPTS} boots with generation {cache.title} did not complete"
            choice.notes.append(f"{path}: {what}; using the next one")
            continue
        choice.cache, choice.origin = cache, origin
        return choice
    return choice


def read_record(root: str) -> dict[str, str]:
    """Return the last record in `RECORD`, without notes and problems; empty if there is none."""
    pairs = {}
    for line in _small(root + RECORD).decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition("=")
        pairs[key] = value
    return pairs


def _candidates(option: str) -> Iterator[tuple[str, str]]:
    yield "trial", "/run/ordain/boot/current"
    if option.isdigit():
        yield option, f"/etc/ordain/boot/{option[:18]}"
    if not option:
        yield "current", "/etc/ordain/boot/current"
    if option != "baseline":
        yield "fallback", "/etc/ordain/boot/fallback"
        yield "handed", HANDED
    yield "baseline", BASELINE


def _options(root: str) -> tuple[bool, str]:
    """Return two facts from the kernel command line: whether Ordain is on, and the last value of ``ordain.boot``."""
    container = environ.get(b"SYSTEMD_VIRTUALIZATION", b"").startswith(b"container:")
    if container or _word(root + "/run/systemd/container"):
        # In a container, /proc/cmdline is that of the host (systemd reads this file, too: proc-cmdline.c).
        words = _small(root + "/proc/1/cmdline").split(b"\0")
    else:
        words = _small(root + "/proc/cmdline").split()
    on, boot = True, ""
    for word in words:
        key, _, value = word.partition(b"=")
        if key == b"ordain":
            on = value != b"off"
        elif key == b"ordain.boot":
            boot = value.decode("ascii", "replace")
    return on, boot


def _tried(root: str) -> list[str]:
    """Return the hash of a generation once for every `MAX_ATTEMPTS` boots that did not complete with it.

    `ATTEMPTS` has a line ``HASH BOOT-ID`` for each boot that did not complete. When a boot completes, the lines with
    its hash are removed. A line that a power cut truncated counts as well: that boot did not complete either.
    """
    counts: dict[str, int] = {}
    for line in sorted(set(_small(root + ATTEMPTS).split(b"\n"))):
        hash = line.decode("ascii", "replace").partition(" ")[0]
        counts[hash] = counts.get(hash, 0) + 1
    return [hash for hash, count in sorted(counts.items()) if hash for _ in range(count // MAX_ATTEMPTS)]


def _load(root: str, path: str) -> Cache:
    """Return the cache at ``path`` if it is for this machine. Raises `OSError`, `CacheError`."""
    cache = unpack(read_trusted(root + path))
    if cache.machine_id and cache.machine_id != _word(root + "/etc/machine-id"):
        raise CacheError("ForeignCache", f"made for another machine ({cache.machine_id})")
    return cache


def _check_trust(root: str, asked: str, choice: BootChoice, cache: Cache) -> None:
    """Raise `CacheError` if agent.yaml accepts only signed documents, or if that is unknown: a cache has no signature.

    An earlier run in this boot may have placed the cache already. Then it is placed again unless a recorded value
    forbids it; otherwise a reload during an upgrade would remove its units.
    """
    trust = _trust(root) or asked or (LOCAL if cache.hash == choice.handed else "")
    if trust == REQUIRED:
        raise CacheError(
            "UnsignedCache", "agent.yaml accepts only signed releases (`trust`), and a boot cache has no signature"
        )
    if trust not in (LOCAL, OPEN):
        choice.undecided = True
        raise CacheError("UnsignedCache", "agent.yaml has changed, and may accept only signed releases")


def trust_record(trust: str, agent_yaml: bytes) -> bytes:
    """Return the content of `TRUST`: the value of `trust`, and the size and the sum of the file that it was read from.

    The sum shows whether the file has changed since. Only root could forge it, and root may write the file anyway.

    >>> trust_record("open", b"trust: open\\n")
    b'open 12 25d6a0a6\\n'
    """
    return b"%s %d %08x\n" % (trust.encode(), len(agent_yaml), crc32(agent_yaml))


def _trust(root: str) -> str:
    """Return the value of `trust` in agent.yaml, ``""`` if it is not recorded for the current content of the file.

    If the file is missing or empty, the default counts. If it cannot be read, the strictest value counts.
    """
    try:
        text = _read(root + AGENT, AGENT_SIZE_MAX)[0]
    except FileNotFoundError:
        return LOCAL
    except (OSError, CacheError):
        return REQUIRED
    try:
        record = read_trusted(root + TRUST, TRUST_SIZE_MAX)
    except (OSError, CacheError):
        record = b""
    known = {trust_record(trust, text): trust for trust in (LOCAL, REQUIRED, OPEN)}
    return known.get(record, "" if text else LOCAL)


def read_trusted(path: str, size_max: int = SIZE_MAX) -> bytes:
    """Return the content of a regular file that only root, or the current user, may write.

    Raises `OSError`, `CacheError`.
    """
    data, owner, mode = _read(path, size_max, O_NOFOLLOW)
    if owner not in (0, geteuid()) or mode & 0o022:
        what = f"owner {owner}, mode {mode & 0o7777:04o}: writable by users other than root"
        raise CacheError("UnsafeCache", what)
    return data


def _read(path: str, size_max: int, flags: int = 0) -> tuple[bytes, int, int]:
    """Return the content, the owner and the mode of a regular file. Raises `OSError`, `CacheError`.

    Without O_NONBLOCK, opening a FIFO would wait for a writer, and block the boot.
    """
    fd = open_fd(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags)
    try:
        stat = fstat(fd)
        size = stat.st_size
        if stat.st_mode & 0o170000 != _REGULAR:
            raise CacheError("UnsafeCache", "is not a regular file")
        if size > size_max:
            raise CacheError("UnsafeCache", f"has {size} bytes, which is more than the limit of {size_max}")
        data = read(fd, size)
        while len(data) < size and (more := read(fd, size - len(data))):
            data += more
        return data, stat.st_uid, stat.st_mode
    finally:
        close(fd)


def _small(path: str) -> bytes:
    """Return the first 64 KiB of a file; empty if it is missing or cannot be read."""
    try:
        fd = open_fd(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    except OSError:
        return b""
    try:
        return read(fd, 1 << 16)
    except OSError:
        return b""
    finally:
        close(fd)


def _word(path: str) -> str:
    return _small(path).strip().decode("ascii", "replace")

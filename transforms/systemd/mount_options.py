"""Options of mounts that are not options of a file system, and those that override others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern

_FOR_FSTAB: Mapping[str, str] = {
    "noauto": "write `state: stopped`, and `automount: true` for a mount at the first use",
    "auto": "remove it: a mount is mounted unless its `state` says otherwise",
    "x-systemd.automount": "write `automount: true`",
    "x-systemd.idle-timeout": "write `units: {NAME.automount.d: {Automount: {TimeoutIdleSec: …}}}`",
    "x-systemd.mount-timeout": "write `timeout`",
    "x-systemd.device-timeout": "write `units: {DEVICE.device.d: {Unit: {JobRunningTimeoutSec: …}}}`",
    "x-systemd.makefs": "call systemd-makefs in a service before the mount",
    "x-systemd.growfs": "call systemd-growfs in a service after the mount",
    "x-systemd.wanted-by": "name the mount in `wants` of the other unit",
    "x-systemd.required-by": "name the mount in `requires` of the other unit",
}
"""Options that systemd-fstab-generator makes settings of (systemd.mount(5), FSTAB), and what to write instead."""
_PAIRS = (
    *(("ro", "rw"), ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("sync", "async")),
    *(("atime", "noatime"), ("relatime", "norelatime"), ("hard", "soft"), ("acl", "noacl"), ("lock", "nolock")),
)
OPPOSITES: Mapping[str, str] = {option: other for a, b in _PAIRS for option, other in ((a, b), (b, a))}
"""For each option, the one that it overrides if it comes later (mount(8))."""
IMPLIED: Mapping[str, tuple[str, ...]] = {
    "defaults": (),
    "user": ("noexec", "nosuid", "nodev"),
    "users": ("noexec", "nosuid", "nodev"),
    "owner": ("nosuid", "nodev"),
    "group": ("nosuid", "nodev"),
}
"""Options that stand for others, "unless overridden by subsequent options" (mount(8))."""


def instead(option: str) -> str:
    """Return the remedy for an option that only systemd-fstab-generator reads, "" for any other option.

    >>> instead("noauto")[:20], instead("x-systemd.requires"), instead("ro")
    ('write `state: stoppe', 'write `units: {NAME.mount.d: {Unit: …}}`', '')
    """
    if option in _FOR_FSTAB:
        return _FOR_FSTAB[option]
    return "write `units: {NAME.mount.d: {Unit: …}}`" if option.startswith("x-systemd.") else ""


_SPECIFIER = lazy_pattern("%[A-Za-z]")
_AMOUNT = lazy_pattern(r"(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)[KMGTPEkmgtpe]?")
_SIZE = lazy_pattern(rf"(?:{_AMOUNT.pattern}|[0-9]+%)")
_OF_TMPFS: Mapping[str, tuple[LazyPattern[str], str, str]] = {
    "size": (
        _SIZE,
        "a size",
        "write a whole number with K, M or G, or a percentage of the memory, such as 512M or 25%",
    ),
    "nr_blocks": (_AMOUNT, "a number of blocks", "write a whole number, also with k, m or g"),
    "nr_inodes": (_AMOUNT, "a number of files", "write a whole number, also with k, m or g"),
    "mode": (lazy_pattern("[0-7]{1,5}"), "an octal mode", "such as 1777"),
    "huge": (
        lazy_pattern("never|always|within_size|advise|deny|force"),
        "a choice",
        "write never, always, within_size or advise",
    ),
}
"""Options of tmpfs: the values that the kernel takes, such a value in words, and a hint (tmpfs(5), mm/shmem.c)."""
Fault = tuple[str, str, str]
"""The option that causes a fault, the fault, and a hint."""


def faults(kind: str, options: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the options with which the kernel refuses a mount of the type ``kind``, or that it ignores.

    >>> [fault for _, fault, _ in faults("tmpfs", {"size": "1GiB"})]
    ['the kernel refuses size=1GiB: it is not a size']
    """
    plain = {name: value for name, value in options.items() if not _SPECIFIER.search(value)}
    yield from _OF_TYPES.get(kind, _nothing)(plain)


def _nothing(options: Mapping[str, str]) -> Iterator[Fault]:
    yield from ()


def _tmpfs(options: Mapping[str, str]) -> Iterator[Fault]:
    for name, (pattern, what, hint) in _OF_TMPFS.items():
        value = options.get(name, "")
        if value and value[0] == "0" and value[1:2].isdigit() and name != "mode":
            yield name, f"to the kernel, a number with a leading 0 is octal: {name}={value}", "write it without the 0"
        elif value and not pattern.fullmatch(value):
            yield name, f"the kernel refuses {name}={value}: it is not {what}", hint


def _ramfs(options: Mapping[str, str]) -> Iterator[Fault]:
    if name := next((name for name in ("size", "nr_blocks", "nr_inodes", "uid", "gid") if name in options), ""):
        yield name, f"ramfs ignores the option {name}", "write `type: tmpfs`"


def _overlay(options: Mapping[str, str]) -> Iterator[Fault]:
    lower = any(name in options for name in ("lowerdir", "lowerdir+", "datadir+"))
    hint = "write lowerdir, upperdir and workdir, or several directories with : between them in lowerdir"
    if not lower:
        yield "upperdir", "an overlay needs the option lowerdir", hint
    elif "upperdir" in options and "workdir" not in options:
        yield (
            "upperdir",
            "an overlay with upperdir needs the option workdir",
            "name an empty directory of that file system",
        )
    elif "upperdir" not in options and ":" not in options.get("lowerdir", ":"):
        yield "lowerdir", "an overlay without upperdir needs two directories or more in lowerdir", hint
    elif options.get("upperdir") and _is_inside(options["upperdir"], options.get("workdir", "")):
        yield "workdir", "workdir and upperdir of an overlay cannot be inside each other", "write two directories"


def _is_inside(one: str, two: str) -> bool:
    first, second = (f"{path.rstrip('/')}/" for path in (one, two))
    return first.startswith(second) or second.startswith(first)


def _swap(options: Mapping[str, str]) -> Iterator[Fault]:
    for name, value in options.items():
        if name not in _OF_SWAP and not name.startswith("x-") and not instead(name):
            yield name, f"swapon ignores the option {name}", "write discard, discard=once, discard=pages or `priority`"
        elif name == "discard" and value not in ("", "once", "pages"):
            yield name, f"swapon refuses discard={value}", "write discard, discard=once or discard=pages"


_OF_SWAP = frozenset("discard pri nofail sw defaults".split())
"""The options of swapon(8), and words of fstab(5) that it takes without an effect."""
_OF_TYPES: Mapping[str, Callable[[Mapping[str, str]], Iterator[Fault]]] = {
    "tmpfs": _tmpfs,
    "ramfs": _ramfs,
    "overlay": _overlay,
    "swap": _swap,
}

"""The syntax of sysctl.d(5), and the order in which systemd-sysctl reads its files."""

from __future__ import annotations

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
"""The directories, by priority: of two files of one name, systemd-sysctl reads only that of the first directory."""
_GLOB = frozenset("*?[")


def parameter_path(name: str) -> str:
    """Return the file of a kernel parameter below /proc/sys: the first separator separates its parts (sysctl.d(5)).

    >>> parameter_path("net.ipv4.conf.dm0/100.rp_filter"), parameter_path("net/ipv4/conf/dm0.100/rp_filter")
    ('net/ipv4/conf/dm0.100/rp_filter', 'net/ipv4/conf/dm0.100/rp_filter')
    """
    first = next((char for char in name if char in "./"), "")
    return name.translate(str.maketrans("./", "/.")) if first == "." else name


def assignments(text: str) -> dict[str, str]:
    """Return the values that a file sets, by the paths of the parameters; the last assignment is used.

    Globs are left out: they leave every parameter alone that any file names.

    >>> assignments("# a\\n-net.ipv4.ip_forward = 0\\nnet/ipv4/conf/*/rp_filter = 1\\n-kernel.x\\n")
    {'net/ipv4/ip_forward': '0'}
    """
    values = {}
    for line in text.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and name[:1] not in ("#", ";", "") and not _GLOB & set(name):
            values[parameter_path(name.removeprefix("-").strip())] = value
    return values


def is_read(path: str) -> bool:
    """Return whether systemd-sysctl reads the file at ``path``, if no file of its name overrides it."""
    folder, _, name = path.rpartition("/")
    return folder in DIRECTORIES and name.endswith(".conf")

"""Paths that the machine needs: where no file may be placed, nothing mounted, and no directory given to a service.

Each function judges a path under all its names: /bin/sh is /usr/bin/sh, and /var/run/systemd is /run/systemd.
Standard library only: `generator.files` imports this module, and the package of the generator has a copy.
"""

from __future__ import annotations

_ALIASES = {
    "/bin": "/usr/bin",
    "/sbin": "/usr/sbin",
    "/lib": "/usr/lib",
    "/lib32": "/usr/lib32",
    "/lib64": "/usr/lib64",
    "/libx32": "/usr/libx32",
    "/var/run": "/run",
    "/var/lock": "/run/lock",
}
"""Links that each system has, or had before /bin and /usr/bin became one; both names are as vital there."""
_PROCESS_LINKS = ("root", "cwd")
"""Links in the directory of a process that lead out of /proc."""
_OURS = ("/var/lib/ordain", "/etc/ordain", "/run/ordain", "/usr/lib/ordain")
_GENERATORS = tuple(
    f"{prefix}/systemd/{kind}"
    for prefix in ("/etc", "/run", "/usr/lib", "/usr/local/lib")
    for kind in ("system-generators", "user-generators", "system-environment-generators", "system-shutdown")
)
TREES = (
    *("/proc", "/sys", "/dev", *_OURS),
    *("/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"),
    *("/run/systemd/transient", "/run/systemd/system.control", "/etc/systemd/system.control"),
    *("/etc/pam.d", "/usr/lib/pam.d", *_GENERATORS),
)
"""Trees of the kernel, of Ordain itself, of what PID 1 writes or runs before any unit, and of the login."""
SYSUSERS = "/run/ordain/sysusers/"
SECRETS = "/run/ordain/secrets/"
_MADE_BY_SECTIONS = (SYSUSERS, SECRETS)
"""The exceptions in our own trees, for the files that the sections `users`, `groups` and `secrets` make."""
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/usr/local/lib/systemd/system")
FILES = {
    "/etc/passwd": "users",
    "/etc/shadow": "users",
    "/etc/group": "groups",
    "/etc/gshadow": "groups",
    "/etc/fstab": "mounts",
    "/etc/machine-id": "",
    "/etc/ld.so.cache": "",
    "/etc/ld.so.preload": "",
    "/etc/nsswitch.conf": "",
}
"""Files without which a machine does not boot, or nobody can log in, and the section that changes them."""
_PROGRAMS = frozenset(
    "agetty bash busybox dash dbus-broker dbus-broker-launch dbus-daemon env fsck init kmod ldconfig login modprobe"
    " mount sh sulogin systemctl systemd udevadm umount".split()
)
"""Programs of a boot, of a login and of units; python3 is that of Ordain."""
_PROGRAM_PREFIXES = ("fsck.", "systemd-", "python3")
TOP = frozenset(
    "/ /boot /etc /home /media /mnt /opt /root /run /srv /tmp /usr /usr/bin /usr/lib /usr/lib32 /usr/lib64 /usr/libexec"
    " /usr/sbin /usr/share /var /var/cache /var/lib /var/log /var/spool /var/tmp".split()
)
_MOUNTABLE = frozenset(
    "/boot /home /media /mnt /opt /root /srv /tmp /var /var/cache /var/lib /var/log /var/spool /var/tmp".split()
)
"""Directories of `TOP` that are a file system of their own on many machines."""
_OTHERS = (
    *("/etc/dbus-1", "/etc/systemd", *UNITS, "/usr/lib/systemd", "/usr/share/dbus-1", "/usr/lib/locale"),
    *("/run/credentials", "/run/dbus", "/run/lock", "/run/log", "/run/mount", "/run/NetworkManager", "/run/systemd"),
    *("/run/udev", "/run/user", "/var/cache/apt", "/var/cache/dnf", "/var/cache/ldconfig", "/var/cache/private"),
    *("/var/lib/apt", "/var/lib/dbus", "/var/lib/dpkg", "/var/lib/pacman", "/var/lib/private", "/var/lib/rpm"),
    *("/var/lib/systemd", "/var/log/private"),
)
"""Further directories that programs of the system share, each with an owner and a mode that it needs."""
_JOURNAL = "/var/log/journal"
"""The journal, whose directory a document may make: journald then keeps the journal over a boot."""
_UNMOUNTABLE = (
    *("/etc/dbus-1", "/etc/systemd/system", "/usr/lib/systemd/system", "/usr/share/dbus-1", "/usr/lib/python3"),
    *("/proc", "/sys", "/dev"),
)
"""Directories, besides those of `TOP`, whose files the machine needs before and after each mount."""
_UNMOUNTABLE_TREES = (*_OURS, "/run/credentials", "/run/dbus", "/run/systemd", "/run/udev")
_SOCKETS_OF_SYSTEM = ("/run/dbus", "/run/systemd", "/run/udev")
_OPEN_SOCKETS = ("/run/systemd/journal/syslog",)
"""Sockets below `_SOCKETS_OF_SYSTEM` that are meant for other services (systemd-journald.service(8))."""
_LOADER = ("ld-linux", "ld-musl", "ld64.so", "ld.so", "libc.so", "libc.musl")
"""The first letters of the names of what starts every program, in a directory of libraries."""


def real_path(path: str) -> str:
    """Return an absolute path without ``//``, ``/./``, ``/../``, a slash at the end, and the links of every system.

    >>> real_path("/var/run//systemd/"), real_path("/etc/../bin/sh"), real_path("/proc/self/root/etc")
    ('/run/systemd', '/usr/bin/sh', '/etc')
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
            if len(parts) <= 3 and (target := _link(parts)) is not None:
                parts = target
    return f"/{'/'.join(parts)}"


def _link(parts: list[str]) -> list[str] | None:
    """Return the parts of what a path leads to, None if it is not one of the known links."""
    if len(parts) == 3:
        return [] if parts[0] == "proc" and parts[2] in _PROCESS_LINKS else None
    target = _ALIASES.get(f"/{'/'.join(parts)}")
    return target[1:].split("/") if target else None


def through_link(path: str) -> tuple[str, str]:
    """Return that ``path`` leads through a known link, which neither PID 1 nor `generator.files` follows, and a hint.

    >>> through_link("/var/run/app"), through_link("/library")
    (('/var/run is a link', 'write /run/app'), ('', ''))
    """
    link = next((link for link in _ALIASES if _is_in(path.rstrip("/"), link)), "")
    return (f"{link} is a link", f"write {real_path(path)}") if link else ("", "")


def is_link_everywhere(path: str) -> bool:
    """Return whether ``path`` leads through a link that every system has; /bin is still a directory on a few."""
    return path.startswith(("/var/", "/proc/"))


def why_forbidden(path: str, *, by_section: bool = False) -> tuple[str, str]:
    """Return why no file may be placed at ``path``, and a hint; two empty strings if it may.

    ``by_section``: the sections `users`, `groups` and `secrets` may have made the file.

    >>> why_forbidden("/etc/passwd")
    ('the machine depends on /etc/passwd', 'use the section `users`')
    >>> why_forbidden("/etc/nginx/nginx.conf")
    ('', '')
    """
    bare = path.rstrip("/") or "/"
    parts = bare.split("/")[1:]
    if not path.startswith("/") or (bare != "/" and any(part in ("", ".", "..") for part in parts)):
        return f"{path} is not an absolute path without //, /./ and /../", "write it so"
    real = real_path(bare)
    name = _named(bare, real)
    if real in FILES:
        section = FILES[real]
        return f"the machine depends on {name}", f"use the section `{section}`" if section else "choose another path"
    if real in TOP or real in _OTHERS:
        return f"the machine depends on {name}", "name a file in it"
    for tree in TREES:
        if by_section and bare.startswith(_MADE_BY_SECTIONS):
            break
        if _is_in(real, tree) or _is_in(bare, tree):
            return f"no file may be placed in {tree}", "choose another path"
    if _is_of_every_program(real):
        return f"every program needs {name}", "choose another path"
    folder, _, last = real.rpartition("/")
    of_programs = folder in ("/usr/bin", "/usr/sbin") and (last in _PROGRAMS or last.startswith(_PROGRAM_PREFIXES))
    of_systemd = folder == "/usr/lib/systemd" and last.startswith(("systemd", "libsystemd"))
    if of_programs or of_systemd or _is_of_python(real):
        return f"the machine depends on {name}", "choose another path"
    for tree in UNITS:
        if _is_in(real, tree):
            return f"no unit may be placed in {tree}", "use the sections `services` and `units`"
    return "", ""


def why_not_mounted(path: str) -> str:
    """Return why nothing may be mounted at ``path``, ``""`` if it may.

    A file system hides what is below it, so a directory above a vital one is vital, too.

    >>> why_not_mounted("/bin"), why_not_mounted("/srv/data")
    ('a mount over /bin (which is /usr/bin) could keep the machine from booting', '')
    """
    real = real_path(path)
    if real in _MOUNTABLE:
        return ""
    vital = (
        real in TOP
        or any(_is_in(tree, real) for tree in (*_UNMOUNTABLE, *_UNMOUNTABLE_TREES))
        or any(_is_in(real, tree) for tree in _UNMOUNTABLE_TREES)
        or _is_of_libraries(real)
        or _is_of_python(real)
    )
    return f"a mount over {_named(path, real)} could keep the machine from booting" if vital else ""


def why_not_owned(path: str) -> str:
    """Return why a service cannot have the directory ``path``, which PID 1 gives to its user; ``""`` if it can.

    >>> why_not_owned("/run/systemd"), why_not_owned("/var/lib/app")
    ('/run/systemd is a directory of the system', '')
    """
    real = real_path(path)
    for tree in (*_OTHERS, *_OURS, _JOURNAL):
        if real == tree or (_is_in(real, tree) and tree not in _SHARED):
            return f"{_named(path, real)} is {'in ' if real != tree else ''}a directory of the system"
    return f"{_named(path, real)} is a directory of the system" if real in TOP else ""


_SHARED = frozenset(("/run/lock", "/run/log", "/etc/systemd", "/usr/lib/systemd", "/var/lib/systemd"))
"""Directories of the system in which a service may have one of its own."""


def why_not_listened(path: str) -> str:
    """Return why no socket may be made at ``path``, ``""`` if it may.

    PID 1 removes whatever is at the path of a socket (socket_address_listen() in src/shared/socket-util.c).
    """
    real = real_path(path)
    if real in _OPEN_SOCKETS or (_is_in(real, "/dev") and real != "/dev/log"):
        return ""
    if any(_is_in(real, tree) for tree in _SOCKETS_OF_SYSTEM):
        return f"{_named(path, real)} belongs to the system"
    return why_forbidden(real)[0]


def _named(path: str, real: str) -> str:
    """Return a path as it is written, with the path that it leads to."""
    bare = path.rstrip("/") or "/"
    return bare if bare == real else f"{bare} (which is {real})"


def _is_in(path: str, tree: str) -> bool:
    return path == tree or path.startswith(f"{tree.rstrip('/')}/")


def _is_of_libraries(real: str) -> bool:
    """Return whether a path is the directory of the libraries of an architecture: /usr/lib/x86_64-linux-gnu."""
    above, _, name = real.rpartition("/")
    return above == "/usr/lib" and "-linux-" in name


def _is_of_every_program(real: str) -> bool:
    folder, _, name = real.rpartition("/")
    of_libraries = folder in ("/usr/lib", "/usr/lib32", "/usr/lib64") or _is_of_libraries(folder)
    return of_libraries and name.startswith(_LOADER)


def _is_of_python(real: str) -> bool:
    """Return whether a path is in the library of the Python that Ordain runs with."""
    return real.startswith(("/usr/lib/python3", "/usr/lib64/python3"))

"""Paths at which documents may not place files.

Standard library only: `generator.files` imports this module, and the package of the generator has a copy.
"""

from __future__ import annotations

_GENERATORS = tuple(
    f"{prefix}/systemd/{kind}"
    for prefix in ("/etc", "/run", "/usr/lib", "/lib", "/usr/local/lib")
    for kind in ("system-generators", "user-generators", "system-environment-generators", "system-shutdown")
)
TREES = (
    *("/proc", "/sys", "/dev", "/var/lib/ordain", "/etc/ordain", "/run/ordain", "/usr/lib/ordain", "/lib/ordain"),
    *("/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"),
    *("/run/systemd/transient", "/run/systemd/system.control", "/etc/systemd/system.control"),
    *("/etc/pam.d", "/usr/lib/pam.d", *_GENERATORS),
)
"""Trees of the kernel, of Ordain itself, of what PID 1 writes or runs before any unit, and of the login."""
SYSUSERS = "/run/ordain/sysusers/"
SECRETS = "/run/ordain/secrets/"
_MADE_BY_SECTIONS = (SYSUSERS, SECRETS)
"""The exceptions in our own trees, for the files that the sections `users`, `groups` and `secrets` make."""
UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/local/lib/systemd/system",
)
FILES = {
    "/etc/passwd": "users",
    "/etc/shadow": "users",
    "/etc/group": "groups",
    "/etc/gshadow": "groups",
    "/etc/fstab": "mounts",
    "/etc/machine-id": "",
    "/etc/ld.so.cache": "",
    "/etc/ld.so.preload": "",
    "/sbin/init": "",
    "/usr/sbin/init": "",
    "/etc/nsswitch.conf": "",
    **dict.fromkeys((f"{bin}/{shell}" for bin in ("/bin", "/usr/bin") for shell in ("sh", "dash", "bash")), ""),
    **dict.fromkeys((f"{lib}/systemd/systemd" for lib in ("/lib", "/usr/lib")), ""),
}
"""Files without which a machine does not boot, or nobody can log in, and the section that changes them."""
TOP = frozenset(
    "/ /bin /boot /etc /home /lib /lib32 /lib64 /media /mnt /opt /root /run /sbin /srv /tmp /usr /usr/bin /usr/lib"
    " /usr/lib64 /usr/sbin /var /var/lib /var/log /var/tmp".split()
)


_LOADER = ("ld-linux", "ld-musl", "ld64.so", "ld.so", "libc.so", "libc.musl")
"""The first letters of the names of what starts every program, in a directory of libraries."""


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
    if bare in FILES:
        section = FILES[bare]
        return f"the machine depends on {bare}", f"use the section `{section}`" if section else "choose another path"
    if bare in TOP:
        return f"the machine depends on {bare}", "name a file in it"
    for tree in TREES:
        if by_section and bare.startswith(_MADE_BY_SECTIONS):
            break
        if bare == tree or bare.startswith(f"{tree}/"):
            return f"no file may be placed in {tree}", "choose another path"
    folder, _, name = bare.rpartition("/")
    above, _, inner = folder.removeprefix("/usr").rpartition("/")
    of_libraries = inner in ("lib", "lib32", "lib64") if not above else above == "/lib" and "-linux-" in inner
    if name.startswith(_LOADER) and of_libraries:
        return f"every program needs {bare}", "choose another path"
    for tree in UNITS:
        if bare.startswith(f"{tree}/"):
            return f"no unit may be placed in {tree}", "use the sections `services` and `units`"
    return "", ""

"""Paths at which documents may not place files.

Standard library only: `generator.files` imports this module, and the package of the generator has a copy.
"""

from __future__ import annotations

TREES = ("/proc", "/sys", "/dev", "/var/lib/ordain", "/etc/ordain", "/run/ordain", "/run/systemd/generator")
"""Trees of the kernel, and those of Ordain itself."""
SYSUSERS = "/run/ordain/sysusers/"
"""The exception in our own trees: files for ordain-users.service."""
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
}
"""Files without which a machine does not boot, or nobody can log in, and the section that changes them."""
TOP = frozenset(
    "/ /bin /boot /etc /home /lib /lib32 /lib64 /media /mnt /opt /root /run /sbin /srv /tmp /usr /usr/bin /usr/lib"
    " /usr/lib64 /usr/sbin /var /var/lib /var/log /var/tmp".split()
)


def why_forbidden(path: str) -> tuple[str, str]:
    """Return why no file may be placed at ``path``, and a hint; two empty strings if it may.

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
        if bare.startswith(SYSUSERS):
            break
        if bare == tree or bare.startswith(f"{tree}/"):
            return f"no file may be placed in {tree}", "choose another path"
    for tree in UNITS:
        if bare.startswith(f"{tree}/"):
            return f"no unit may be placed in {tree}", "use the sections `services` and `units`"
    return "", ""

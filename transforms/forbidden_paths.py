"""Where no file of the documents may go; standard library only, as what places files asks it too."""

from __future__ import annotations

TREES = ("/proc", "/sys", "/dev", "/var/lib/ordain", "/etc/ordain", "/run/ordain", "/run/systemd/generator")
"""What no file system holds, and what is ours."""
SYSUSERS = "/run/ordain/sysusers/"
"""For ordain-users.service."""
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
"""Without these as they are a machine does not boot or lets nobody in; and the section that is for them."""
TOP = frozenset(
    "/ /bin /boot /etc /home /lib /lib32 /lib64 /media /mnt /opt /root /run /sbin /srv /tmp /usr /usr/bin /usr/lib"
    " /usr/lib64 /usr/sbin /var /var/lib /var/log /var/tmp".split()
)


def why_forbidden(path: str) -> tuple[str, str]:
    """Why nothing may be placed at ``path``, and a hint; two empty strings if it may.

    >>> why_forbidden("/etc/passwd")
    ('the machine depends on /etc/passwd', 'the section `users` is for it')
    >>> why_forbidden("/etc/nginx/nginx.conf")
    ('', '')
    """
    bare = path.rstrip("/") or "/"
    parts = bare.split("/")[1:]
    if not path.startswith("/") or (bare != "/" and any(part in ("", ".", "..") for part in parts)):
        return f"{path} is no absolute path without //, /./ and /../", ""
    if bare in FILES:
        section = FILES[bare]
        return f"the machine depends on {bare}", f"the section `{section}` is for it" if section else ""
    if bare in TOP:
        return f"the machine depends on {bare}", "name what is to lie in it"
    for tree in TREES:
        if bare.startswith(SYSUSERS):
            break
        if bare == tree or bare.startswith(f"{tree}/"):
            return f"nothing is placed in {tree}", ""
    for tree in UNITS:
        if bare.startswith(f"{tree}/"):
            return f"units are not placed in {tree}", "the sections `services` and `units` are for it"
    return "", ""

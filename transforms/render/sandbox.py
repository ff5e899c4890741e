"""``sandbox: standard|strict`` as directives; each level holds what the target's systemd knows of it.

A level is a promise of "as much as this version can", so a directive too new for the target is left out here
without a word, unlike one that a document names. What the levels are worth is measured by `systemd-analyze security`
on booted machines (tests/integration/test_sandbox.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.systemd import directives

_BOTH = (
    ("NoNewPrivileges", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
)
STANDARD = (*_BOTH, ("ProtectSystem", "full"))
STRICT = (
    *_BOTH,
    ("ProtectSystem", "strict"),
    ("ProtectProc", "invisible"),
    ("ProcSubset", "pid"),
    ("PrivateIPC", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RemoveIPC", "yes"),
    ("UMask", "0077"),
    ("KeyringMode", "private"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallErrorNumber", "EPERM"),
    ("MemoryDenyWriteExecute", "yes"),
)
UNPRIVILEGED = (
    ("CapabilityBoundingSet", ""),
    ("PrivateUsers", "yes"),
    ("SystemCallFilter", "~@privileged @resources"),
)
"""Of strict, for a service of ours that is to keep no capability: even as root it has nothing left of that.

The distribution's services keep theirs, since many begin as root and step down, unless the document names those.
"""


def directives_of(level: str, systemd: int, *, unprivileged: bool) -> Iterator[tuple[str, str]]:
    """Key and value of what ``level`` shuts off, as far as ``systemd`` knows it."""
    strict = (*STRICT, *UNPRIVILEGED) if unprivileged else STRICT
    shut = {"none": (), "standard": STANDARD, "strict": strict}[level]
    for key, value in shut:
        if directives.check_value("Service", key, value, systemd) is None:
            yield key, value

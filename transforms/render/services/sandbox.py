"""``sandbox: standard|strict`` as directives; each level holds what the target's systemd knows of it.

A level promises as much as this version of systemd can do, so a directive that is too new for the target is left out
without a warning, unlike one that a document names. tests/integration/packaging/test_sandbox.py measures the levels
with `systemd-analyze security` on booted machines.
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
"""Added to strict for a service of ours that names no capabilities: even root has none of them left.

The distribution's services keep their capabilities unless the document names them, because many start as root and
drop their privileges later.
"""


def directives_of(level: str, systemd: int, *, unprivileged: bool) -> Iterator[tuple[str, str]]:
    """Yield key and value of the directives of ``level`` that this version of ``systemd`` knows."""
    strict = (*STRICT, *UNPRIVILEGED) if unprivileged else STRICT
    settings = {"none": (), "standard": STANDARD, "strict": strict}[level]
    for key, value in settings:
        if directives.check_value("Service", key, value, systemd) is None:
            yield key, value

"""``sandbox: standard|strict`` as directives; each level holds what the target's systemd knows of it.

A level is a promise of "as much as this version can", so a directive too new for the target is left out here
without a word, unlike one that a document names.
"""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms import directives

STANDARD = {
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectSystem": "full",
    "ProtectHome": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "LockPersonality": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
}
STRICT = {
    **STANDARD,
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "PrivateIPC": "yes",
    "RestrictNamespaces": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RemoveIPC": "yes",
    "UMask": "0077",
    "KeyringMode": "private",
    "SystemCallFilter": "@system-service",
    "SystemCallErrorNumber": "EPERM",
}
LEVELS = {"none": {}, "standard": STANDARD, "strict": STRICT}


def directives_of(level: str, systemd: int) -> Iterator[tuple[str, str]]:
    """Key and value of what ``level`` shuts off, as far as ``systemd`` knows it."""
    for key, value in LEVELS[level].items():
        if directives.check("Service", key, systemd) is None:
            yield key, value

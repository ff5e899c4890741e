"""The directives that PID 1, networkd and udev know, each with its versions and the function that parses it.

They come from data/unit-directives.json, which is made from systemd's own parser tables (docs/design/systemd.md, fact
18); "since 183" means 183 or earlier. All three programs ignore an unknown key and only log it, so `check` finds it
when documents are compiled. ``kind`` is the kind of file: ``unit``, networkd's ``network`` and ``netdev``, or udev's
``link``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from ordain.transforms.errors import did_you_mean

DATA = Path(__file__).parents[1] / "data/unit-directives.json"
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "service": ("Unit", "Service", "Install"),
    "socket": ("Unit", "Socket", "Install"),
    "target": ("Unit", "Install"),
    "device": ("Unit", "Install"),
    "mount": ("Unit", "Mount", "Install"),
    "automount": ("Unit", "Automount", "Install"),
    "swap": ("Unit", "Swap", "Install"),
    "timer": ("Unit", "Timer", "Install"),
    "path": ("Unit", "Path", "Install"),
    "slice": ("Unit", "Slice", "Install"),
    "scope": ("Unit", "Scope", "Install"),
}
"""The sections that PID 1 reads in a unit of each type. It ignores any other section as a whole."""

HARDENING = frozenset(
    """
    User Group DynamicUser UMask SocketUser SocketGroup SocketMode DirectoryMode RuntimeDirectoryMode
    StateDirectoryMode CacheDirectoryMode LogsDirectoryMode ConfigurationDirectoryMode UnsetEnvironment
    NoNewPrivileges CapabilityBoundingSet SecureBits KeyringMode RemoveIPC LockPersonality
    MemoryDenyWriteExecute SystemCallFilter SystemCallArchitectures RestrictAddressFamilies
    RestrictNamespaces RestrictRealtime RestrictSUIDSGID RestrictFileSystems RestrictNetworkInterfaces
    DelegateNamespaces ProtectSystem ProtectHome ProtectClock ProtectControlGroups ProtectHostname
    ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProcSubset PrivateTmp
    PrivateDevices PrivateNetwork PrivateUsers PrivateMounts PrivateIPC PrivatePIDs PrivateBPF
    NetworkNamespacePath IPCNamespacePath UserNamespacePath JoinsNamespaceOf MountFlags ReadOnlyPaths
    InaccessiblePaths NoExecPaths TemporaryFileSystem BindReadOnlyPaths ReadOnlyDirectories
    InaccessibleDirectories RootDirectory RootImage RootMStack RootHash RootHashSignature RootVerity
    RootImagePolicy MountImagePolicy ExtensionImagePolicy RootEphemeral DevicePolicy DeviceAllow
    IPAddressDeny SocketBindDeny BindNetworkInterface IPIngressFilterPath IPEgressFilterPath BPFProgram
    NFTSet AppArmorProfile SELinuxContext SmackProcessLabel SmackLabel SmackLabelIPIn SmackLabelIPOut
    """.split()
)
"""Keys that weaken security when they are silently ignored.

The rule: without the key the unit still starts, and then it, or a program that talks to it, may do, see or reach more
than the document says. So keys that *grant* something are not in the list (AmbientCapabilities, ReadWritePaths,
IPAddressAllow). Neither are resource limits, which protect other services but no secret.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A key of PID 1's parser table. ``gone_after`` is the last version that knew it, None while it is known."""

    section: str
    key: str
    since: int
    gone_after: int | None
    parser: str


class IgnoreReason(StrEnum):
    """The reason for which systemd would ignore a key."""

    UNKNOWN = "unknown"
    TOO_NEW = "too new"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A key that systemd would ignore. ``hardening``: its loss weakens security."""

    reason: IgnoreReason
    what: str
    hint: str
    hardening: bool


@cache
def _table(kind: str = "unit") -> Mapping[str, Mapping[str, Directive]]:
    data = json.loads(DATA.read_bytes())
    table: dict[str, dict[str, Directive]] = {}
    for name, row in data[kind].items():
        section, _, key = name.partition(".")
        table.setdefault(section, {})[key] = Directive(
            section=section,
            key=key,
            since=row["since"],
            gone_after=row.get("gone_after"),
            parser=row["parser"],
        )
    return table


def all_directives() -> tuple[Directive, ...]:
    """Return every directive of every section, including those that systemd has removed."""
    return tuple(directive for keys in _table().values() for directive in keys.values())


def lookup(section: str, key: str) -> Directive | None:
    """Return the directive ``[section] key``, None if no version of systemd knew it."""
    return _table().get(section, {}).get(key)


def is_private(section: str, key: str) -> bool:
    """Return whether systemd skips the key by design: an ``X-`` key, or any key in an ``X-`` section."""
    return section.startswith("X-") or key.startswith("X-")


def check(section: str, key: str, systemd: int, kind: str = "unit") -> Finding | None:
    """Return why systemd of the major version ``systemd`` ignores ``[section] key``; None if it reads it.

    >>> check("Service", "ProtectClok", 252).hint
    'did you mean ProtectClock or ProtectProc or ProtectHome?'
    >>> check("Service", "PrivatePIDs", 252).reason, check("Service", "X-Ordain-Item", 252)
    (<IgnoreReason.TOO_NEW: 'too new'>, None)
    """
    if is_private(section, key):
        return None
    keys = _table(kind).get(section)
    hardening = key in HARDENING
    if keys is None:
        return Finding(
            reason=IgnoreReason.UNKNOWN,
            what=f"a {kind} has no section [{section}]",
            hint=did_you_mean(section.capitalize(), _table(kind)),
            hardening=hardening,
        )
    directive = keys.get(key)
    if directive is None:
        return Finding(
            reason=IgnoreReason.UNKNOWN,
            what=f"[{section}] has no {key}=",
            hint=_other_place(section, key, kind),
            hardening=hardening,
        )
    if directive.since > max(systemd, 183):
        return Finding(
            reason=IgnoreReason.TOO_NEW,
            what=f"{key}= needs systemd {directive.since}, this is {systemd}",
            hint="remove it, or put it in a layer that matches on systemd",
            hardening=hardening,
        )
    if directive.gone_after is not None and systemd > directive.gone_after:
        return Finding(
            reason=IgnoreReason.GONE,
            what=f"systemd {directive.gone_after + 1} removed {key}=",
            hint=did_you_mean(key, (k for k, d in keys.items() if d.gone_after is None)),
            hardening=hardening,
        )
    return None


# Values that are younger than their key (systemd's NEWS and man pages). PID 1 ignores a setting with an unknown value.
_VALUES: Mapping[tuple[str, str], int] = {
    ("Type", "notify-reload"): 253,
    ("PrivateTmp", "disconnected"): 257,
    ("PrivateUsers", "identity"): 257,
    ("PrivateUsers", "self"): 257,
    ("PrivateUsers", "full"): 258,
    ("PrivateUsers", "managed"): 260,
    ("ProtectControlGroups", "private"): 257,
    ("ProtectControlGroups", "strict"): 257,
    ("ProtectHostname", "private"): 258,
    ("CPUSchedulingPolicy", "ext"): 260,
    ("SocketProtocol", "mptcp"): 257,
    ("OnFailureJobMode", "restart-dependencies"): 257,
    ("OnSuccessJobMode", "restart-dependencies"): 257,
    ("OnFailureJobMode", "lenient"): 258,
    ("OnSuccessJobMode", "lenient"): 258,
}
_ACTIONS = ("FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction")
_ACTIONS_OF_254 = ("soft-reboot", "kexec", "halt")


def check_value(section: str, key: str, text: str, systemd: int) -> Finding | None:
    """Return the same as `check`, and also find a value that came later than its key.

    >>> check_value("Service", "PrivateTmp", "disconnected", 252).what
    'PrivateTmp=disconnected needs systemd 257, this is 252'
    """
    if finding := check(section, key, systemd):
        return finding
    since = _VALUES.get((key, text.partition(":")[0]), 0)
    if key == "ProtectHostname" and ":" in text:
        since = 258
    if key in _ACTIONS and text.startswith(_ACTIONS_OF_254):
        since = 254
    if since <= systemd:
        return None
    return Finding(
        reason=IgnoreReason.TOO_NEW,
        what=f"{key}={text} needs systemd {since}, this is {systemd}",
        hint="use an older value, or put it in a layer that matches on systemd",
        hardening=key in HARDENING,
    )


def _other_place(section: str, key: str, kind: str) -> str:
    """Return a hint that names the section that the key belongs in, or keys that look like it."""
    owners = [other for other, keys in _table(kind).items() if key in keys]
    if owners and len(owners) <= 3:
        return f"{key}= belongs in [{'] or ['.join(owners)}]"
    return did_you_mean(key, _table(kind)[section])

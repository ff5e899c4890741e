"""The rules by which PID 1 refuses a whole unit, or ignores a setting because of another one.

They are those of service_verify(), socket_verify(), timer_verify(), path_verify(), mount_verify(), automount_verify(),
swap_verify() and slice_verify() in systemd's src/core. The encoders have refused the values that no unit can have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.values import EncodeError, boolean, timespan

Assignments = Sequence[tuple[str, str, str]]
"""Section, key and value of each line, without those that an empty assignment resets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """The settings of one unit. ``whole``: the unit file is among them, else only drop-ins are."""

    name: str
    systemd: int
    whole: bool
    assignments: Assignments

    @property
    def kind(self) -> str:
        """Return the unit type."""
        return unit_name.unit_type(self.name)

    def values(self, *keys: str) -> tuple[str, ...]:
        """Return the values of ``keys``. No key exists in two sections, so the section is not needed."""
        return tuple(value for _, key, value in self.assignments if key in keys)

    def last(self, key: str) -> str:
        """Return the last value, ``""`` for none."""
        return "".join(self.values(key)[-1:])

    def flag(self, key: str) -> bool:
        """Return a boolean setting that is off by default."""
        try:
            return boolean(self.last(key)) if self.last(key) else False
        except EncodeError:
            return False

    def lacks(self, *keys: str) -> bool:
        """Return whether the unit certainly has none of ``keys``."""
        return self.whole and not self.values(*keys)

    @property
    def type(self) -> str:
        """Return the type of a service, ``""`` if an unknown unit file may set it (service_add_extras())."""
        if value := self.last("Type"):
            return value
        if self.values("BusName"):
            return "dbus" if self.whole else ""
        if not self.whole:
            return ""
        return "simple" if self.values("ExecStart") else "oneshot"

    @property
    def path(self) -> str:
        """Return the path that the name of a mount, automount or swap stands for, ``""`` if it stands for none."""
        try:
            return unit_name.unescape_path(self.name.rpartition(".")[0])
        except EncodeError:
            return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule for units of ``kinds``, about the settings ``keys``. ``refused``: PID 1 does not load the unit."""

    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    broken_by: Callable[[UnitSettings], bool]
    what: str
    hint: str
    refused: bool = True


_LISTEN_STREAMS = ("ListenStream", "ListenSequentialPacket", "ListenUSBFunction")
_LISTEN = (
    *_LISTEN_STREAMS, "ListenDatagram", "ListenFIFO", "ListenNetlink", "ListenSpecial", "ListenMessageQueue",
)  # fmt: skip
_TIMES = ("OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec", "OnCalendar")
_PATHS = ("PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty")
_CREDENTIALS = ("LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted")
_QUOTED = lazy_pattern(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_WITH_PAM = ("service", "socket", "mount", "swap")
_RESTART_OF_ONESHOTS = 244
"""The first systemd that takes Restart=on-failure and the like for a oneshot."""
_FORCED_RESTART_OF_ONESHOTS = 256
"""The first systemd that takes RestartForceExitStatus= for a oneshot."""


def _commands(unit: UnitSettings) -> int:
    """Return the number of commands of ExecStart=: a bare word ``;`` divides a line into several."""
    lines = (_QUOTED.sub("x", line) for line in unit.values("ExecStart"))
    return sum(1 + len(re.findall(r"\s;(?=\s+\S)", line)) for line in lines)


def _no_action(unit: UnitSettings) -> bool:
    return unit.last("SuccessAction") in ("", "none")


def _restart_of_oneshot(unit: UnitSettings) -> bool:
    since_244 = {"on-failure", "on-abnormal", "on-watchdog", "on-abort"}
    allowed = {"", "no"} | (since_244 if unit.systemd >= _RESTART_OF_ONESHOTS else set())
    return unit.type == "oneshot" and unit.last("Restart") not in allowed


def _paths_of_socket(unit: UnitSettings) -> list[str]:
    values = unit.values("ListenStream", "ListenSequentialPacket", "ListenDatagram", "ListenFIFO")
    return [value for value in values if value.startswith("/")]


def _is_finite(unit: UnitSettings, key: str) -> bool:
    try:
        return bool(unit.last(key)) and 0 < timespan(unit.last(key)) < 1 << 62
    except EncodeError:
        return False


def _other_path(unit: UnitSettings, key: str) -> bool:
    """Return whether the path of ``key`` has another unit name than the unit."""
    value = unit.last(key)
    if not value or "%" in value:
        return False
    try:
        return unit_name.escape_path(value) != unit.name.rpartition(".")[0]
    except EncodeError:
        return False


def _maximum_below_delay(unit: UnitSettings) -> bool:
    if not (_is_finite(unit, "RestartMaxDelaySec") and _is_finite(unit, "RestartSec")):
        return False
    return timespan(unit.last("RestartMaxDelaySec")) < timespan(unit.last("RestartSec"))


def _is_slice(name: str) -> bool:
    stem = name.rpartition(".")[0]
    return stem == "-" or re.fullmatch(r"[^-@]+(-[^-@]+)*", stem) is not None


def _service(
    keys: str, broken_by: Callable[[UnitSettings], bool], what: str, hint: str, *, refused: bool = True
) -> Rule:
    names = tuple(keys.split())
    return Rule(kinds=("service",), keys=names, broken_by=broken_by, what=what, hint=hint, refused=refused)


RULES: tuple[Rule, ...] = (
    _service(
        "ExecStart ExecStop SuccessAction",
        lambda u: u.lacks("ExecStart", "ExecStop") and _no_action(u),
        "a service needs ExecStart=, ExecStop= or SuccessAction=",
        "set a command",
    ),
    _service(
        "ExecStart Type BusName",
        lambda u: u.lacks("ExecStart") and bool(u.values("ExecStop")) and u.type != "oneshot",
        "only a service of type oneshot can be without ExecStart=",
        "set a command, or the type oneshot",
    ),
    _service(
        "RemainAfterExit ExecStart",
        lambda u: (
            u.lacks("ExecStart")
            and bool(u.values("ExecStop"))
            and u.type == "oneshot"
            and not u.flag("RemainAfterExit")
            and _no_action(u)
        ),
        "a service without ExecStart= needs RemainAfterExit=yes or SuccessAction=",
        "set RemainAfterExit=yes",
    ),
    _service(
        "ExecStart Type BusName",
        lambda u: u.type not in ("", "oneshot") and _commands(u) > 1,
        "only a service of type oneshot can have several commands in ExecStart=",
        "set the type oneshot, or a drop-in's first `ExecStart=` to the empty text",
    ),
    _service(
        "Restart Type",
        _restart_of_oneshot,
        "a service of type oneshot cannot have this Restart=",
        f"write on-failure (from systemd {_RESTART_OF_ONESHOTS} on) or no, or use a timer",
    ),
    _service(
        "RestartForceExitStatus Type",
        lambda u: (
            u.type == "oneshot" and bool(u.values("RestartForceExitStatus")) and u.systemd < _FORCED_RESTART_OF_ONESHOTS
        ),
        f"before systemd {_FORCED_RESTART_OF_ONESHOTS}, a service of type oneshot cannot have RestartForceExitStatus=",
        "remove it, or choose another type",
    ),
    _service(
        "ExitType Type",
        lambda u: u.type == "oneshot" and u.last("ExitType") == "cgroup",
        "a service of type oneshot cannot have ExitType=cgroup",
        "remove it, or choose another type",
    ),
    _service(
        "Type BusName",
        lambda u: u.type == "dbus" and u.lacks("BusName"),
        "a service of type dbus needs a bus name",
        "set BusName= (`bus-name` in `services`)",
    ),
    _service(
        "PrivatePIDs Type",
        lambda u: u.type == "forking" and u.flag("PrivatePIDs"),
        "a service of type forking cannot have PrivatePIDs=yes",
        "remove it, or choose another type",
    ),
    _service(
        "WorkingDirectory DynamicUser",
        lambda u: u.flag("DynamicUser") and u.last("WorkingDirectory").removeprefix("-") == "~",
        "a dynamic user has no home directory for WorkingDirectory=~",
        "write a path, such as /var/lib/NAME with StateDirectory=NAME",
    ),
    Rule(
        kinds=_WITH_PAM,
        keys=("KillMode", "PAMName"),
        broken_by=lambda u: bool(u.last("PAMName")) and u.last("KillMode") not in ("", "control-group", "mixed"),
        what="with PAMName=, KillMode= can be control-group or mixed only",
        hint="remove one of them",
    ),
    Rule(
        kinds=("socket",),
        keys=_LISTEN,
        broken_by=lambda u: u.lacks(*_LISTEN),
        what="a socket needs an address",
        hint="set ListenStream=, ListenDatagram= or another Listen…= setting",
    ),
    Rule(
        kinds=("socket",),
        keys=("Accept", *_LISTEN),
        broken_by=lambda u: u.flag("Accept") and bool(u.values(*(set(_LISTEN) - set(_LISTEN_STREAMS)))),
        what="Accept=yes is for streams and sequential packets only",
        hint="remove it, or the other address",
    ),
    Rule(
        kinds=("socket",),
        keys=("MaxConnections", "Accept"),
        broken_by=lambda u: u.flag("Accept") and u.last("MaxConnections") == "0",
        what="with Accept=yes, MaxConnections= cannot be 0",
        hint="set 1 or more",
    ),
    Rule(
        kinds=("socket",),
        keys=("Service", "Accept"),
        broken_by=lambda u: u.flag("Accept") and bool(u.values("Service")),
        what="with Accept=yes, a socket cannot have Service=: each connection starts an instance of NAME@.service",
        hint="remove Service=, and rename the service",
    ),
    Rule(
        kinds=("socket",),
        keys=("Symlinks",),
        broken_by=lambda u: u.whole and bool(u.values("Symlinks")) and len(_paths_of_socket(u)) != 1,
        what="a socket with Symlinks= needs exactly one address that is a path",
        hint="remove Symlinks=, or the other paths",
    ),
    Rule(
        kinds=("timer",),
        keys=_TIMES,
        broken_by=lambda u: u.lacks(*_TIMES) and not u.flag("OnClockChange") and not u.flag("OnTimezoneChange"),
        what="a timer needs a time",
        hint="set OnCalendar=, OnBootSec= or another On…= setting",
    ),
    Rule(
        kinds=("path",),
        keys=_PATHS,
        broken_by=lambda u: u.lacks(*_PATHS),
        what="a path unit needs a path",
        hint=f"set one of {', '.join(f'{key}=' for key in _PATHS)}",
    ),
    *(
        Rule(
            kinds=(kind,),
            keys=("Where",),
            broken_by=lambda u: _other_path(u, "Where"),
            what="the path of Where= does not match the name of the unit",
            hint=f"rename the unit as `systemd-escape --path --suffix={kind} PATH` says, or correct Where=",
        )
        for kind in ("mount", "automount")
    ),
    Rule(
        kinds=("swap",),
        keys=("What",),
        broken_by=lambda u: _other_path(u, "What"),
        what="the path of What= does not match the name of the unit",
        hint="rename the unit as `systemd-escape --path --suffix=swap PATH` says, or correct What=",
    ),
    Rule(
        kinds=("mount", "swap"),
        keys=("What",),
        broken_by=lambda u: u.lacks("What"),
        what="the setting What= is missing",
        hint="set it (`what` in `mounts`) to a device, a file, a share, or tmpfs",
    ),
    Rule(
        kinds=("mount", "automount"),
        keys=("Where",),
        broken_by=lambda u: u.lacks("Where"),
        what="the setting Where= is missing, and PID 1 takes the path that the name of the unit stands for",
        hint="set Where=, which systemd.mount(5) calls mandatory",
        refused=False,
    ),
    Rule(
        kinds=("slice",),
        keys=(),
        broken_by=lambda u: not _is_slice(u.name),
        what="this is not the name of a slice",
        hint="a slice has words with one - between them, such as user-backup.slice, and no instance",
    ),
    _service(
        "USBFunctionDescriptors USBFunctionStrings",
        lambda u: u.whole and bool(u.values("USBFunctionDescriptors")) != bool(u.values("USBFunctionStrings")),
        "PID 1 ignores USBFunctionDescriptors= and USBFunctionStrings= without each other",
        "set both",
        refused=False,
    ),
    _service(
        "RuntimeMaxSec Type",
        lambda u: u.type == "oneshot" and _is_finite(u, "RuntimeMaxSec"),
        "PID 1 ignores RuntimeMaxSec= of a service of type oneshot",
        "set TimeoutStartSec= (`start-timeout` in `services`)",
        refused=False,
    ),
    _service(
        "RuntimeRandomizedExtraSec RuntimeMaxSec",
        lambda u: u.lacks("RuntimeMaxSec") and _is_finite(u, "RuntimeRandomizedExtraSec"),
        "PID 1 ignores RuntimeRandomizedExtraSec= without RuntimeMaxSec=",
        "set both",
        refused=False,
    ),
    _service(
        "ExecStartPost Type",
        lambda u: u.last("Type") == "simple" and bool(u.values("ExecStartPost")) and bool(u.values(*_CREDENTIALS)),
        "with Type=simple, ExecStartPost= may run before the credentials are there",
        "set the type exec",
        refused=False,
    ),
    _service(
        "RestartSteps RestartMaxDelaySec",
        lambda u: u.whole and _is_finite(u, "RestartMaxDelaySec") != (u.last("RestartSteps") not in ("", "0")),
        "PID 1 ignores RestartSteps= and RestartMaxDelaySec= without each other",
        "set both",
        refused=False,
    ),
    _service(
        "RestartMaxDelaySec RestartSec",
        _maximum_below_delay,
        "RestartMaxDelaySec= is less than RestartSec=, and PID 1 uses it for both",
        "set a longer time",
        refused=False,
    ),
)
"""All rules, those that refuse a unit first."""


def broken_rules(unit: UnitSettings) -> tuple[Rule, ...]:
    """Return the rules that ``unit`` breaks.

    >>> a = UnitSettings(name="a.timer", systemd=252, whole=True, assignments=[("Timer", "Persistent", "yes")])
    >>> [rule.what for rule in broken_rules(a)]
    ['a timer needs a time']
    """
    kind = unit.kind
    return tuple(rule for rule in RULES if kind in rule.kinds and rule.broken_by(unit))

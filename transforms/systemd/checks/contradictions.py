"""Settings of one unit that PID 1 takes, although together they mean something else than each says alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.checks.unit_rules import Rule, UnitSettings
from ordain.transforms.systemd.machine_words import VIRTUALIZATIONS
from ordain.transforms.systemd.values import EncodeError, size, timespan

_MACHINE_ID = lazy_pattern(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALL_KINDS = tuple(unit_name.TYPES)
_WITH_LIMITS = ("service", "socket", "mount", "swap", "slice", "scope")
_ONE_OF: Mapping[str, Callable[[str], bool]] = {
    "Architecture": lambda word: word != "native",
    "Virtualization": lambda word: word in VIRTUALIZATIONS,
    "Host": lambda word: not set(word) & set("*?[%") and not _MACHINE_ID.fullmatch(word),
    "FirstBoot": lambda word: True,
    "ACPower": lambda word: True,
}
"""Conditions of which a machine has one value, with the words for which that is so."""


def _several(key: str, is_one_of: Callable[[str], bool]) -> Callable[[UnitSettings], bool]:
    """Return whether a condition names two words of which a machine has one."""

    def broken_by(unit: UnitSettings) -> bool:
        return len({value for value in unit.values(key) if value[:1] not in "|!" and is_one_of(value)}) > 1

    return broken_by


def _is_above(unit: UnitSettings, key: str, limit: str) -> bool:
    """Return whether the size of ``key`` is above that of ``limit``, both given as bytes."""
    try:
        return size(unit.last(key)) > size(unit.last(limit))
    except EncodeError:
        return False


def _is_above_zero(unit: UnitSettings, key: str) -> bool:
    try:
        return bool(unit.last(key)) and timespan(unit.last(key)) > 0
    except EncodeError:
        return False


_MAY_BE_PATHS = ("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO")
CONTRADICTIONS: tuple[Rule, ...] = (
    *(
        Rule(
            kinds=_ALL_KINDS,
            keys=(f"{kind}{name}",),
            broken_by=_several(f"{kind}{name}", is_one_of),
            what=f"all conditions must hold, and no machine has two values of {kind}{name}=, so it never starts",
            hint=f"for one of several, write `systemd: {{Unit: {{{kind}{name}: ['|A', '|B']}}}}`",
            refused=False,
        )
        for kind in ("Condition", "Assert")
        for name, is_one_of in _ONE_OF.items()
    ),
    Rule(
        kinds=_WITH_LIMITS,
        keys=("MemoryHigh", "MemoryMax"),
        broken_by=lambda u: _is_above(u, "MemoryHigh", "MemoryMax"),
        what="MemoryHigh= is above MemoryMax=, so it is never reached: the unit is killed before it is throttled",
        hint="write a smaller MemoryHigh= (`memory-high`)",
        refused=False,
    ),
    Rule(
        kinds=("service",),
        keys=("RestartSec", "Restart"),
        broken_by=lambda u: u.lacks("Restart", "RestartForceExitStatus") and bool(u.values("RestartSec")),
        what="RestartSec= has no effect without Restart=",
        hint="set Restart= (`restart`) too, such as on-failure",
        refused=False,
    ),
    Rule(
        kinds=("service",),
        keys=("WatchdogSec", "Restart"),
        broken_by=lambda u: (
            u.whole
            and _is_above_zero(u, "WatchdogSec")
            and not u.values("RestartForceExitStatus")
            and u.last("Restart") not in ("always", "on-failure", "on-abnormal", "on-watchdog")
        ),
        what="with this Restart=, the watchdog (WatchdogSec=) kills the service and does not start it again",
        hint="set Restart= (`restart`) to on-watchdog, on-failure or always",
        refused=False,
    ),
    Rule(
        kinds=("service",),
        keys=("ExecStop", "RemainAfterExit", "Type"),
        broken_by=lambda u: (
            u.type == "oneshot"
            and u.whole
            and bool(u.values("ExecStart"))
            and bool(set(u.values("ExecStop")) - {value.lstrip("-") for value in u.values("ExecStopPost")})
            and not u.flag("RemainAfterExit")
        ),
        # Commands that ExecStopPost= repeats clean up, also after a failed start (as in the units of quadlets).
        what="ExecStop= of a oneshot runs as soon as its ExecStart= has finished",
        hint="set RemainAfterExit=yes (`remain: true`), so that it runs when the service is stopped",
        refused=False,
    ),
    Rule(
        kinds=("socket",),
        keys=("SocketMode", "SocketUser", "SocketGroup"),
        broken_by=lambda u: (
            u.whole
            and bool(u.values("SocketMode", "SocketUser", "SocketGroup"))
            and not u.values("ListenMessageQueue", "ListenSpecial", "ListenUSBFunction", "Symlinks")
            and not any(value.startswith(("/", "%")) for value in u.values(*_MAY_BE_PATHS))
        ),
        what="SocketMode=, SocketUser= and SocketGroup= have an effect on sockets with a path only",
        hint="remove them, or listen on a path",
        refused=False,
    ),
    Rule(
        kinds=("service", "socket", "mount", "swap"),
        keys=("NUMAPolicy", "NUMAMask"),
        broken_by=lambda u: u.last("NUMAPolicy") in ("bind", "interleave") and u.lacks("NUMAMask"),
        what="this NUMAPolicy= needs the nodes in NUMAMask=, or the unit does not start",
        hint="set NUMAMask= to nodes, such as 0, or all",
        refused=False,
    ),
    *(
        Rule(
            kinds=_WITH_LIMITS,
            keys=(low, "MemoryMax"),
            broken_by=partial(_is_above, key=low, limit="MemoryMax"),
            what=f"{low}= protects more memory than MemoryMax= allows",
            hint=f"write a smaller {low}=",
            refused=False,
        )
        for low in ("MemoryLow", "MemoryMin")
    ),
)


def contradictions(unit: UnitSettings) -> tuple[Rule, ...]:
    """Return the rules that ``unit`` breaks."""
    kind = unit.kind
    return tuple(rule for rule in CONTRADICTIONS if kind in rule.kinds and rule.broken_by(unit))

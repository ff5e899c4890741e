"""The mildest action with which a changed directive takes effect: one table by section and key.

The standard is a reboot: after an apply, the machine must be as if it had booted with the new documents. A key has a
milder effect than a restart only if a source says why and a test confirms it: tests/integration/apply/test_effects.py
sets every key of this table on a running unit under systemd 252 and 257, and compares the unit with one that was
restarted. A key without a row needs a restart. So do all keys of swaps, which containers cannot have in the tests.

No key needs SetUnitProperties: after the reload of the manager all limits take effect, and no file is left that would
override the next generation. A socket that needs a restart is stopped and started together with its service
(`planner`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ordain.agent.model import Effect

READ_LATE = (
    "src/core/unit.c, job.c, transaction.c: read when a job is queued or the unit changes state, and never copied"
)
READ_LATE_SERVICE = (
    "src/core/service.c: read when the process ends, reloads or is stopped; a reload sets its timers again"
)
READ_LATE_SOCKET = "src/core/socket.c: read when a connection comes in, or the socket is stopped"
READ_LATE_MOUNT = "src/core/mount.c: read when it is unmounted"
KILLING = "src/core/unit.c, unit_kill_context: read when the unit is stopped"
CGROUP = "src/core/unit-serialize.c: a reload makes PID 1 write all limits of a cgroup again"
REMOUNT = "systemd.mount(5), src/core/mount.c: the reload of a mount is a remount"
ENABLEMENT = "systemd.unit(5): not used at run time, only by `systemctl enable`"

CGROUP_SECTIONS = ("Service", "Socket", "Mount", "Slice")
KILL_SECTIONS = ("Service", "Socket", "Mount")

_PULLS_IN = frozenset({"Wants", "Requires", "Requisite", "BindsTo", "RequiresMountsFor", "WantsMountsFor"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRule:
    """A row of the table: ``keys`` in ``sections`` need ``effect``; ``source`` says why."""

    sections: tuple[str, ...]
    keys: tuple[str, ...]
    effect: Effect
    source: str


def _row(sections: tuple[str, ...], effect: Effect, source: str, keys: str) -> EffectRule:
    return EffectRule(sections=sections, keys=tuple(keys.split()), effect=effect, source=source)


EFFECT_RULES = (
    _row(
        ("Unit",),
        Effect.MANAGER,
        READ_LATE,
        """
        Description Documentation SourcePath CollectMode
        After Before PartOf PropagatesReloadTo ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom
        OnFailure OnFailureJobMode OnSuccess OnSuccessJobMode
        StopWhenUnneeded IgnoreOnIsolate RefuseManualStart RefuseManualStop AllowIsolate
        StartLimitIntervalSec StartLimitBurst StartLimitAction
        JobTimeoutSec JobRunningTimeoutSec JobTimeoutAction JobTimeoutRebootArgument
        FailureAction FailureActionExitStatus SuccessAction SuccessActionExitStatus RebootArgument
        """,
    ),
    _row(
        ("Service",),
        Effect.MANAGER,
        READ_LATE_SERVICE,
        """
        ExecReload ExecStop ExecStopPost RemainAfterExit RuntimeMaxSec OOMPolicy ReloadSignal WatchdogSignal
        Restart RestartSec RestartSteps RestartMaxDelaySec RestartMode
        RestartPreventExitStatus RestartForceExitStatus SuccessExitStatus
        TimeoutSec TimeoutStartSec TimeoutStopSec TimeoutAbortSec TimeoutCleanSec
        TimeoutStartFailureMode TimeoutStopFailureMode
        """,
    ),
    _row(
        ("Socket",),
        Effect.MANAGER,
        READ_LATE_SOCKET,
        """
        MaxConnections MaxConnectionsPerSource
        TriggerLimitIntervalSec TriggerLimitBurst PollLimitIntervalSec PollLimitBurst
        ExecStopPre ExecStopPost RemoveOnStop FlushPending TimeoutSec
        """,
    ),
    _row(("Mount",), Effect.MANAGER, READ_LATE_MOUNT, "LazyUnmount ForceUnmount TimeoutSec"),
    _row(
        KILL_SECTIONS,
        Effect.MANAGER,
        KILLING,
        "KillMode KillSignal RestartKillSignal FinalKillSignal SendSIGHUP SendSIGKILL",
    ),
    _row(
        CGROUP_SECTIONS,
        Effect.MANAGER,
        CGROUP,
        """
        CPUAccounting CPUWeight StartupCPUWeight CPUQuota CPUQuotaPeriodSec
        AllowedCPUs StartupAllowedCPUs AllowedMemoryNodes StartupAllowedMemoryNodes
        MemoryAccounting MemoryMin MemoryLow MemoryHigh MemoryMax MemorySwapMax MemoryZSwapMax
        StartupMemoryLow StartupMemoryHigh StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax
        TasksAccounting TasksMax
        IOAccounting IOWeight StartupIOWeight IODeviceWeight IODeviceLatencyTargetSec
        IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax
        """,
    ),
    _row(("Mount",), Effect.RELOAD, REMOUNT, "Options"),
    _row(("Install",), Effect.NOTHING, ENABLEMENT, "WantedBy RequiredBy UpheldBy Alias"),
)

_BY_KEY = {
    (section, key): effect_rule
    for effect_rule in EFFECT_RULES
    for section in effect_rule.sections
    for key in effect_rule.keys
}
_ELSE = EffectRule(sections=(), keys=(), effect=Effect.RESTART, source="no milder action is known")


def effect_rule(section: str, key: str) -> EffectRule:
    """Return the row of a key; a key without a row needs a restart.

    >>> str(effect_rule("Service", "MemoryMax").effect), str(effect_rule("Service", "User").effect)
    ('manager', 'restart')
    """
    return _BY_KEY.get((section, key), _ELSE)


def effect(section: str, key: str, old: tuple[str, ...], new: tuple[str, ...]) -> Effect:
    """Return the effect of a change of ``key`` from the values ``old`` to ``new``.

    A remount adds options but does not know which ones to remove, so ``Options=`` that appears or disappears needs a
    restart. If a unit pulls in fewer units than before, it runs on; if it pulls in more, these have to start before
    it does, so it needs a restart.
    """
    if (section, key) == ("Mount", "Options") and not (old and new):
        return Effect.RESTART
    if section == "Unit" and key in _PULLS_IN and _words(new) <= _words(old):
        return Effect.MANAGER
    return effect_rule(section, key).effect


def _words(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for value in values for word in value.split())

"""What it takes to make a changed key real: one table by section and key; pure.

The measure is a reboot: after an apply the machine is as it would be had it booted with the new documents. A key
is milder than a restart only where a source says why; what no row names is a restart.

`RECONCILE` is what was tried on booted systemd 252 and 257; `STC` is switch-to-configuration-ng of NixOS, whose list
has been in use for years; the others are systemd's own pages and sources.
"""

from __future__ import annotations

from dataclasses import dataclass

from ordain.agent.model import Effect

STC = "NixOS switch-to-configuration-ng, compare_units: the reload of the manager applies it"
RECONCILE = (
    "tried on 252 and 257: a running unit whose definition goes in a reload loses it at once, so PID 1 reads it live"
)
CGROUP = (
    "src/core/unit-serialize.c: a reload makes PID 1 write all limits of a cgroup again; TasksMax tried on 252, 257"
)
TRANSACTION = "src/core/transaction.c: read when a job is queued, nothing of a running unit depends on it"

CGROUP_SECTIONS = ("Service", "Socket", "Mount", "Swap", "Slice", "Scope")
KILL_SECTIONS = ("Service", "Socket", "Mount", "Swap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: these keys in these sections need ``effect``, says ``source``."""

    sections: tuple[str, ...]
    keys: tuple[str, ...]
    effect: Effect
    source: str


RULES = (
    Rule(
        sections=("Unit",),
        keys=(
            *(
                "Description",
                "Documentation",
                "SourcePath",
                "CollectMode",
                "StopWhenUnneeded",
                "IgnoreOnIsolate",
            ),
            *(
                "RefuseManualStart",
                "RefuseManualStop",
                "AllowIsolate",
                "OnFailure",
                "OnFailureJobMode",
                "OnSuccess",
            ),
        ),
        effect=Effect.MANAGER,
        source=STC,
    ),
    Rule(
        sections=("Unit",),
        keys=("After", "Before", "PartOf", "PropagatesReloadTo", "ReloadPropagatedFrom", "JobTimeoutSec"),
        effect=Effect.MANAGER,
        source=TRANSACTION,
    ),
    Rule(
        sections=("Unit",),
        keys=("StartLimitIntervalSec", "StartLimitBurst"),
        effect=Effect.MANAGER,
        source="systemd.unit(5): counted when the unit is started",
    ),
    Rule(
        sections=("Service",),
        keys=("ExecReload",),
        effect=Effect.MANAGER,
        source="systemd.service(5): run by the next reload; the running process has no part in it",
    ),
    Rule(
        sections=("Service",),
        keys=(
            *("Restart", "RestartSec", "RestartSteps", "RestartMaxDelaySec", "RestartMode"),
            *("RestartPreventExitStatus", "RestartForceExitStatus", "SuccessExitStatus"),
            *(
                "ExecStop",
                "ExecStopPost",
                "TimeoutStartSec",
                "TimeoutStopSec",
                "TimeoutAbortSec",
                "TimeoutSec",
            ),
            *("TimeoutStartFailureMode", "TimeoutStopFailureMode"),
        ),
        effect=Effect.MANAGER,
        source=RECONCILE,
    ),
    Rule(
        sections=KILL_SECTIONS,
        keys=("KillMode", "KillSignal", "RestartKillSignal", "FinalKillSignal", "SendSIGHUP", "SendSIGKILL"),
        effect=Effect.MANAGER,
        source=RECONCILE,
    ),
    Rule(sections=("Mount", "Swap", "Socket"), keys=("TimeoutSec",), effect=Effect.MANAGER, source=RECONCILE),
    Rule(
        sections=CGROUP_SECTIONS,
        keys=(
            *("CPUAccounting", "CPUWeight", "StartupCPUWeight", "CPUQuota", "CPUQuotaPeriodSec"),
            *("MemoryAccounting", "MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemorySwapMax"),
            *("MemoryZSwapMax", "TasksAccounting", "TasksMax", "IOAccounting", "IOWeight", "StartupIOWeight"),
            *(
                "IODeviceWeight",
                "IOReadBandwidthMax",
                "IOWriteBandwidthMax",
                "IOReadIOPSMax",
                "IOWriteIOPSMax",
            ),
            *("IODeviceLatencyTargetSec", "AllowedCPUs", "AllowedMemoryNodes"),
        ),
        effect=Effect.MANAGER,
        source=CGROUP,
    ),
    Rule(
        sections=("Mount",),
        keys=("Options",),
        effect=Effect.RELOAD,
        source="systemd.mount(5), src/core/mount.c: the reload of a mount is a remount",
    ),
    Rule(
        sections=("Install",),
        keys=("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance"),
        effect=Effect.NOTHING,
        source="systemd.unit(5): not interpreted at run time, enablement only",
    ),
)

_BY_KEY = {(section, key): rule for rule in RULES for section in rule.sections for key in rule.keys}
_ELSE = Rule(sections=(), keys=(), effect=Effect.RESTART, source="no milder way is known")


def rule(section: str, key: str) -> Rule:
    """The row for a key; a key no row names needs a restart.

    >>> str(rule("Service", "MemoryMax").effect), str(rule("Service", "User").effect)
    ('manager', 'restart')
    """
    return _BY_KEY.get((section, key), _ELSE)


def effect(section: str, key: str, old: tuple[str, ...], new: tuple[str, ...]) -> Effect:
    """What it takes that ``key`` goes from the values ``old`` to ``new``.

    A remount adds options, it does not know which to take back: Options that appear or go are a restart.
    """
    found = rule(section, key).effect
    if (section, key) == ("Mount", "Options") and not (old and new):
        return Effect.RESTART
    return found

"""Each key that the effect table says is milder than a restart, tried on running units of booted machines.

A restart is the measure. For a unit that keeps running through the apply, the properties in PID 1 and the values in the
kernel must differ from those before the apply, and must be the same once the unit is restarted. There is one unit for
each key, and all change in one apply. A control unit of each type does not change; its properties that differ between
two readings are ignored.

A limit is read from PID 1. It is also read from the kernel if the machine has the cgroup controller (systemd-nspawn on
cgroup version 1 has not).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.model import Effect
from ordain.agent.plan.changes.directive_effects import EFFECT_RULES
from ordain.transforms.systemd.directives import lookup
from rig import debian_roots
from rig.machine import Machine
from rig.machine_agent import apply, pause

pytestmark = pytest.mark.integration

CLAIMED = [(section, key) for row in EFFECT_RULES for section in row.sections for key in row.keys]
LIVE = [
    (section, key)
    for row in EFFECT_RULES
    if row.effect in (Effect.NOTHING, Effect.MANAGER)
    for section in row.sections
    for key in row.keys
]
REFUSE_RESTART = ("RefuseManualStart", "RefuseManualStop", "StopWhenUnneeded", "SuccessAction")
"""Keys whose unit refuses a manual restart or shuts the machine down; only their properties are compared."""
NOT_LIVE = {
    "Environment": "WORD=1",
    "LimitNOFILE": "77",
    "Nice": "3",
    "NotifyAccess": "all",
    "OOMScoreAdjust": "7",
    "SupplementaryGroups": "daemon",
    "NoNewPrivileges": "true",
}
"""Keys of [Service] that do not take effect with a reload of the manager; they show that the measure can fail."""

SAMPLES: Mapping[str, tuple[str, str]] = {
    # [Unit]; "" means not set
    "Description": ("before", "after"),
    "Documentation": ("", "man:after(1)"),
    "SourcePath": ("", "/etc/hostname"),
    "CollectMode": ("", "inactive-or-failed"),
    "StopWhenUnneeded": ("", "true"),
    "IgnoreOnIsolate": ("", "true"),
    "RefuseManualStart": ("", "true"),
    "RefuseManualStop": ("", "true"),
    "AllowIsolate": ("", "true"),
    "OnFailure": ("", "tryother.service"),
    "OnFailureJobMode": ("", "fail"),
    "OnSuccess": ("", "tryother.service"),
    "OnSuccessJobMode": ("", "replace"),
    "After": ("", "tryother.service"),
    "Before": ("", "tryother.service"),
    "PartOf": ("", "tryother.service"),
    "PropagatesReloadTo": ("", "tryother.service"),
    "ReloadPropagatedFrom": ("", "tryother.service"),
    "PropagatesStopTo": ("", "tryidle.service"),
    "StopPropagatedFrom": ("", "tryother.service"),
    "JobTimeoutSec": ("", "77s"),
    "JobRunningTimeoutSec": ("", "77s"),
    "JobTimeoutAction": ("", "reboot"),
    "JobTimeoutRebootArgument": ("", "after"),
    "StartLimitIntervalSec": ("", "77s"),
    "StartLimitBurst": ("", "77"),
    "StartLimitAction": ("", "reboot"),
    "FailureAction": ("", "reboot"),
    "SuccessAction": ("", "reboot"),
    "FailureActionExitStatus": ("", "7"),
    "SuccessActionExitStatus": ("", "7"),
    "RebootArgument": ("", "after"),
    # [Service]
    "ExecReload": ("/bin/true before", "/bin/true after"),
    "ExecStop": ("/bin/true before", "/bin/true after"),
    "ExecStopPost": ("", "/bin/true after"),
    "Restart": ("", "always"),
    "RestartSec": ("", "7s"),
    "RestartSteps": ("", "7"),
    "RestartMaxDelaySec": ("", "7s"),
    "RestartMode": ("", "direct"),
    "RestartPreventExitStatus": ("", "7"),
    "RestartForceExitStatus": ("", "7"),
    "SuccessExitStatus": ("", "7"),
    "RemainAfterExit": ("", "true"),
    "RuntimeMaxSec": ("", "1h"),
    "TimeoutStartSec": ("", "77s"),
    "TimeoutStopSec": ("", "77s"),
    "TimeoutAbortSec": ("", "77s"),
    "TimeoutSec": ("", "77s"),
    "TimeoutCleanSec": ("", "77s"),
    "TimeoutStartFailureMode": ("", "kill"),
    "TimeoutStopFailureMode": ("", "kill"),
    "OOMPolicy": ("", "continue"),
    "WatchdogSignal": ("", "SIGUSR1"),
    "ReloadSignal": ("", "SIGUSR1"),
    # Killing
    "KillMode": ("", "process"),
    "KillSignal": ("", "SIGINT"),
    "RestartKillSignal": ("", "SIGINT"),
    "FinalKillSignal": ("", "SIGQUIT"),
    "SendSIGHUP": ("", "true"),
    "SendSIGKILL": ("", "false"),
    # Resource control
    "CPUAccounting": ("", "true"),
    "CPUWeight": ("", "77"),
    "StartupCPUWeight": ("", "77"),
    "CPUQuota": ("50%", "77%"),
    "CPUQuotaPeriodSec": ("", "77ms"),
    "AllowedCPUs": ("", "0"),
    "StartupAllowedCPUs": ("", "0"),
    "AllowedMemoryNodes": ("", "0"),
    "StartupAllowedMemoryNodes": ("", "0"),
    "MemoryAccounting": ("", "false"),
    "MemoryMin": ("", "7M"),
    "MemoryLow": ("", "7M"),
    "MemoryHigh": ("", "77M"),
    "MemoryMax": ("66M", "77M"),
    "MemorySwapMax": ("", "77M"),
    "MemoryZSwapMax": ("", "77M"),
    "StartupMemoryLow": ("", "7M"),
    "StartupMemoryHigh": ("", "77M"),
    "StartupMemoryMax": ("", "77M"),
    "StartupMemorySwapMax": ("", "77M"),
    "StartupMemoryZSwapMax": ("", "77M"),
    "TasksAccounting": ("", "false"),
    "TasksMax": ("66", "77"),
    "IOAccounting": ("", "true"),
    "IOWeight": ("", "77"),
    "StartupIOWeight": ("", "77"),
    "IODeviceWeight": ("", "/ 77"),
    "IOReadBandwidthMax": ("", "/ 7M"),
    "IOWriteBandwidthMax": ("", "/ 7M"),
    "IOReadIOPSMax": ("", "/ 77"),
    "IOWriteIOPSMax": ("", "/ 77"),
    "IODeviceLatencyTargetSec": ("", "/ 77ms"),
    # [Socket]
    "MaxConnections": ("", "77"),
    "MaxConnectionsPerSource": ("", "77"),
    "TriggerLimitIntervalSec": ("", "77s"),
    "TriggerLimitBurst": ("", "77"),
    "PollLimitIntervalSec": ("", "77s"),
    "PollLimitBurst": ("", "77"),
    "RemoveOnStop": ("", "true"),
    "FlushPending": ("", "true"),
    "ExecStopPre": ("", "/bin/true after"),
    # [Mount]
    "LazyUnmount": ("", "true"),
    "ForceUnmount": ("", "true"),
    # [Install]
    "WantedBy": ("multi-user.target", "multi-user.target graphical.target"),
    "RequiredBy": ("", "graphical.target"),
    "UpheldBy": ("", "graphical.target"),
    "Alias": ("", "tryalias.service"),
}
"""For each key, the value before the apply and the value after it."""

STATISTICS = re.compile(
    r".*Timestamp|.*TimestampMonotonic|.*Current|.*Peak|CPUUsageNSec|.*(Bytes|Packets|Operations)"
    r"|(Effective)?Memory(Available|Current)|InvocationID|.*PID|ExecMain.*|ExecStart(Ex)?|ControlGroupId|NRestarts"
)
"""Properties of a run rather than of a definition."""
RUN = re.compile(r" ?; start_time=.*?(?=})")
STATUS = re.compile(r"(?m)^(?:Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap\w+|Sig(?:Blk|Ign)|(?:Cpus|Mems)_allowed):.*$")
LIMITS = (
    *("memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.zswap.max"),
    *("memory.oom.group", "cpu.max", "cpu.weight", "cpuset.cpus", "cpuset.mems", "pids.max", "io.max", "io.weight"),
    *("memory.limit_in_bytes", "cpu.shares", "cpu.cfs_quota_us", "blkio.weight"),
)

NEEDS: Mapping[str, Mapping[str, str]] = {
    "CPUQuotaPeriodSec": {"CPUQuota": "50%"},
    "RestartSteps": {"RestartMaxDelaySec": "7s"},
    "RestartMaxDelaySec": {"RestartSteps": "7"},
}
"""Other keys of the unit without which PID 1 ignores a key."""

Readings = Mapping[str, Mapping[str, str]]
Unit = dict[str, dict[str, Any]]
IDLE: Unit = {"Service": {"ExecStart": "/usr/bin/sleep 1d"}}


def name(section: str, key: str) -> str:
    """Return the unit that a key is tried on."""
    stem = f"try{section}{key}".lower()
    match section:
        case "Socket" | "Slice":
            return f"{stem}.{section.lower()}"
        case "Mount":
            return f"run-{stem}.mount"
    return f"{stem}.service"


def basic(unit: str) -> Unit:
    """Return the definition of a unit without the key that is tried."""
    stem, _, kind = unit.rpartition(".")
    install = {"WantedBy": "multi-user.target"}
    match kind:
        case "socket":
            listen = {"ListenStream": f"/run/{stem}.socket", "Service": "tryidle.service"}
            return {"Socket": listen, "Install": install}
        case "mount":
            where = "/" + stem.replace("-", "/")
            return {"Mount": {"What": "tmpfs", "Type": "tmpfs", "Where": where}, "Install": install}
        case "slice":
            return {"Unit": {"DefaultDependencies": "false"}, "Slice": {}, "Install": install}
    return {"Service": {"ExecStart": "/usr/bin/sleep 1d"}, "Install": install}


def with_key(section: str, key: str, value: str) -> Unit:
    unit = basic(name(section, key))
    if value:
        unit.setdefault(section, {})[key] = value
    for other, needed in NEEDS.get(key, {}).items():
        unit.setdefault(section, {})[other] = needed
    return unit


def known(suite: str, section: str, key: str) -> bool:
    """Return True if the systemd of this Debian has the key."""
    directive = lookup(section, key)
    assert directive is not None
    return directive.since <= {"bookworm": 252, "trixie": 257, "sid": 262}[suite]


@dataclass(frozen=True)
class Tried:
    """The jobs of the plans by unit, and the readings of all units by the time of the reading."""

    jobs: Mapping[str, list[str]]
    readings: Mapping[str, Readings]

    def differ(self, unit: str, one: str, other: str) -> set[str]:
        """Return the values of ``unit`` that differ between two readings, but not for the control unit of its type."""
        kind = unit.rpartition(".")[2]
        control = next(u for u in CONTROLS if u.endswith(kind))
        return self._differ(unit, one, other) - self._differ(control, one, other)

    def _differ(self, unit: str, one: str, other: str) -> set[str]:
        a, b = self.readings[one][unit], self.readings[other][unit]
        return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


CONTROLS = ("trycontrol.service", "trycontrol.socket", "run-trycontrol.mount", "trycontrol.slice")


def sections(keys: Iterable[tuple[str, str]], at: int) -> dict[str, Any]:
    """Return the documents that set each key to its value before (``at`` 0) or after (1) the apply."""
    units: dict[str, Unit] = {name(*key): with_key(*key, SAMPLES[key[1]][at]) for key in keys}
    units |= {unit: basic(unit) for unit in CONTROLS}
    units["tryother.service"] = basic("tryother.service")
    units["tryidle.service"] = IDLE
    services = {
        not_live(key): {
            "command": "/usr/bin/sleep 1d",
            "on-change": "none",
            **({"systemd": {"Service": {key: value}}} if at else {}),
        }
        for key, value in NOT_LIVE.items()
    }
    return {"units": units, "services": services}


def not_live(key: str) -> str:
    return f"trynot{key}".lower()


def read_units(machine: Machine, units: Iterable[str]) -> Readings:
    """Read each unit's properties from PID 1, and those of its main process and its cgroup from the kernel."""
    text = machine.run("systemctl", "show", "--all", *units).stdout
    readings = {}
    for block in text.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        values = {key: _comparable(key, value) for key, value in properties.items() if not STATISTICS.fullmatch(key)}
        values |= process(machine, properties.get("MainPID", "0"))
        values |= limits(machine, properties.get("ControlGroup", ""))
        run = {"run": f"{properties.get('InvocationID')} {properties.get('MainPID', '')}"}
        readings[properties["Id"]] = values | run
    return readings


def _comparable(key: str, value: str) -> str:
    """Return the value of a property; PID 1 lists the members of a set in any order, so they are sorted."""
    return " ".join(sorted(value.split())) if key in ("After", "Before") else RUN.sub("", value)


def process(machine: Machine, pid: str) -> dict[str, str]:
    if pid == "0":
        return {}
    proc = machine.path(f"/proc/{pid}")
    environment = (proc / "environ").read_text().split("\0")
    own = ("INVOCATION_ID=", "SYSTEMD_EXEC_PID=", "JOURNAL_STREAM=")
    return {
        "environ": "\n".join(sorted(line for line in environment if not line.startswith(own))),
        "status": "\n".join(STATUS.findall((proc / "status").read_text())),
        "nice": (proc / "stat").read_text().rpartition(")")[2].split()[16],
        **{file: (proc / file).read_text() for file in ("limits", "cgroup", "oom_score_adj", "cmdline")},
    }


def limits(machine: Machine, group: str) -> dict[str, str]:
    top = machine.path("/sys/fs/cgroup")
    controllers = [top, *(d for d in top.iterdir() if d.is_dir())] if group else []
    files = [Path(f"{base}{group}") / file for base in controllers for file in LIMITS]
    return {file.name: file.read_text() for file in files if file.is_file()}


# All tests of one machine run in one worker, which boots it once.
@pytest.fixture(
    scope="module",
    params=[pytest.param(suite, marks=pytest.mark.xdist_group(f"effects {suite}")) for suite in debian_roots.SUITES],
)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def booted(suite: str, deb: Path) -> Iterator[Machine]:
    with Machine(debian_roots.with_package(suite, deb)) as machine:
        machine.boot()
        pause(machine)
        yield machine


@pytest.fixture(scope="module")
def tried(booted: Machine, suite: str) -> Tried:
    keys = [key for key in LIVE if known(suite, *key)]
    units = [*(name(*key) for key in keys), *CONTROLS, *(f"{not_live(key)}.service" for key in NOT_LIVE)]
    jobs: dict[str, list[str]] = {}
    readings: dict[str, Readings] = {}

    def step(when: str, at: int) -> None:
        outcome = apply(booted, sections(keys, at), timeout=120)
        assert [v for v in outcome["verdicts"] if not v["ok"]] == []
        # Some rows are tried without the key that they need (RestartSteps=), which causes a warning.
        assert [p for p in outcome["plan"]["problems"] if p["code"] != "Doubtful"] == []
        for job in (*outcome["plan"]["stops"], *outcome["plan"]["jobs"]):
            jobs.setdefault(job["unit"], []).append(f"{when}: {job['verb']} ({job['reason']})")
        readings[when] = read_units(booted, units)

    step("before", 0)
    jobs.clear()
    step("after", 1)
    refusing = {name("Unit", key) for key in REFUSE_RESTART}
    booted.run("systemctl", "restart", *(unit for unit in units if unit not in refusing), timeout=120)
    readings["restarted"] = read_units(booted, units)
    step("undone", 0)
    return Tried(jobs, readings)


def test_every_key_of_the_table_has_a_sample() -> None:
    assert {key for _, key in LIVE} - SAMPLES.keys() == set()


@pytest.mark.parametrize(("section", "key"), LIVE, ids=[".".join(row) for row in LIVE])
def test_a_reload_of_the_manager_does_the_same_as_a_restart(tried: Tried, suite: str, section: str, key: str) -> None:
    if not known(suite, section, key):
        pytest.skip("this systemd does not have the key")
    unit = name(section, key)

    assert tried.jobs.get(unit, []) == []
    assert tried.readings["before"][unit]["ActiveState"] == "active"
    assert tried.readings["after"][unit]["run"] == tried.readings["before"][unit]["run"]
    assert tried.readings["undone"][unit]["run"] == tried.readings["restarted"][unit]["run"]
    assert tried.differ(unit, "before", "after") != set()
    assert tried.differ(unit, "after", "restarted") == set()
    assert tried.differ(unit, "before", "undone") == set()


@pytest.mark.parametrize("key", NOT_LIVE)
def test_the_measure_detects_a_key_that_needs_a_restart(tried: Tried, key: str) -> None:
    unit = f"{not_live(key)}.service"

    assert tried.readings["after"][unit]["run"] == tried.readings["before"][unit]["run"]
    assert tried.differ(unit, "after", "restarted") != set()


PULLS_IN = ("Wants", "Requires", "Requisite", "BindsTo", "RequiresMountsFor")
OF = {"RequiresMountsFor": "/run"}
DOES = {
    # (section, key, value): a command, and a condition that is true soon after it
    ("Unit", "OnFailure", "didfail.service"): ("systemctl kill -s KILL {u}", "systemctl is-active didfail.service"),
    ("Unit", "RefuseManualStop", "true"): ("! systemctl stop {u}", "systemctl is-active {u}"),
    ("Service", "ExecReload", "/usr/bin/touch /run/did.reload"): ("systemctl reload {u}", "test -e /run/did.reload"),
    ("Service", "ExecStop", "/usr/bin/touch /run/did.stop"): ("systemctl stop {u}", "test -e /run/did.stop"),
    ("Service", "ExecStopPost", "/usr/bin/touch /run/did.post"): ("systemctl stop {u}", "test -e /run/did.post"),
    ("Service", "KillSignal", "SIGINT"): ("systemctl stop {u}", "systemctl show {u} | grep -x ExecMainStatus=2"),
    ("Service", "RemainAfterExit", "true"): ("systemctl kill {u}", "systemctl show {u} | grep -x SubState=exited"),
    ("Service", "Restart", "always"): ("systemctl kill {u}", "systemctl show {u} | grep -x NRestarts=1"),
    ("Service", "SuccessExitStatus", "SIGKILL"): (
        "systemctl kill -s KILL {u}",
        "systemctl show {u} | grep -x ActiveState=inactive",
    ),
    ("Socket", "RemoveOnStop", "true"): ("systemctl stop {u}", "test ! -e /run/didsocketremoveonstop.socket"),
    ("Mount", "LazyUnmount", "true"): (
        "cd /run/didmountlazyunmount && systemctl stop {u}",
        "systemctl show {u} | grep -x ActiveState=inactive",
    ),
    # Counted from the start of the unit, and it must not end before the apply does. It comes last, to save waiting.
    ("Service", "RuntimeMaxSec", "15s"): ("true", "systemctl show {u} | grep -x Result=timeout"),
}
"""Commands that show the effect of a property, not only its value."""


def did(section: str, key: str) -> str:
    return name(section, key).replace("try", "did")


@pytest.fixture(scope="module")
def doing(booted: Machine) -> Mapping[str, list[str]]:
    """Return the jobs of each unit for an apply that sets `DOES` and removes `PULLS_IN`, all on running units."""
    jobs: dict[str, list[str]] = {}
    for at in (0, 1):
        units: dict[str, Unit] = {"didfail.service": IDLE, "tryidle.service": IDLE}
        for section, key, value in DOES:
            unit = units[did(section, key)] = basic(did(section, key))
            unit.setdefault(section, {}).update({key: value} if at else {})
        for key in PULLS_IN:
            unit = units[did("Unit", key)] = basic(did("Unit", key))
            unit["Unit"] = {"After": "didother.service", **({} if at else {key: OF.get(key, "didother.service")})}
        units["didother.service"] = basic("didother.service")
        options = "size=2M" if at else "size=1M"
        for stem in ("remounted", "taken"):
            unit = units[f"run-{stem}.mount"] = basic(f"run-{stem}.mount")
            unit["Mount"]["Options"] = f"{options},noexec" if stem == "remounted" else "noexec"
        if at:
            del units["run-taken.mount"]["Mount"]["Options"]
        outcome = apply(booted, {"units": units})
        assert [v for v in outcome["verdicts"] if not v["ok"]] == []
        for job in outcome["plan"]["jobs"] if at else ():
            jobs.setdefault(job["unit"], []).append(job["verb"])
    return jobs


@pytest.mark.parametrize(("section", "key", "value"), DOES, ids=[".".join(row[:2]) for row in DOES])
def test_a_key_has_its_effect_without_a_restart(
    doing: Mapping[str, list[str]], booted: Machine, section: str, key: str, value: str
) -> None:
    unit = did(section, key)
    act, holds = (text.format(u=unit) for text in DOES[section, key, value])

    assert doing.get(unit, []) == []
    booted.run("sh", "-c", act)
    booted.until(holds, lambda: booted.run("sh", "-c", holds, check=False).returncode == 0)


@pytest.mark.parametrize("key", PULLS_IN)
def test_removing_a_requirement_does_not_restart_the_unit(
    doing: Mapping[str, list[str]], booted: Machine, key: str
) -> None:
    unit = did("Unit", key)

    assert doing.get(unit, []) == []
    assert OF.get(key, "didother.service") not in booted.show(unit, key)[key].split()
    assert booted.show(unit, "ActiveState") == {"ActiveState": "active"}


def test_new_mount_options_need_a_remount_and_removed_options_a_restart(
    doing: Mapping[str, list[str]], booted: Machine
) -> None:
    def options(where: str) -> set[str]:
        return set(booted.run("findmnt", "-no", "OPTIONS", where).stdout.strip().split(","))

    assert doing["run-remounted.mount"] == ["reload"]
    assert {"size=2048k", "noexec"} <= options("/run/remounted")
    assert doing["run-taken.mount"] == ["start"], "after a stop, which also stops the services that work on the mount"
    assert "noexec" not in options("/run/taken")

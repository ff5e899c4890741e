"""Runs on a real Slurm (controller, daemon and munge on the loopback device) and as units of a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.debian_roots import with_package
from rig.machine import Machine
from rig.slurm import PACKAGES, USER, as_user, boot_with_slurm

pytestmark = pytest.mark.integration

HOSTILE = ["$HOME `id`", "a\n#SBATCH --time=1", 'it\'s \\ "x"', "", "-n", "é\u2028"]
SHOW = (
    "import sys, os, json; print(json.dumps([sys.argv[1:], os.environ['TEXT'], os.environ.get('ELSE'), os.getcwd()]))"
)
JOBS = f"""\
ordain: v1
kind: Run
name: prepare
command: {json.dumps(["/usr/bin/python3", "-c", SHOW, *HOSTILE])}
environment: {{TEXT: "two\\nlines", PYTHONIOENCODING: utf-8}}
working-directory: /home/{USER}/work
resources: {{cpus-per-task: 2, memory: 100M, time: 3min}}
queue: normal
output: "prepare {{job}}.out"
---
ordain: v1
kind: Run
name: array
script: |
  echo "$ORDAIN_RUN $ORDAIN_INDEX of $ORDAIN_JOB_ID $letter"
  test "$ORDAIN_INDEX" != 3
parameters: {{letter: [a, b, c]}}
after: [prepare]
output: logs/array-{{job}}-{{index}}.out
resources: {{memory: 50M}}
---
ordain: v1
kind: Run
name: never
command: touch /home/{USER}/never
after: [array]
---
ordain: v1
kind: Run
name: cleanup
command: touch /home/{USER}/cleaned
after: {{array: failed}}
resources: {{memory: 50M}}
"""
LAUNCHED = """\
ordain: v1
kind: Run
name: launched
command: [/bin/sh, -c, 'echo "task $SLURM_PROCID has $OMP_NUM_THREADS"']
launcher: mpi
environment: {OMP_NUM_THREADS: 2}
resources: {tasks: 3, memory: 100M}
output: launched.out
"""
ENDLESS = """\
ordain: v1
kind: Run
name: endless
command: sleep 1000
resources: {time: 1min, memory: 50M}
hooks: {on-failure: touch ended}
"""


@pytest.fixture
def slurm(deb: Path, suite: str) -> Iterator[Machine]:
    """Return a booted machine with the package and a running Slurm."""
    with Machine(with_package(suite, deb, more=PACKAGES)) as machine:
        boot_with_slurm(machine)
        yield machine


def submit(machine: Machine, text: str, *options: str) -> list[str]:
    """Submit the runs of a text as the user and return the ids."""
    machine.write(f"/home/{USER}/runs.yaml", text)
    return as_user(machine, "ordainctl", "run", "submit", "--on", "slurm", *options, "runs.yaml").split()


def wait(machine: Machine, *ids: str) -> dict[str, dict[str, object]]:
    """Wait for the end of jobs, and return what `run wait` prints, by the name of the run."""
    printed = as_user(machine, "ordainctl", "run", "wait", "--json", *ids, check=False, timeout=200)
    return {job["run"]: job for job in json.loads(printed.partition("[exit status")[0])}


def job(machine: Machine, id: str) -> dict[str, str]:
    """Return the properties of a job that Slurm knows."""
    words = machine.run("scontrol", "show", "job", id, "-o").stdout.split()
    return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.mark.one_debian
@pytest.mark.slow
def test_slurm_gives_a_run_its_limits_environment_elements_and_dependencies(slurm: Machine) -> None:
    as_user(slurm, "mkdir", "work")
    prepare, array, *others = ids = submit(slurm, JOBS)

    limits = job(slurm, prepare)
    states = wait(slurm, *ids)

    expected = {"JobName": "prepare", "Partition": "normal", "TimeLimit": "00:03:00"}
    expected |= {"NumCPUs": "2", "CPUs/Task": "2", "MinMemoryNode": "100M"}
    assert expected.items() <= limits.items()
    assert len(others) == 2
    assert {run: (state["state"], state["exit"]) for run, state in states.items()} == {
        "prepare": ("done", 0),
        "array": ("failed", 1),
        "never": ("cancelled", None),
        "cleanup": ("done", 0),
    }
    output = json.loads(slurm.read(f"/home/{USER}/work/prepare {prepare}.out"))
    assert output == [HOSTILE, "two\nlines", None, f"/home/{USER}/work"]
    for index, letter in enumerate("abc", 1):
        log = as_user(slurm, "ordainctl", "run", "log", array, "--index", str(index))
        assert log == f"array {index} of {array} {letter}\n"
    assert slurm.path(f"/home/{USER}/cleaned").exists()
    assert not slurm.path(f"/home/{USER}/never").exists()


@pytest.mark.one_debian
def test_the_launcher_of_slurm_starts_each_task_with_the_environment(slurm: Machine) -> None:
    states = wait(slurm, *submit(slurm, LAUNCHED))

    assert states["launched"]["state"] == "done"
    lines = slurm.read(f"/home/{USER}/launched.out").splitlines()
    assert sorted(lines) == [f"task {task} has 2" for task in range(3)]


@pytest.mark.slow
def test_a_run_is_ended_at_its_time_and_can_be_cancelled(slurm: Machine) -> None:
    (timed,) = submit(slurm, ENDLESS)
    (cancelled,) = submit(slurm, ENDLESS.replace("name: endless", "name: stopped"))
    slurm.until("both run", lambda: all(job(slurm, each)["JobState"] == "RUNNING" for each in (timed, cancelled)))

    as_user(slurm, "ordainctl", "run", "cancel", cancelled)

    assert wait(slurm, cancelled)["stopped"]["state"] == "cancelled"
    assert "running" in as_user(slurm, "ordainctl", "run", "status", timed)
    assert wait(slurm, timed)["endless"]["state"] == "timed-out"


@pytest.mark.one_debian
def test_a_refused_job_cancels_those_that_were_submitted_before(slurm: Machine) -> None:
    text = JOBS.replace("queue: normal", "queue: debug").partition("---\nordain: v1\nkind: Run\nname: never")[0]
    text = text.replace("resources: {memory: 50M}", "queue: missing")
    slurm.write(f"/home/{USER}/runs.yaml", text)

    printed = as_user(slurm, "ordainctl", "run", "submit", "--on", "slurm", "runs.yaml", check=False)

    assert "invalid partition" in printed
    assert "cancelled, because the whole submission failed" in printed
    assert printed.endswith("[exit status 4]")
    assert as_user(slurm, "squeue", "-h") == ""


LOCAL = """\
ordain: v1
kind: Run
name: limited
script: |
  echo "$TEXT $ORDAIN_JOB_ID"
  cat "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max" || :
environment: {TEXT: "50% of $HOME"}
resources: {cpus-per-task: 2, memory: 64M, time: 90s}
---
ordain: v1
kind: Run
name: element
script: exit $((ORDAIN_INDEX - 1))
array: 1-2
after: [limited]
---
ordain: v1
kind: Run
name: timed
command: sleep 100
resources: {time: 2s}
---
ordain: v1
kind: Run
name: dependent
command: touch /root/never
after: [timed]
---
ordain: v1
kind: Run
name: last
command: [sh, -c, 'touch "$HOME/last"']
after: {timed: ended}
"""


def test_a_unit_of_this_machine_has_the_limits_of_the_run(machine: Machine) -> None:
    machine.boot()
    machine.write("/root/local.yaml", LOCAL)

    def ordainctl(*words: str, check: bool = True) -> str:
        command = ["env", "HOME=/root", "sh", "-c", 'cd /root && exec ordainctl "$@"', "sh", *words]
        return machine.run(*command, check=check).stdout

    ids = ordainctl("run", "submit", "--on", "local", "local.yaml").split()
    states = json.loads(ordainctl("run", "wait", "--json", *ids, check=False))
    by_name = {(state["run"], state["index"]): state for state in states}

    assert {key: (state["state"], state["exit"]) for key, state in by_name.items()} == {
        ("limited", None): ("done", 0),
        ("element", 1): ("done", 0),
        ("element", 2): ("failed", 1),
        ("timed", None): ("timed-out", None),
        ("dependent", None): ("cancelled", None),
        ("last", None): ("done", 0),
    }
    limited = str(by_name["limited", None]["id"])
    properties = machine.show(limited, "MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "TimeoutStartUSec")
    assert properties == {
        "MemoryMax": str(64 << 20),
        "MemorySwapMax": "0",
        "CPUQuotaPerSecUSec": "2s",
        "TimeoutStartUSec": "1min 30s",
    }
    text, *memory = ordainctl("run", "log", limited).splitlines()
    assert text == f"50% of $HOME {limited}"
    # A host with version 1 of cgroups gives its machines no controller for memory.
    assert memory == [str(64 << 20)] or "No such file" in memory[0]
    assert machine.path("/root/last").exists()
    assert not machine.path("/root/never").exists()


@pytest.mark.one_debian
def test_a_unit_of_this_machine_can_be_cancelled(machine: Machine) -> None:
    machine.boot()
    machine.write(
        "/root/run.yaml",
        "ordain: v1\nkind: Run\nname: endless\ncommand: sleep 1000\nhooks: {on-failure: touch /root/hook}\n",
    )
    id = machine.run(
        "env", "HOME=/root", "ordainctl", "run", "submit", "--on", "local", "/root/run.yaml"
    ).stdout.strip()
    machine.until("it runs", lambda: bool(machine.run("pgrep", "-x", "sleep", check=False).stdout))

    machine.run("env", "HOME=/root", "ordainctl", "run", "cancel", id)

    printed = machine.run("env", "HOME=/root", "ordainctl", "run", "wait", "--json", id, check=False).stdout
    assert json.loads(printed)[0]["state"] == "cancelled"
    assert machine.path("/root/hook").exists()


def test_a_user_without_rights_runs_units_of_their_own_manager(machine: Machine) -> None:
    machine.boot()
    machine.run("useradd", "--create-home", "--shell", "/bin/bash", USER)
    uid = machine.run("id", "-u", USER).stdout.strip()
    machine.run("systemctl", "start", f"user@{uid}.service")
    keys = "command: [sh, -c, 'id -un; exit 4']\nresources: {memory: 64M, time: 1min}\n"
    machine.write(f"/home/{USER}/run.yaml", f"ordain: v1\nkind: Run\nname: own\n{keys}")
    bus = ("env", f"XDG_RUNTIME_DIR=/run/user/{uid}")

    id = as_user(machine, *bus, "ordainctl", "run", "submit", "--on", "local", "run.yaml").strip()
    printed = as_user(machine, *bus, "ordainctl", "run", "wait", "--json", id, check=False)

    assert '"state": "failed"' in printed
    assert '"exit": 4' in printed
    # journald takes the last lines of a program a moment after it has ended.
    machine.until(
        "the journal has the output", lambda: as_user(machine, *bus, "ordainctl", "run", "log", id) == f"{USER}\n"
    )
    shown = as_user(machine, *bus, "systemctl", "--user", "show", "--property=MemoryMax,TimeoutStartUSec", id)
    assert set(shown.splitlines()) == {f"MemoryMax={64 << 20}", "TimeoutStartUSec=1min"}

"""The rig removes everything that it makes, even if it is killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rig import debian_roots, machine
from rig.machine import Machine, MachineError

pytestmark = pytest.mark.integration

RUN = """\
import sys
from pathlib import Path
from rig.machine import Machine
with Machine([Path(sys.argv[1])]) as machine:
    machine.boot(wait=False)
    print(machine.name, flush=True)
    sys.stdin.read()
"""


def traces(name: str) -> list[str]:
    """Return mounts, cgroups, directories and processes of a machine."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}")]
    files = [str(path) for path in machine.STATE.glob(f"{name}*")]
    processes = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if name in cmdline(path)]
    return [*mounts, *cgroups, *files, *processes]


def cmdline(path: Path) -> str:
    """Return the command line of a process, "" if the process has ended."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def test_a_machine_that_fails_to_boot_is_an_error_and_is_removed(rig: None, tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()

    with pytest.raises(MachineError, match="does not start"), Machine([tmp_path]) as empty:
        empty.boot()

    assert traces(empty.name) == []


def test_a_command_that_does_not_end_is_killed(rig: None) -> None:
    with Machine(debian_roots.plain_root("trixie")) as booted:
        booted.boot()

        with pytest.raises(MachineError, match="no end within"):
            booted.run("sleep", "12345", timeout=0.5)

        booted.until("sleep is gone", lambda: booted.run("pgrep", "-f", "sleep 12345", check=False).returncode == 1)


def test_the_machines_of_a_killed_run_are_removed_at_the_next_start(rig: None) -> None:
    command = [sys.executable, "-c", RUN, str(debian_roots.plain_root("trixie")[0])]
    environment = {**debian_roots.CLEAN_ENVIRONMENT, "PYTHONPATH": str(Path(machine.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        name = run.stdout.readline().strip()
        assert traces(name) != []
        run.send_signal(signal.SIGKILL)

    machine.sweep()

    assert traces(name) == []

"""The Debian package on a running machine: installed, upgraded, removed and purged by apt."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest

from rig import package
from rig.machine import Machine, Machines
from rig.machine_agent import agent_status, readable_by_nobody, wait_agent_state
from rig.upgrade import OFFLINE, SYSTEMD, fetch

pytestmark = pytest.mark.integration

COMPLETIONS = (
    "/usr/share/bash-completion/completions/ordainctl.bash",
    "/usr/share/zsh/vendor-completions/_ordainctl",
    "/usr/share/fish/vendor_completions.d/ordainctl.fish",
)
GENERATOR = "/usr/lib/systemd/system-generators/ordain-generator"
WEB = """\
ordain: v1
kind: Layer
name: web
services:
  web:
    command: [/usr/bin/python3, -m, http.server, "8080"]
"""
RELOADING = f"""\
n=0
until [ -e /run/stop ]; do
	rm -rf /run/out && mkdir /run/out
	{GENERATOR} /run/out || echo "run $n: exit status $?"
	[ -e /run/out/web.service ] || echo "run $n: no web.service"
	n=$((n + 1))
	echo $n >/run/runs.new
	mv /run/runs.new /run/runs
done >/run/errors 2>&1
"""


def apt(machine: Machine, verb: str, package: str | Path) -> str:
    """Run apt-get in the machine and return what it printed."""
    if isinstance(package, Path):
        shutil.copy(package, machine.path("/tmp") / package.name)
        package = f"/tmp/{package.name}"
    done = machine.run("apt-get", verb, "--yes", package, timeout=120)
    return done.stdout + done.stderr


def until_web_runs(machine: Machine) -> None:
    """Wait for the service of `WEB`."""
    machine.until("web runs", lambda: machine.show("web.service", "ActiveState")["ActiveState"] == "active")


def running(machine: Machine, unit: str) -> str:
    """Return the process id of a service, which must be running."""
    state = machine.show(unit, "ActiveState", "MainPID")
    assert state["ActiveState"] == "active", state
    return state["MainPID"]


@pytest.fixture
def upgrade(rig: None) -> Path:
    """Return a package of the same tree with a higher version."""
    return package.build("0.1.0+next")


@pytest.mark.one_debian
def test_a_package_installed_on_a_running_machine_applies_documents_at_once(
    deb: Path, machines: Machines, suite: str
) -> None:
    machine = machines(suite, bare=True).boot()
    machine.write("/etc/ordain/documents/web.yaml", WEB)

    apt(machine, "install", deb)

    until_web_runs(machine)
    assert machine.run("systemctl", "is-enabled", "ordain-agent.service").stdout == "enabled\n"
    for completion in COMPLETIONS:
        assert machine.path(completion).is_file()


@pytest.mark.one_debian
def test_an_upgrade_touches_no_service_and_the_generator_always_works(machine: Machine, upgrade: Path) -> None:
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    until_web_runs(machine)
    web, agent = running(machine, "web.service"), running(machine, "ordain-agent.service")
    machine.run("systemd-run", "--unit=reloading", "sh", "-c", RELOADING)
    machine.until("a first run", machine.path("/run/runs").exists)
    before = int(machine.read("/run/runs"))

    apt(machine, "install", upgrade)

    runs = int(machine.read("/run/runs"))
    machine.write("/run/stop", "")
    assert runs > before + 5
    assert machine.read("/run/errors") == ""
    assert running(machine, "web.service") == web
    assert running(machine, "ordain-agent.service") != agent
    assert machine.run("dpkg-query", "--show", "ordain").stdout.split()[1] == "0.1.0+next"


FIRST = "4e7f3d1"
"""The commit of the first package that was handed out."""
EVERYTHING = """\
ordain: v1
kind: Layer
name: base
services:
  web: {command: [/usr/bin/python3, -m, http.server, "8080"], files: {/etc/web.conf: {content: WORD}}}
  held: {command: [/usr/bin/sleep, infinity], environment: {WORD: WORD}}
  each: {command: [/usr/bin/sleep, "1000"], instances: [a, b]}
sysctl: {net.ipv4.ip_forward: 1}
users: {builder: {uid: 1234}}
files:
  /etc/site.conf: {content: WORD, mode: "0600"}
  /etc/secret.conf: {content: hunter2, mode: "0600"}
"""
HANDED = "ordain: v1\nkind: Layer\nname: handed\nfiles: {/etc/handed.conf: {content: hunter2, mode: '0600'}}\n"
OPEN_BEFORE = {
    "/etc/ordain/boot",
    "/etc/ordain/documents",
    "/run/ordain/boot",
    "/run/ordain/documents",
    "/var/lib/ordain",
}
"""The directories in which the first package, and the script of its initrd, let everybody read all contents."""


@pytest.mark.slow
@pytest.mark.one_debian
def test_an_upgrade_from_the_first_package_keeps_generations_holds_and_services(
    machines: Machines, upgrade: Path, suite: str
) -> None:
    first = package.build_at(FIRST, "0.1.0~first")
    if first is None:
        pytest.skip(f"this checkout does not have commit {FIRST}")
    machine = machines(suite, bare=True)
    machine.boot()
    apt(machine, "install", first)
    for word in ("one", "two"):
        machine.write("/etc/ordain/documents/base.yaml", EVERYTHING.replace("WORD", word))
        machine.until(f"/etc/site.conf says {word}", functools.partial(_says, machine, "/etc/site.conf", word))
        wait_agent_state(machine, "converged")
    machine.write(
        "/run/ordain/documents/source.yaml", HANDED
    )  # an initrd is older than the package, or is not made again
    machine.run("ordainctl", "hold", "held.service")
    shown = readable_by_nobody(machine, "hunter2")
    assert {place for place in OPEN_BEFORE if any(path.startswith(f"{place}/") for path in shown)} == OPEN_BEFORE
    pids = {unit: running(machine, unit) for unit in ("web.service", "held.service", "each@a.service")}
    applied = agent_status(machine)["generation"]

    apt(machine, "install", upgrade)

    wait_agent_state(machine, "converged")
    assert {unit: running(machine, unit) for unit in pids} == pids
    assert "held.service" in machine.run("ordainctl", "status", "held.service", check=False).stdout
    numbers = [row["number"] for row in json.loads(machine.run("ordainctl", "history", "--json").stdout)]
    assert applied in numbers
    assert readable_by_nobody(machine, "hunter2") == []
    assert machine.read("/etc/secret.conf").strip() == "hunter2"

    machine.write("/etc/ordain/documents/base.yaml", EVERYTHING.replace("WORD", "three"))
    machine.until("/etc/site.conf says three", lambda: _says(machine, "/etc/site.conf", "three"))
    wait_agent_state(machine, "converged")
    assert running(machine, "held.service") == pids["held.service"]  # the hold was written by the first package

    machine.run("ordainctl", "rollback", str(applied))
    assert _says(machine, "/etc/site.conf", "two")  # a generation that the first package wrote

    machine.poweroff()
    machine.boot()
    machine.until("web runs", lambda: machine.show("web.service", "ActiveState")["ActiveState"] == "active")
    assert _says(machine, "/etc/site.conf", "two")
    assert readable_by_nobody(machine, "hunter2") == []


def _says(machine: Machine, path: str, word: str) -> bool:
    return machine.path(path).exists() and machine.read(path).strip() == word


def test_services_run_on_during_an_upgrade_of_systemd(machine: Machine, suite: str) -> None:
    """The packages are installed again; their scripts act as in an upgrade (daemon-reexec, restart of the journal)."""
    packages = fetch(suite, machine.layers, "install", "--reinstall", *SYSTEMD)
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    until_web_runs(machine)
    wait_agent_state(machine, "converged")
    web, agent = running(machine, "web.service"), running(machine, "ordain-agent.service")
    packages.put(machine)

    machine.run(*OFFLINE, "install", "--reinstall", *SYSTEMD, timeout=120)

    assert "Reexecuting" in machine.journal("_PID=1")
    assert (running(machine, "web.service"), running(machine, "ordain-agent.service")) == (web, agent)
    wait_agent_state(machine, "converged")
    assert agent_status(machine)["drift"] == []
    machine.run("systemctl", "daemon-reload")
    assert machine.path("/run/systemd/generator/web.service").exists()
    machine.write("/etc/ordain/documents/web.yaml", WEB.replace("8080", "8081"))
    machine.until("web is the new one", lambda: "8081" in machine.show("web.service", "ExecStart")["ExecStart"])
    until_web_runs(machine)
    wait_agent_state(machine, "converged")


@pytest.mark.one_debian
def test_removing_the_package_warns_and_leaves_services_running(machine: Machine) -> None:
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    until_web_runs(machine)
    web = running(machine, "web.service")

    output = apt(machine, "remove", "ordain")

    assert "lose their definition" in output
    assert running(machine, "web.service") == web
    assert not machine.path("/run/systemd/generator/web.service").exists()
    assert machine.read("/etc/ordain/documents/web.yaml") == WEB


@pytest.mark.one_debian
def test_purging_the_package_leaves_no_file(machine: Machine) -> None:
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    until_web_runs(machine)

    apt(machine, "purge", "ordain")

    files = machine.run("find", "/etc", "/usr", "/var", "/run", "-iname", "*ordain*").stdout.split()
    assert files == []


@pytest.mark.one_debian
def test_a_boot_without_documents_is_a_normal_boot(machine: Machine) -> None:
    machine.boot()

    assert machine.wait_running() == "running", machine.run("systemctl", "--failed").stdout
    assert running(machine, "ordain-agent.service")
    assert machine.run("systemctl", "is-active", "nginx.service").stdout == "active\n"

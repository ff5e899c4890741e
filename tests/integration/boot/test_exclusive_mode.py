"""Exclusive mode on booted machines: the units of the documents run, logins work, and nothing else runs."""

from __future__ import annotations

import json

import pytest

from rig.machine import Machine, Machines
from rig.machine_agent import answered_status
from rig.sysv_scripts import add_legacy_service

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
ADDITIVE = """\
ordain: v1
kind: Layer
name: machine
services:
  nginx: {state: running}
  ssh: {state: stopped}
  hello: {command: [/bin/sleep, infinity]}
"""
EXCLUSIVE = ADDITIVE + "boot: {mode: exclusive}\n"
MARK = "[Service]\nExecStartPre=/usr/bin/touch /var/lib/cron-ran\n"
RUNS = "[Service]\nExecStart=/bin/sleep infinity\n"
MAKES = """\
#!/bin/sh
printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >$1/made.service
mkdir -p $1/multi-user.target.wants
ln -s ../made.service $1/multi-user.target.wants/
"""
WAITING = {
    "lazy.socket": "[Socket]\nListenStream=/run/lazy\n",
    "lazy.service": RUNS,
    "install.socket": "[Socket]\nListenStream=/run/install\nAccept=yes\n",
    "install@.service": RUNS,
    "install.service": "[Unit]\nFailureAction=halt\n" + RUNS,
}
"""install.service is neither enabled nor started by the socket, like systemd-sysinstall.service of systemd 261, whose
failure halts the machine."""
DISTRIBUTIONS = ("cron.service", "legacy.service", "made.service", "apt-daily.timer")
ENDED = {"apt-daily.service", "apt-daily-upgrade.service", "dpkg-db-backup.service", "e2scrub_reap.service"}
"""Units that run once at some time, so a reading may or may not contain them."""
OURS = ("nginx.service", "hello.service", "ordain-agent.service")
BASE = ("systemd-journald.service", "systemd-logind.service", "dbus.service", "dbus.socket", "getty.target")


@pytest.fixture
def machine(machines: Machines, suite: str) -> Machine:
    """Return a machine whose cron writes a file whenever it starts."""
    machine = machines(suite)
    machine.write("/etc/systemd/system/cron.service.d/mark.conf", MARK)
    return machine


def active(machine: Machine, *units: str) -> dict[str, str]:
    lines = machine.run("systemctl", "is-active", *units, check=False).stdout.split()
    return dict(zip(units, lines, strict=True))


def running(machine: Machine, *units: str) -> bool:
    return set(active(machine, *units).values()) == {"active"}


def started(machine: Machine) -> set[str]:
    text = machine.run("systemctl", "list-units", "--state=active", "--output=json", "--type=service,timer,socket,path")
    return {unit["unit"] for unit in json.loads(text.stdout)}


def unexpected(machine: Machine) -> set[str]:
    """Return the running units that belong neither to the base system nor to the documents."""
    own = (
        "ldconfig.",
        "systemd-",
        "ordain-",
        "user@",
        "user-runtime-dir@",
        "getty@",
        "console-getty",
        "serial-getty@",
        "dbus",
        "kmod-",
    )
    return {unit for unit in started(machine) if not unit.startswith(own)} - {"nginx.service", "hello.service"}


def state(machine: Machine) -> str:
    return str(answered_status(machine).get("state", ""))


def converged(machine: Machine) -> None:
    machine.until("the agent converged", lambda: state(machine) == "converged")


def test_an_exclusive_boot_starts_only_the_units_of_the_documents(machine: Machine) -> None:
    machine.write(DOCUMENT, EXCLUSIVE)
    machine.boot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    converged(machine)
    machine.run("rm", "-f", "/var/lib/cron-ran")

    # A package that is installed now brings a service and a timer that no document mentions.
    machine.write("/etc/systemd/system/new.service", "[Service]\nExecStart=/usr/bin/touch /var/lib/new-ran\n")
    machine.write("/etc/systemd/system/new.timer", "[Timer]\nOnActiveSec=1ms\n[Install]\nWantedBy=timers.target\n")
    machine.run("systemctl", "enable", "new.timer")
    machine.reboot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    converged(machine)

    assert machine.run("systemctl", "get-default").stdout.strip() == "ordain.target"
    names = ("ordain.target", "ordain-files-remote.service", "basic.target", "multi-user.target", "timers.target")
    assert active(machine, *names) == {
        "ordain.target": "active",
        "ordain-files-remote.service": "active",
        "basic.target": "active",
        "multi-user.target": "inactive",
        "timers.target": "inactive",
    }
    assert running(machine, *BASE, "systemd-user-sessions.service")
    assert not machine.path("/run/nologin").exists()
    assert unexpected(machine) == set()
    assert not machine.path("/var/lib/cron-ran").exists()
    assert not machine.path("/var/lib/new-ran").exists()
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
    assert "of the distribution kept out" in machine.run("ordainctl", "status").stdout
    doctor = machine.run("ordainctl", "doctor", check=False).stdout
    assert "cron.service" in doctor
    assert "ordain-files-remote.service" not in doctor, "Ordain keeps out no unit of its own"


@pytest.mark.slow
@pytest.mark.one_debian
def test_the_mode_is_switched_on_and_off_live(machine: Machine) -> None:
    """Units made by generators stop too: for a SysV script, for sshd (sshd-unix-local.socket, 256), or any other."""
    add_legacy_service(machine)
    machine.write("/etc/systemd/system-generators/makes", MAKES, mode=0o755)
    machine.write("/etc/systemd/system/manual.service", RUNS)
    for name, text in WAITING.items():
        machine.write(f"/usr/lib/systemd/system/{name}", text)
        if name.endswith(".socket"):
            wants = machine.path(f"/etc/systemd/system/sockets.target.wants/{name}")
            wants.parent.mkdir(exist_ok=True)
            wants.symlink_to(f"/usr/lib/systemd/system/{name}")
    machine.write(DOCUMENT, ADDITIVE)
    machine.boot()
    machine.until(
        "the units of the documents run", lambda: running(machine, *OURS, *DISTRIBUTIONS, "multi-user.target")
    )
    converged(machine)
    machine.run("systemctl", "start", "manual.service")
    everything = started(machine)

    machine.write(DOCUMENT, EXCLUSIVE.replace("hello:", "bad: {command: [/bin/false]}\n  hello:"))
    machine.until("it is rolled back", lambda: state(machine) == "rolled-back")
    assert everything - started(machine) - ENDED == set()
    assert machine.path("/var/lib/legacy-stop").exists(), "it was stopped in between"
    machine.run("rm", "/var/lib/legacy-stop")
    before = machine.show("nginx.service", "InvocationID"), machine.show("dbus.service", "InvocationID")
    assert "cron.service" in machine.run("ordainctl", "doctor", check=False).stdout

    machine.write(DOCUMENT, EXCLUSIVE)
    machine.until("cron is kept out", lambda: active(machine, "cron.service")["cron.service"] == "inactive")
    machine.until("the apply has ended", lambda: state(machine) in ("converged", "degraded"))
    assert unexpected(machine) == {"manual.service"}, "a unit that is not enabled was started by an administrator"
    assert running(machine, *OURS, *BASE)
    assert machine.path("/var/lib/legacy-stop").exists()

    machine.write(DOCUMENT, ADDITIVE)
    machine.until("cron is back", lambda: running(machine, *DISTRIBUTIONS))
    converged(machine)
    assert everything - started(machine) - ENDED == set()
    assert {"lazy.socket", "install.socket"} <= everything
    assert set(active(machine, "lazy.service", "install.service").values()) == {"inactive"}, "no client connected"
    assert (machine.show("nginx.service", "InvocationID"), machine.show("dbus.service", "InvocationID")) == before
    assert machine.run("systemctl", "get-default").stdout.strip() != "ordain.target"


@pytest.mark.one_debian
def test_a_unit_started_by_an_administrator_runs_until_the_next_boot(machine: Machine) -> None:
    """The scripts of a package do the same: they enable a unit and start it at once."""
    machine.write(DOCUMENT, EXCLUSIVE)
    machine.boot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    converged(machine)

    machine.write("/etc/systemd/system/late.service", f"{RUNS}[Install]\nWantedBy=multi-user.target\n")
    add_legacy_service(machine)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "--now", "late.service")
    machine.run("systemctl", "start", "legacy.service")
    machine.write(DOCUMENT, EXCLUSIVE.replace("infinity", "7200"))
    machine.until("the documents are new", lambda: "7200" in machine.show("hello.service", "ExecStart")["ExecStart"])
    machine.until("the apply has ended", lambda: state(machine) in ("converged", "degraded"))

    assert running(machine, "late.service", "legacy.service")
    doctor = machine.run("ordainctl", "doctor", check=False).stdout
    assert "late.service was started manually" in doctor
    assert "legacy.service was started manually" in doctor
    assert "late.service" in machine.run("ordainctl", "status", check=False).stdout
    machine.reboot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    converged(machine)
    assert set(active(machine, "late.service", "legacy.service").values()) == {"inactive"}


def test_isolate_starts_the_units_of_the_distribution_and_touches_none_of_the_documents(machine: Machine) -> None:
    machine.write(DOCUMENT, EXCLUSIVE)
    machine.boot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    converged(machine)
    machine.reboot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS))
    before = machine.show("hello.service", "InvocationID"), machine.show("ordain-agent.service", "InvocationID")

    machine.run("systemctl", "isolate", "multi-user.target")

    machine.until("the units of the distribution run", lambda: running(machine, "cron.service", "apt-daily.timer"))
    assert (
        machine.show("hello.service", "InvocationID"),
        machine.show("ordain-agent.service", "InvocationID"),
    ) == before
    assert running(machine, "nginx.service")


@pytest.mark.one_debian
def test_exclusive_mode_without_a_word_about_ssh_is_refused(machine: Machine) -> None:
    silent = EXCLUSIVE.replace("  ssh: {state: stopped}\n", "")
    machine.write(DOCUMENT, silent)
    machine.boot()
    machine.until("the units of the documents run", lambda: running(machine, *OURS, "cron.service"))

    plan = machine.run("ordainctl", "plan", check=False)
    assert "would not start ssh.service" in plan.stdout + plan.stderr
    machine.reboot()
    machine.until("the units of the distribution run", lambda: running(machine, "cron.service", "ssh.service"))


UNITS = {
    "sock.socket": "[Socket]\nListenStream=/run/sock.sock\nExecStartPre=/usr/bin/touch /var/lib/ran-%n\n",
    "sock.service": "",
    "tick.timer": "[Timer]\nOnActiveSec=1ms\nAccuracySec=1ms\n",
    "tick.service": "",
    "watch.path": "[Path]\nPathExists=/etc/hostname\n",
    "watch.service": "",
    "real.service": "",
    "inst@.service": "",
    "bus.service": "",
}
"""Units of the distribution; a service without a text writes a file when it runs."""
ENABLED = (
    ("sockets.target", "sock.socket", "sock.socket"),
    ("timers.target", "tick.timer", "tick.timer"),
    ("multi-user.target", "watch.path", "watch.path"),
    ("multi-user.target", "other.service", "real.service"),
    ("getty.target", "inst@one.service", "inst@.service"),
)
"""The target that wants each unit, the name in its .wants directory, and the unit file; other.service is an alias."""
ON_THE_BUS = "[D-BUS Service]\nName=org.example.Bus\nExec=/bin/false\nUser=root\nSystemdService=bus.service\n"


def enable(machine: Machine) -> None:
    """Install and enable `UNITS`, as packages do, and a script of SysV."""
    for name, text in UNITS.items():
        mark = text or "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /var/lib/ran-%n\n"
        machine.write(f"/usr/lib/systemd/system/{name}", mark)
    machine.path("/etc/systemd/system/other.service").symlink_to("/usr/lib/systemd/system/real.service")
    for target, name, file in ENABLED:
        link = machine.path(f"/etc/systemd/system/{target}.wants/{name}")
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(f"/usr/lib/systemd/system/{file}")
    machine.write("/usr/share/dbus-1/system-services/org.example.Bus.service", ON_THE_BUS)
    add_legacy_service(machine)


def marks(machine: Machine) -> set[str]:
    """Return the names of the files that show which units have run."""
    folder = machine.path("/var/lib")
    return {path.name for pattern in ("ran-*", "*-ran", "legacy-*") for path in folder.glob(pattern)}


@pytest.mark.one_debian
@pytest.mark.slow
@pytest.mark.parametrize("state", ["stopped", "masked"])
def test_a_stopped_or_masked_service_never_runs_at_boot(machine: Machine, state: str) -> None:
    """Not by a socket, a timer, a path, an alias, as an instance, from a SysV script, or by a request on the bus."""
    enable(machine)
    machine.boot()
    everything = {f"ran-{name}.service" for name in ("tick", "watch", "other", "inst@one")}
    everything |= {"ran-sock.socket", "cron-ran", "legacy-start"}
    machine.until("they run without a document", lambda: everything <= marks(machine))
    machine.poweroff()
    for mark in marks(machine):
        machine.path(f"/var/lib/{mark}").unlink()

    units = ("cron", "sock", "tick", "watch", "real", "inst@one", "legacy")
    entries = "".join(f"  {name.replace('@', '-')}: {{unit: {name}.service, state: {state}}}\n" for name in units)
    held = f"ordain: v1\nkind: Layer\nname: machine\nservices:\n{entries}  bus: {{unit: bus.service, state: masked}}\n"
    machine.write(DOCUMENT, held)

    for _ in range(2):  # twice: the first boot finds no generation
        machine.boot()
        machine.until(
            "the units of the distribution run", lambda: running(machine, "multi-user.target", "ordain-agent.service")
        )
        converged(machine)
        down = ("cron.service", "sock.socket", "tick.timer", "watch.path", "legacy.service")
        assert set(active(machine, *down).values()) == {"inactive"}
        assert machine.run("busctl", "call", "org.example.Bus", "/", "org.example", "Ask", check=False).returncode != 0
        assert marks(machine) == set()
        machine.poweroff()

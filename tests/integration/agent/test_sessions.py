"""An apply from an ssh session, from a terminal, and by a user whom polkit allows: the caller's session is kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

SSH = "ssh -i /root/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@127.0.0.1"
RULE = """polkit.addRule(function (action, subject) {
    if (subject.user == "anna" && action.id.indexOf("org.ordain.Agent1.") == 0)
        return polkit.Result.YES;
});
"""


def document(path: str, machine: Machine, **services: Mapping[str, Any]) -> None:
    machine.write(path, json.dumps({"ordain": "v1", "kind": "Layer", "name": "base", "services": services}))


def sleeps(word: str) -> dict[str, Any]:
    return {"command": ["/usr/bin/sleep", "infinity"], "environment": {"WORD": word}}


def show(machine: Machine, unit: str, key: str) -> str:
    return machine.show(unit, key)[key]


@pytest.fixture
def booted(machine: Machine) -> Machine:
    document("/etc/ordain/documents/base.yaml", machine, web=sleeps("1"))
    machine.boot()
    machine.run("ordainctl", "apply")
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /root/key && mkdir -pm 700 /root/.ssh")
    machine.run("sh", "-c", "cat /root/key.pub >/root/.ssh/authorized_keys")
    machine.until("sshd accepts a login", lambda: machine.run(*shlex.split(SSH), "true", check=False).returncode == 0)
    return machine


@contextmanager
def session(machine: Machine, command: str) -> Iterator[None]:
    """Log in over ssh and run ``command``; the session ends with the unit of the client."""
    machine.run(
        "systemd-run",
        "--unit=client",
        "--property=KillMode=mixed",
        *shlex.split(SSH),
        "-tt",
        command.replace("$", "$$"),
    )
    try:
        yield
    finally:
        machine.run("systemctl", "stop", "client.service", check=False)


def test_an_apply_from_an_ssh_session_does_not_end_it(booted: Machine) -> None:
    units = ("ssh.service", "systemd-logind.service", "dbus.service")
    changed = {"environment": {"WORD": "2"}}
    before = {unit: show(booted, unit, "InvocationID") for unit in units}
    document("/srv/next.yaml", booted, web=sleeps("2"), ssh=changed, logind=changed, dbus=changed)
    ask = "echo $$ >/run/shell; ordainctl apply --once /srv/next.yaml >/run/output 2>&1; echo $? >/run/done; sleep 999"

    with session(booted, ask):
        done = booted.path("/run/done")
        booted.until("it is done", lambda: done.exists() and done.read_text(), timeout=60)
        output = booted.read("/run/output")

        assert done.read_text() == "0\n", output
        assert "WORD=2" in show(booted, "web.service", "Environment")
        assert {unit: show(booted, unit, "InvocationID") for unit in units} == before
        assert "after the session" in output
        shell = booted.read("/run/shell").strip()
        assert booted.run("kill", "-0", shell, check=False).returncode == 0
        assert "session-" in booted.read(f"/proc/{shell}/cgroup")

        # As long as the session lasts, an apply by another caller does not restart it either.
        booted.run("ordainctl", "apply", "--once", "/srv/next.yaml")
        assert show(booted, "ssh.service", "InvocationID") == before["ssh.service"]

    booted.until("the session is over", lambda: booted.run("kill", "-0", shell, check=False).returncode != 0)
    booted.run("ordainctl", "apply", "--once", "/srv/next.yaml")
    assert show(booted, "ssh.service", "InvocationID") != before["ssh.service"]
    assert "WORD=2" in show(booted, "ssh.service", "Environment")
    assert booted.run(*shlex.split(SSH), "true").returncode == 0


def test_an_apply_on_a_terminal_does_not_restart_its_getty(booted: Machine) -> None:
    """script(1) opens a login on its own terminal, as getty does, from a unit with the name of a getty."""
    getty = {"unit": "getty-like.service", "environment": {"WORD": "2"}}
    ask = "ordainctl apply --once /srv/next.yaml >/run/output 2>&1; echo $? >/run/done; sleep 999"
    booted.write(
        "/etc/systemd/system/getty-like.service",
        f"[Service]\nExecStart=/usr/bin/script --quiet --command {shlex.quote(ask)} /dev/null\nStandardInput=null\n",
    )
    document("/srv/next.yaml", booted, web=sleeps("2"), terminal=getty)
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "start", "getty-like.service")
    before = show(booted, "getty-like.service", "InvocationID")

    done = booted.path("/run/done")
    booted.until("it is done", lambda: done.exists() and done.read_text(), timeout=60)

    assert done.read_text() == "0\n", booted.read("/run/output")
    assert "WORD=2" in show(booted, "web.service", "Environment")
    assert show(booted, "getty-like.service", "InvocationID") == before
    assert "after the session" in booted.read("/run/output")


def test_polkit_allows_only_the_operator(booted: Machine) -> None:
    for user in ("anna", "bert"):
        booted.run("useradd", "--create-home", user)
    booted.write("/etc/polkit-1/rules.d/10-operator.rules", RULE)
    document("/srv/next.yaml", booted, web=sleeps("2"))

    def as_user(user: str, *words: str) -> Any:
        return booted.run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *words, check=False)

    denied = as_user("bert", "ordainctl", "apply", "--once", "/srv/next.yaml")
    assert denied.returncode == 1
    assert "polkit does not allow org.ordain.Agent1.apply" in denied.stderr
    assert "WORD=1" in show(booted, "web.service", "Environment")
    assert as_user("bert", "ordainctl", "status").returncode == 0

    allowed = as_user("anna", "ordainctl", "apply", "--once", "/srv/next.yaml")
    assert allowed.returncode == 0, allowed.stderr
    assert "WORD=2" in show(booted, "web.service", "Environment")
    assert as_user("anna", "ordainctl", "hold", "web").returncode == 0
    assert "polkit" in as_user("bert", "ordainctl", "unhold", "web").stderr

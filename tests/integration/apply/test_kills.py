"""An apply or a rollback that is killed at any step of its journal ends like one that is not killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ordain.generator.cache import unpack
from rig import kill_points
from rig.machine import Machine, Machines
from rig.machine_agent import answered_status

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/base.yaml"
AGENT = "ordain-agent.service"
JOURNAL = "/run/ordain/journal"
OURS = ("web", "other", "gone", "new", "front", "reads", "once", "again", "job", "down")
SERVE = """#!/usr/bin/python3
import socket
listening = socket.socket(fileno=3)
while True:
    listening.accept()[0].close()
"""
Sections = Mapping[str, Any]


def service(name: str, word: str, **keys: Any) -> dict[str, Any]:
    """Return a service that counts its starts."""
    counts = ["/bin/sh", "-c", f"echo >>/srv/starts/{name}"]
    return {"command": ["/usr/bin/sleep", "infinity"], "before-start": counts, "environment": {"WORD": word}, **keys}


def oneshot(name: str, word: str) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", f"echo {word} >>/srv/starts/{name}"], "type": "oneshot"}


def front(port: int) -> dict[str, Any]:
    return service("front", "1", command=["/usr/bin/serve"], listen={"stream": f"127.0.0.1:{port}"})


def reads(text: str) -> dict[str, Any]:
    reload = ["/bin/sh", "-c", "cat /etc/reads.conf >>/srv/starts/reloads"]
    return service("reads", "1", reload=reload, files={"/etc/reads.conf": {"content": f"{text}\n"}})


OLD: Sections = {
    "web": service("web", "1"),
    "other": service("other", "1"),
    "gone": service("gone", "1"),
    "down": service("down", "1"),
    "front": front(8001),
    "reads": reads("one"),
    "once": oneshot("once", "1"),
    "again": oneshot("again", "1"),
}
NEW: Sections = {
    "web": service("web", "2"),
    "other": service("other", "1"),
    "new": service("new", "1", after=["web"]),
    "down": service("down", "1", state="stopped"),
    "front": front(8002),
    "reads": reads("two"),
    "once": oneshot("once", "1"),
    "again": oneshot("again", "2"),
}
BAD: Sections = {**NEW, "web": service("web", "2", health={"command": ["/bin/false"], "within": "0.5s"})}


class Subject:
    """A machine that is brought from `OLD` to other documents again and again."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.written = 0

    def boot(self) -> None:
        self.machine.write("/usr/bin/serve", SERVE, mode=0o755)
        self.machine.write(f"/etc/systemd/system/{AGENT}.d/soon.conf", "[Service]\nRestartSec=50ms\n")
        self.machine.write("/srv/starts/none", "")
        kill_points.listen(self.machine)
        self.write(OLD)
        self.machine.boot()
        self.settle()

    def write(self, services: Sections) -> None:
        """Have the agent follow ``services``."""
        self.written += 1
        text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "base", "services": services})
        self.machine.write(DOCUMENT, f"# {self.written}\n{text}")

    def status(self) -> dict[str, Any]:
        return answered_status(self.machine)

    def settle(
        self, wanted: tuple[str, ...] = ("converged", "rolled-back", "degraded"), *, but: str = ""
    ) -> dict[str, Any]:
        """Wait until the agent has read another revision than ``but``, and is in a state of ``wanted``.

        Return its status. The journal of the apply is looked at first, since that costs nothing.
        """

        def settled() -> dict[str, Any]:
            status = {} if self.machine.path(JOURNAL).exists() else self.status()
            settled = status and status["state"] in wanted and status["source"]["revision"] not in ("", but)
            return status if settled and not self.machine.path(JOURNAL).exists() else {}

        return self.machine.until("the agent has settled", settled, timeout=60)

    def reset(self) -> str:
        """Return to `OLD` as after a boot, and return its revision."""
        kill_points.disarm(self.machine)
        before = self.status()["source"]["revision"]
        self.write(OLD)
        revision = self.settle(("converged",), but=before)["source"]["revision"]
        self.machine.run("systemctl", "start", "front.service", "other.service")
        self.machine.run("sh", "-c", "rm -f /srv/starts/*")
        return str(revision)

    def end(self) -> dict[str, Any]:
        """Return everything that must be the same after a kill.

        The reloads are left out: a killed apply cannot know whether a reload was done, and does it again.
        """
        units = [f"{name}.{kind}" for name in OURS for kind in ("service", "socket")]
        shown = "Id,LoadState,ActiveState,Environment,Listen"
        text = self.machine.run("systemctl", "show", f"--property={shown}", "--", *units).stdout
        states = dict(zip(units, text.strip().split("\n\n"), strict=True))
        starts = self.machine.run("sh", "-c", "cd /srv/starts && rm -f reloads && grep -c '' * /dev/null").stdout
        status = self.status()
        decided = self.machine.path("/var/lib/ordain/decided.json")
        return {
            **states,
            "starts": starts.split(),
            "proven": unpack(self.machine.path("/etc/ordain/boot/current").read_bytes()).hash,
            "placed": unpack(self.machine.path("/run/ordain/boot/current").read_bytes()).hash,
            "state": status["state"],
            "hash": status["hash"],
            "codes": sorted(condition["code"] for condition in status["conditions"]),
            "reasons": sorted((unit["unit"], unit["ok"], unit["why"]) for unit in status["units"]),
            "bad": json.loads(decided.read_text())["rejected"] is not None if decided.exists() else False,
            "reads.conf": self.machine.read("/etc/reads.conf"),
            "left": sorted(path.name for path in self.machine.path("/run/ordain").glob("trial*")),
        }


@pytest.fixture
def subject(machines: Machines, suite: str) -> Subject:
    subject = Subject(machines(suite))
    subject.boot()
    return subject


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(2))  # every second step each, so that the cases can run at the same time
@pytest.mark.parametrize(("suite", "new"), [("bookworm", NEW), ("trixie", BAD)], ids=["apply", "rollback"])
def test_an_apply_killed_at_any_step_ends_as_if_it_was_not_killed(subject: Subject, new: Sections, turn: int) -> None:
    machine = subject.machine

    def tried(number: int) -> tuple[dict[str, Any], list[str]]:
        before = subject.reset()
        other = machine.show("other.service", "InvocationID", "MainPID")
        kill_points.arm(machine, number, JOURNAL)
        subject.write(new)
        subject.settle(but=before)
        result = subject.end(), kill_points.steps(machine)
        assert kill_points.disarm(machine) == (number == 0)
        assert machine.show("other.service", "InvocationID", "MainPID") == other
        plan = json.loads(machine.run("ordainctl", "plan", "--json", check=False).stdout)
        assert new is BAD or not any(plan[key] for key in ("stops", "jobs", "files", "reload"))
        return result

    unharmed, steps = tried(0)
    assert len(steps) >= (9 if new is NEW else 17), steps
    for number, step in [*enumerate(steps, 1)][turn::2]:
        harmed, until = tried(number)
        assert until == steps[:number]
        assert harmed == unharmed, f"killed at {step} ({number} of {len(steps)})"

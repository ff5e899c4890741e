"""Random histories of a machine: seed → steps; each step is plain data, which can be printed, left out and replayed.

A step contains the documents as a whole, so that a sequence from which steps were removed is a sequence as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Sections = dict[str, dict[str, Any]]

NAMES = tuple(f"s{i}" for i in range(6))
MOUNTS = ("/srv/m0", "/srv/m1")
PHASES = ("stop", "place", "act", "prove", "back")
SERVE = """#!/usr/bin/python3
import socket
listening = socket.socket(fileno=3)
while True:
    listening.accept()[0].close()
"""
FAILS = "/usr/bin/false"
ENDS = ("confirmed", "expired", "killed", "cut")
SLOW = 'trap "sleep 0.5; exit 0" TERM; while :; do sleep 0.1; done'
KINDS = "plain limits slow oneshot socket timer many fails healthy sick reads".split()
COMMANDS = (
    "systemctl stop {unit}",
    "systemctl start {unit}",
    "systemctl restart {unit}",
    "systemctl mask --now {unit}",
    "systemctl unmask {unit}",
    "mkdir -p /etc/systemd/system/{unit}.d; printf '[Unit]\\nDescription=Edited\\n'"
    " >/etc/systemd/system/{unit}.d/90-edited.conf; systemctl daemon-reload",
    "rm -rf /etc/systemd/system/{unit}.d; systemctl daemon-reload",
    "systemctl daemon-reload",
    "systemctl kill --signal=KILL {unit}",
    "systemctl kill --signal=KILL {unit}",
    "systemctl reload-or-restart {unit}",
    "systemctl set-property --runtime {unit} TasksMax=77",
    "systemctl stop {unit}; systemctl reset-failed",
    "ordainctl hold {unit}",
    "ordainctl hold {unit}",
    "ordainctl unhold {unit}",
    "systemctl restart ordain-agent.service",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event: ``documents`` are written, the machine is rebooted or cut off (``power``), or ``shell`` is run.

    ``kill`` is the moment to kill the agent during this: at a phase of its journal, "after" so many ``ms``, or at
    "step" ``ms`` of its effects on files (`rig.kill_points`); for "power", the power is cut instead. With ``confirm``,
    one of `ENDS`, the documents are applied as a trial that ends so. With ``back``, they are rolled back with
    `ordainctl rollback`, and then followed again.
    """

    shell: str = ""
    power: str = ""
    documents: Sections | None = None
    kill: str = ""
    ms: int = 0
    confirm: str = ""
    back: bool = False


@dataclass(slots=True)
class _Entry:
    body: dict[str, Any]
    after: dict[str, str] = field(default_factory=dict)
    """Other services, and the key that names each; services that do not exist are left out."""


def steps(seed: int) -> Iterator[Step]:
    """Yield steps without end, the same ones for the same seed."""
    rng = random.Random(seed)
    services: dict[str, _Entry] = {}
    mounts: dict[str, dict[str, Any]] = {}
    while True:
        what = rng.random()
        if services and what < 0.35:
            yield Step(shell=rng.choice(COMMANDS).format(unit=_a_unit(rng, services)))
        elif services and what < 0.40:
            yield Step(power=rng.choice(("reboot", "cut")))
        else:
            for name in [name for name, entry in services.items() if _fails(entry.body)]:
                del services[name]  # or all that follows would be rolled back
            for _ in range(rng.choice((1, 1, 2, 3))):
                _change(rng, services, mounts)
            yield _documents(rng, _sections(services, mounts))


def _documents(rng: random.Random, sections: Sections) -> Step:
    """Return a step that applies documents in one of the ways."""
    what = rng.random()
    if what < 0.15:
        end = rng.choice((*ENDS, "confirmed"))
        kill = "step" if end == "confirmed" and rng.random() < 0.6 else ""
        return Step(documents=sections, confirm=end, kill=kill, ms=rng.randrange(1, 90) if kill else 0)
    kill = rng.choice(("after", "power", "step", "step", *PHASES)) if rng.random() < 0.5 else ""
    ms = 0 if not kill else rng.randrange(1, 60) if kill == "step" else rng.randrange(1500)
    return Step(documents=sections, kill=kill, ms=ms, back=what < 0.3)


def _fails(body: Mapping[str, Any]) -> bool:
    return FAILS in (body["command"][0], *body.get("health", {}).get("command", ()))


def starting_units(name: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the units that run when a service of the documents does."""
    if "listen" in body:
        return (f"{name}.socket",)
    if "schedule" in body:
        return (f"{name}.timer",)
    if "instances" in body:
        return tuple(f"{name}@{instance}.service" for instance in body["instances"])
    return (f"{name}.service",)


def _change(rng: random.Random, services: dict[str, _Entry], mounts: dict[str, dict[str, Any]]) -> None:
    if rng.random() < 0.1:
        path = rng.choice(MOUNTS)
        if mounts.pop(path, None) is None:
            mounts[path] = {"what": "tmpfs", "type": "tmpfs", "options": {"size": f"{rng.choice((1, 2))}M"}}
        return
    name = rng.choice(NAMES)
    if name in services and rng.random() < 0.25:
        del services[name]
        return
    services[name] = _entry(rng, name)


def _entry(rng: random.Random, name: str) -> _Entry:
    word = str(rng.randrange(3))
    sleep = ["/usr/bin/sleep", "infinity"]
    body: dict[str, Any]
    match rng.choice(("plain", "plain", *KINDS)):
        case "plain":
            body = {"command": sleep, "environment": {"WORD": word}}
        case "limits":
            body = {"command": sleep, "limits": {"tasks": 10 + int(word)}, "description": f"Number {rng.randrange(2)}"}
        case "slow":
            body = {"command": ["/bin/sh", "-c", SLOW], "environment": {"WORD": word}}
        case "oneshot":
            body = {"command": ["/usr/bin/true", word], "type": "oneshot", "remain": rng.random() < 0.5}
        case "socket":
            port = 8000 + 10 * NAMES.index(name) + int(word)
            body = {"command": ["/usr/bin/serve"], "listen": {"stream": f"127.0.0.1:{port}"}}
        case "timer":
            body = {"command": ["/usr/bin/true"], "type": "oneshot", "schedule": {"after-boot": f"{word}7h"}}
        case "healthy":
            seen = {"command": ["/usr/bin/true"], "within": "2s", "settle": "100ms"}
            body = {"command": sleep, "environment": {"WORD": word}, "health": seen}
        case "sick":
            body = {"command": sleep, "health": {"command": [FAILS], "within": "300ms"}}
        case "reads":
            path = f"/etc/{name}.conf"
            body = {"command": sleep, "reload": ["/usr/bin/grep", "-q", ".", path]}
            body |= {"files": {path: {"content": f"{word}\n"}}, "check": ["/usr/bin/grep", "-q", "[012]", path]}
            if rng.random() < 0.5:
                body |= {"uses": {path: rng.choice(("restart", "reload", "none"))}}
        case "many":
            body = {"command": sleep, "instances": {"1": {}, "2": {"environment": {"WORD": word}}}}
        case _:
            body = {"command": [FAILS, word]}
    if rng.random() < 0.15:
        body["state"] = rng.choice(("stopped", "masked", "running"))
    if rng.random() < 0.1:
        body["drift"] = "enforce"
    if rng.random() < 0.1:
        body["on-change"] = rng.choice(("none", "restart", "reboot"))
    earlier = NAMES[: NAMES.index(name)]
    after = {}
    if earlier and rng.random() < 0.3:
        after[rng.choice(earlier)] = rng.choice(("after", "wants", "requires", "part-of"))
    return _Entry(body, after)


def _sections(services: Mapping[str, _Entry], mounts: Mapping[str, dict[str, Any]]) -> Sections:
    plain = {name for name, entry in services.items() if entry.body.get("state", "running") == "running"}
    plain = {name for name in plain if "instances" not in services[name].body}
    found: dict[str, Any] = {}
    for name, entry in sorted(services.items()):
        needs = {key: [other] for other, key in entry.after.items() if other in plain}
        found[name] = {**entry.body, **needs}
    return {"services": found, "mounts": {path: dict(body) for path, body in sorted(mounts.items())}}


def _a_unit(rng: random.Random, services: Mapping[str, _Entry]) -> str:
    name = rng.choice(sorted(services))
    return rng.choice((*starting_units(name, services[name].body), f"{name}.service"))

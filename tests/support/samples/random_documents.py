"""Random documents over the whole language, for tests that hold all reports about a machine against each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Random = random.Random
WORDS = ("one", "two", "three")
NAMES = ("a", "b", "c")


def service(draw: Random) -> dict[str, Any]:
    """Return a service of our own; now and then one that fails, or that this machine cannot have."""
    entry: dict[str, Any] = {"command": draw.choice(("sleep 1000000", "sleep 1000001", "sleep 1000002"))}
    if draw.random() < 0.06:
        entry["command"] = draw.choice(("false", "/usr/bin/missing", "true"))
    options: dict[str, tuple[Any, ...]] = {
        "drift": ("report", "enforce"),
        "on-remove": ("stop", "keep"),
        "on-change": ("restart", "reload", "none"),
        "environment": ({"A": "1"}, {"A": "2", "B": "x"}),
        "state": ("running", "stopped", "masked"),
        "limits": ({"memory": "64M"}, {"memory": "96M", "tasks": 20}),
        "dynamic-user": (True, False),
        "restart": ("on-failure", "no"),
        "nice": (1, 5),
        "after": ("network", ["ssh"]),
        "description": WORDS,
        "uses": (["/etc/ordain-test/"], ["/etc/ordain-test/one"]),
    }
    for key, values in options.items():
        if draw.random() < 0.15:
            entry[key] = draw.choice(values)
    kind = draw.random()
    if kind < 0.1:
        entry |= {"type": "oneshot", "command": "true", "remain": True}
    elif kind < 0.2:
        entry |= {"type": "oneshot", "command": "true", "schedule": {"calendar": draw.choice(("daily", "hourly"))}}
        entry.pop("restart", None)
    elif kind < 0.25:
        entry["health"] = {"command": "true", "within": "2s"}
    return entry


def files(draw: Random) -> dict[str, Any]:
    entry = {"content": f"{draw.choice(WORDS)}\n", "mode": draw.choice(("0644", "0600"))}
    if draw.random() < 0.3:
        entry["drift"] = "report"
    if draw.random() < 0.3:
        entry["on-remove"] = draw.choice(("keep", "restore"))
    return {f"/etc/ordain-test/{name}": dict(entry) for name in WORDS if draw.random() < 0.6}


SECTIONS: Mapping[str, Callable[[Random], Any]] = {
    "services": lambda draw: {name: service(draw) for name in NAMES if draw.random() < 0.7},
    "files": files,
    "sysctl": lambda draw: {"net.ipv4.ip_forward": draw.choice(("0", "1"))} if draw.random() < 0.7 else {},
    "users": lambda draw: {f"user-{draw.choice(NAMES)}": draw.choice(({}, {"system": True}))},
    "groups": lambda draw: {f"group-{draw.choice(NAMES)}": {}},
    "host": lambda draw: draw.choice(
        ({}, {"hostname": draw.choice(WORDS)}, {"timezone": draw.choice(("UTC", "Asia/Tokyo"))})
    ),
    "mounts": lambda draw: draw.choice(
        ({}, {"/srv/t": {"what": "tmpfs", "type": "tmpfs", "options": [draw.choice(("size=1M", "size=2M"))]}})
    ),
    "values": lambda draw: {"a": draw.choice(WORDS)},
    "units": lambda draw: draw.choice(
        ({}, {"raw.service": {"Service": {"ExecStart": "sleep 1000000"}, "Install": {"WantedBy": "multi-user.target"}}})
    ),
}
"""By section, a function that draws its content."""


def edited(document: Mapping[str, Any], draw: Random) -> dict[str, Any]:
    """Return ``document`` after an edit of one section, or of one key of one service."""
    services = dict(document.get("services", {}))
    if services and draw.random() < 0.4:
        name = draw.choice(sorted(services))
        drawn = service(draw)
        key = draw.choice(sorted(drawn))
        changed = {**services[name], key: drawn[key]}
        if "oneshot" in (drawn.get("type"), changed.get("type")):
            changed = drawn  # a oneshot with a command that never ends would be started for ever
        if draw.random() < 0.3:
            changed.pop(draw.choice(sorted(changed)))
            changed.setdefault("command", "sleep 1000000")
        return {**document, "services": {**services, name: changed}}
    section = draw.choice(sorted(SECTIONS))
    changed_document = {**document, section: SECTIONS[section](draw)}
    if draw.random() < 0.1 and section != "services":
        changed_document.pop(section)
    return changed_document

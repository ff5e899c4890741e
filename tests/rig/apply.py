"""Documents applied by the agent of a machine, by hand: the source is not followed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rig.machine import Machine

BUS = ("org.ordain.Agent1", "/org/ordain/Agent1", "org.ordain.Agent1")
Sections = Mapping[str, Any]
"""The sections of a layer, as data."""


def pause(machine: Machine) -> None:
    """Have the agent follow its source no more, once it has settled."""
    machine.until("the agent answers", lambda: machine.run("busctl", "status", BUS[0], check=False).returncode == 0)
    machine.run("busctl", "call", *BUS, "Pause")


def apply(machine: Machine, sections: Sections, *, timeout: float = 60) -> dict[str, Any]:
    """Apply one layer of ``sections``; the outcome as JSON data (`ordain.agent.model.Outcome`)."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "row", **sections})
    call = ("busctl", f"--timeout={timeout}", "--json=short", "call", *BUS, "Apply", "a(ss)a{sv}")
    answer = machine.run(*call, "1", "/row.yaml", text, "1", "once", "b", "true", timeout=timeout + 5)
    found: dict[str, Any] = json.loads(json.loads(answer.stdout)["data"][0])
    return found

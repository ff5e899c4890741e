"""The agent of a machine: its status, documents for it, and applies over D-Bus while it does not follow its source."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from rig.machine import Machine, MachineError

DOCUMENTS = "/etc/ordain/documents"
BUS = ("org.ordain.Agent1", "/org/ordain/Agent1", "org.ordain.Agent1")
PLACES_OF_DOCUMENTS = ("/etc/ordain", "/var/lib/ordain", "/run/ordain", "/run/systemd", "/etc/app", "/etc/secret.conf")
"""The directories and files that hold contents of documents."""
Sections = Mapping[str, Any]
"""The sections of a Layer, as data."""


def layer(**services: str) -> str:
    """Return a Layer with these services; each value is the entry as a YAML flow map."""
    lines = "".join(f"  {name}: {body}\n" for name, body in services.items())
    return f"ordain: v1\nkind: Layer\nname: base\nservices:\n{lines or '  {}'}"


def sleep_service(word: str = "1") -> str:
    return f"{{command: [/usr/bin/sleep, infinity], environment: {{WORD: '{word}'}}}}"


def service_with_secret(secret: str) -> str:
    """Return a service that keeps the sealed secret, as it was given to it, where `wait_secret` reads it."""
    copy = "cp $CREDENTIALS_DIRECTORY/key /run/web/got && exec sleep infinity"
    return f"{{command: [sh, -c, '{copy}'], directories: {{runtime: web}}, credentials: {{key: {{secret: {secret}}}}}}}"


def wait_secret(machine: Machine, wanted: str) -> None:
    """Wait until web was started with the secret ``wanted``."""
    path = machine.path("/run/web/got")
    machine.until("web has its secret", lambda: path.exists() and path.read_text() == wanted, timeout=60)
    wait_active(machine, "web.service")


def write_layer(machine: Machine, **services: str) -> None:
    machine.write(f"{DOCUMENTS}/base.yaml", layer(**services))


def active_state(machine: Machine, unit: str) -> str:
    return machine.show(unit, "ActiveState")["ActiveState"]


def invocations(machine: Machine, *units: str) -> dict[str, str]:
    """Return the invocation id of each unit, which changes when the unit is started again."""
    return {unit: machine.show(unit, "InvocationID")["InvocationID"] for unit in units}


def environment(machine: Machine, unit: str = "web.service") -> str:
    return machine.show(unit, "Environment")["Environment"]


def _is_active(machine: Machine, unit: str) -> bool:
    return active_state(machine, unit) == "active"


def wait_active(machine: Machine, *units: str) -> None:
    for unit in units:
        machine.until(f"{unit} is active", functools.partial(_is_active, machine, unit))


def agent_status(machine: Machine) -> dict[str, Any]:
    """Return the status that the agent reports."""
    answer = machine.run("busctl", "--json=short", "call", *BUS, "Status")
    status: dict[str, Any] = json.loads(json.loads(answer.stdout)["data"][0])
    return status


def answered_status(machine: Machine) -> dict[str, Any]:
    """Return the status that the agent reports, or an empty mapping if no agent answers."""
    answer = machine.run("busctl", "--json=short", "call", *BUS, "Status", check=False)
    status: dict[str, Any] = json.loads(json.loads(answer.stdout)["data"][0]) if answer.returncode == 0 else {}
    return status


def reported_unit(machine: Machine, unit: str) -> Mapping[str, Any]:
    return next(row for row in agent_status(machine)["units"] if row["unit"] == unit)


def wait_agent_state(machine: Machine, wanted: str, *, timeout: float = 60) -> None:
    """Wait for a state of the agent; an error says in which state it is, and why."""
    try:
        machine.until(f"the agent is {wanted}", lambda: agent_status(machine)["state"] == wanted, timeout=timeout)
    except MachineError as error:
        status = agent_status(machine)
        why = [(condition["code"], condition["what"]) for condition in status["conditions"]]
        raise MachineError(f"{error}; it is {status['state']}: {why} {status['source']}") from None


def readable_by_nobody(machine: Machine, text: str) -> list[str]:
    """Return the paths of files with ``text`` that every user can read, in `PLACES_OF_DOCUMENTS`."""
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    return machine.run(*nobody, "grep", "-rlsaF", text, *PLACES_OF_DOCUMENTS, check=False).stdout.split()


def pause(machine: Machine) -> None:
    """Stop the agent from following its source, once it answers."""
    machine.until("the agent answers", lambda: machine.run("busctl", "status", BUS[0], check=False).returncode == 0)
    machine.run("busctl", "call", *BUS, "Pause")


def apply(machine: Machine, sections: Sections, *, timeout: float = 60) -> dict[str, Any]:
    """Apply one layer of ``sections``; return the outcome as JSON data (`ordain.agent.model.Outcome`)."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "row", **sections})
    call = ("busctl", f"--timeout={timeout}", "--json=short", "call", *BUS, "Apply", "a(ss)a{sv}")
    answer = machine.run(*call, "1", "/row.yaml", text, "1", "once", "b", "true", timeout=timeout + 5)
    outcome: dict[str, Any] = json.loads(json.loads(answer.stdout)["data"][0])
    return outcome

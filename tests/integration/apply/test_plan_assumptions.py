"""The behaviour of PID 1 that the planner relies on, on booted machines."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from rig.machine import Machine
from rig.machine_agent import apply, pause

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/base.yaml"
SLEEP = "command: [/usr/bin/sleep, infinity]"
SERVE = (
    "import socket,time\ns=socket.socket(fileno=3)\nwhile True:\n    c,_=s.accept(); c.sendall(b'hello'); c.close()\n"
)


def document(machine: Machine, *services: str) -> None:
    lines = "".join(f"  {service}\n" for service in services)
    machine.write(DOCUMENT, f"ordain: v1\nkind: Layer\nname: base\nservices:\n{lines}")


def show(machine: Machine, unit: str, name: str) -> str:
    return machine.show(unit, name)[name]


def wait(machine: Machine, unit: str, name: str, value: str) -> None:
    machine.until(f"{name} of {unit} is {value}", lambda: show(machine, unit, name) == value)


def answers(machine: Machine, port: int) -> bool:
    code = f"import socket;assert socket.create_connection(('127.0.0.1',{port}),2).recv(9)==b'hello'"
    return machine.run("python3", "-c", code, check=False).returncode == 0


def test_a_limit_takes_effect_with_the_reload_and_the_process_stays(machine: Machine) -> None:
    document(machine, f"web: {{{SLEEP}, limits: {{tasks: 30}}}}")
    machine.boot()
    wait(machine, "web.service", "ActiveState", "active")
    invocation = show(machine, "web.service", "InvocationID")

    document(machine, f"web: {{{SLEEP}, limits: {{tasks: 40}}}}")

    wait(machine, "web.service", "TasksMax", "40")
    assert show(machine, "web.service", "InvocationID") == invocation


@pytest.mark.one_debian
def test_an_apply_reloads_the_manager_once_and_an_empty_plan_never(machine: Machine) -> None:
    def reloads() -> int:
        machine.run("journalctl", "--sync")
        return machine.journal("_PID=1").count("]: Reloading.")  # "Reloading finished" is another line

    def services(word: str, *names: str) -> dict[str, object]:
        return {name: {"command": "/bin/sleep 1d", "environment": {"WORD": word}} for name in names}

    machine.boot()
    pause(machine)
    apply(machine, {"services": services("1", "a", "b", "c")})
    before = reloads()

    plan = apply(machine, {"services": services("2", "b", "c", "d")})["plan"]
    assert len([*plan["stops"], *plan["jobs"]]) == 4
    assert not apply(machine, {"services": services("2", "b", "c", "d")})["plan"]["jobs"]

    assert reloads() - before == 1


def test_units_that_restart_together_stop_and_start_in_order(machine: Machine) -> None:
    """PID 1 must know all jobs before it runs the first; else the first would finish before the next is queued."""
    names = [f"s{number}" for number in range(6)]

    def chain(word: str) -> dict[str, object]:
        service = {"command": "/usr/bin/sleep infinity", "environment": {"WORD": word}}
        return {"services": {name: {**service, "after": [*names[: names.index(name)][-1:]]} for name in names}}

    def usec(name: str, event: str) -> int:
        return int(show(machine, f"{name}.service", f"{event}TimestampMonotonic"))

    machine.boot()
    pause(machine)
    apply(machine, chain("1"))

    apply(machine, chain("2"))

    for first, second in pairwise(names):
        assert usec(second, "InactiveEnter") <= usec(first, "ActiveExit"), f"{second} is stopped before {first} stops"
        assert usec(first, "ActiveEnter") <= usec(second, "InactiveExit"), f"{first} is started before {second} starts"


def test_the_plan_names_what_pid_1_stops_and_starts_by_itself(machine: Machine) -> None:
    units = {
        "old": "PropagatesStopTo=log.service",
        "log": "",
        "bound": "BindsTo=old.service",
        "extra": "Wants=deep.service",
        "deep": "",
    }
    for name, line in units.items():
        text = f"[Unit]\n{line}\n[Service]\nExecStart=/usr/bin/sleep infinity\n"
        machine.write(f"/etc/systemd/system/{name}.service", text)
    pair = f"aa: {{{SLEEP}, environment: {{A: '%s'}}, systemd: {{Unit: {{PropagatesStopTo: bb.service}}}}}}"
    other = f"bb: {{{SLEEP}}}"
    document(machine, pair % 1, other)
    machine.boot()
    machine.run("systemctl", "start", "old", "log", "bound")
    wait(machine, "bb.service", "ActiveState", "active")
    pause(machine)
    before = {name: show(machine, f"{name}.service", "ActiveState") for name in units}
    assert before == {**dict.fromkeys(units, "active"), "extra": "inactive", "deep": "inactive"}

    document(
        machine,
        pair % 2,
        other,
        f"web: {{{SLEEP}, systemd: {{Unit: {{Conflicts: old.service, Wants: extra.service}}}}}}",
    )
    planned = json.loads(machine.run("ordainctl", "plan", "--json").stdout)
    machine.run("ordainctl", "apply")

    for name, state in before.items():
        after = show(machine, f"{name}.service", "ActiveState")
        verb = {("active", "inactive"): "stop", ("inactive", "active"): "start"}.get((state, after), "")
        jobs = [job["verb"] for job in planned["consequences"] if job["unit"] == f"{name}.service"]
        assert jobs == [verb] * bool(verb), name
    assert show(machine, "bb.service", "ActiveState") == "active", "systemd 257 stops it with the restart of aa"

    # A rollback starts the units again that PID 1 has stopped along.
    machine.run("systemctl", "start", "extra")
    document(
        machine,
        pair % 2,
        other,
        "bad: {command: /bin/false, type: oneshot, systemd: {Unit: {Conflicts: extra.service}}}",
    )
    assert machine.run("ordainctl", "apply", check=False).returncode == 4
    wait(machine, "extra.service", "ActiveState", "active")


def test_a_socket_is_bound_again_while_its_service_runs(machine: Machine) -> None:
    def listening(port: int) -> str:
        return f"web: {{command: [/usr/bin/python3, /srv/serve.py], listen: {{stream: '127.0.0.1:{port}'}}}}"

    machine.write("/srv/serve.py", SERVE)
    document(machine, listening(8080))
    machine.boot()
    wait(machine, "web.socket", "ActiveState", "active")
    assert answers(machine, 8080)
    wait(machine, "web.service", "ActiveState", "active")

    document(machine, listening(8081))

    machine.until("the new port answers", lambda: answers(machine, 8081))
    wait(machine, "web.service", "ActiveState", "active")
    assert show(machine, "web.socket", "ActiveState") == "active"
    assert not answers(machine, 8080)


def test_one_instance_changes_and_the_others_stay(machine: Machine) -> None:
    document(machine, f"web: {{{SLEEP}, instances: {{a: {{}}, b: {{}}}}}}")
    machine.boot()
    for unit in ("web@a.service", "web@b.service"):
        wait(machine, unit, "ActiveState", "active")
    invocations = {unit: show(machine, unit, "InvocationID") for unit in ("web@a.service", "web@b.service")}

    document(machine, f"web: {{{SLEEP}, instances: {{a: {{}}, b: {{nice: 3}}, c: {{}}}}}}")

    wait(machine, "web@c.service", "ActiveState", "active")
    machine.until("b restarts", lambda: show(machine, "web@b.service", "InvocationID") != invocations["web@b.service"])
    assert show(machine, "web@a.service", "InvocationID") == invocations["web@a.service"]


def test_a_removed_service_stops_and_a_kept_one_keeps_its_definition(machine: Machine) -> None:
    document(machine, f"stops: {{{SLEEP}}}", f"stays: {{{SLEEP}, on-remove: keep}}")
    machine.boot()
    for unit in ("stops.service", "stays.service"):
        wait(machine, unit, "ActiveState", "active")

    document(machine, f"other: {{{SLEEP}}}")

    wait(machine, "other.service", "ActiveState", "active")
    assert show(machine, "stops.service", "LoadState") == "not-found"
    assert show(machine, "stops.service", "ActiveState") == "inactive"
    assert show(machine, "stays.service", "LoadState") == "loaded"
    assert show(machine, "stays.service", "ActiveState") == "active"


@pytest.mark.one_debian
def test_documents_that_change_before_the_agents_first_look_are_compared_with_those_of_the_boot(
    machine: Machine,
) -> None:
    document(machine, f"stops: {{{SLEEP}}}", f"stays: {{{SLEEP}, on-remove: keep}}")
    changed = machine.read(DOCUMENT).replace("stops", "other").replace("stays", "more")
    machine.write("/srv/changed.yaml", changed)
    machine.write(
        "/etc/systemd/system/ordain-agent.service.d/late.conf",
        f"[Service]\nExecStartPre=/bin/cp /srv/changed.yaml {DOCUMENT}\n",
    )
    machine.boot()

    wait(machine, "other.service", "ActiveState", "active")
    wait(machine, "stops.service", "LoadState", "not-found")
    assert (show(machine, "stays.service", "LoadState"), show(machine, "stays.service", "ActiveState")) == (
        "loaded",
        "active",
    )
    machine.run("ordainctl", "rollback", "1")
    assert show(machine, "stops.service", "ActiveState") == "active"
    assert show(machine, "other.service", "LoadState") == "not-found"

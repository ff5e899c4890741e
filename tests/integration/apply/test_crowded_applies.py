"""Applies of many units at once, and applies while others act: administrators, other applies, a broken generator."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from rig.machine import Machine
from rig.machine_agent import (
    DOCUMENTS,
    active_state,
    agent_status,
    apply,
    environment,
    invocations,
    layer,
    pause,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
GENERATOR = "/usr/lib/systemd/system-generators/ordain-generator"
SLEEP = "/bin/sleep 1d"


def states(machine: Machine, *units: str) -> list[str]:
    return [active_state(machine, unit) for unit in units]


def reloads(machine: Machine) -> int:
    """Return how often PID 1 was reloaded; 257 logs who asked for it in a line of its own."""
    machine.run("journalctl", "--sync")
    return machine.journal("_PID=1").count("]: Reloading.")


def test_a_chain_of_300_services_restarts_once_and_the_apply_waits_for_all_of_it(machine: Machine) -> None:
    names = [f"s{number:03}" for number in range(300)]

    def chain(word: str) -> dict[str, Any]:
        first, *rest = names
        services: dict[str, Any] = {first: {"command": SLEEP, "environment": {"WORD": word}}}
        for before, name in zip(names, rest, strict=False):
            services[name] = {"command": SLEEP, "requires": [before], "after": [before]}
        return {"services": services}

    machine.boot()
    pause(machine)
    assert apply(machine, chain("1"), timeout=200)["exit_status"] == 0
    before = invocations(machine, *(f"{name}.service" for name in names))
    starts = machine.journal("_PID=1").count("Started s")

    outcome = apply(machine, chain("2"), timeout=200)

    assert set(states(machine, *before)) == {"active"}, "at once, without a wait"
    assert outcome["exit_status"] == 0
    assert [job["unit"] for job in outcome["plan"]["jobs"]] == [*before]
    assert {job["verb"] for job in outcome["plan"]["jobs"]} == {"restart"}
    after = invocations(machine, *before)
    assert [unit for unit in before if before[unit] == after[unit]] == []
    machine.run("journalctl", "--sync")
    assert machine.journal("_PID=1").count("Started s") - starts == 300


def test_200_services_need_one_reload_of_the_manager_also_if_the_agent_follows_the_documents(machine: Machine) -> None:
    def services(word: str) -> dict[str, str]:
        return {f"s{number:03}": sleep_service(word) for number in range(200)}

    write_layer(machine, **services("1"))
    machine.boot(timeout=180)
    machine.until("the agent is converged", lambda: agent_status(machine)["state"] == "converged", timeout=180)
    before = reloads(machine)

    write_layer(machine, **services("2"))
    machine.until(
        "all services are new",
        lambda: (agent_status(machine)["generation"], agent_status(machine)["state"]) == (2, "converged"),
        timeout=180,
    )

    assert "WORD=2" in environment(machine, "s199.service")
    assert reloads(machine) - before == 1


def test_everything_that_was_up_is_up_again_after_the_generator_was_away_for_some_reloads(machine: Machine) -> None:
    path = {"Path": {"PathExists": "/run/appears"}, "Install": {"WantedBy": ["ordain-services.target"]}}
    sections = {
        "services": {
            "runs": {"command": SLEEP},
            "stopped": {"command": SLEEP},
            "timed": {"type": "oneshot", "command": "/bin/true", "schedule": "daily"},
            "listens": {"command": SLEEP, "listen": {"stream": "127.0.0.1:8080"}},
        },
        "units": {"looks.path": path, "looks.service": {"Service": {"ExecStart": SLEEP}}},
    }
    units = ("runs.service", "timed.timer", "listens.socket", "looks.path")
    machine.boot()
    pause(machine)
    assert apply(machine, sections)["exit_status"] == 0
    machine.run("systemctl", "stop", "stopped.service")
    machine.until("the agent has seen that", lambda: "stopped.service" in agent_status(machine)["drift"])

    machine.run("chmod", "0", GENERATOR)
    machine.run("systemctl", "daemon-reload")
    machine.until("the agent has seen it", lambda: "NotPlaced" in str(agent_status(machine)["conditions"]))
    assert "timed.timer ended" in str(agent_status(machine)["conditions"])
    machine.run("sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 || :", check=False)
    machine.run("touch", "/run/appears")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "daemon-reload")
    machine.run("rm", "/run/appears")
    machine.run("chmod", "755", GENERATOR)
    machine.run("systemctl", "daemon-reload")

    wait_active(machine, *units)
    assert states(machine, "stopped.service") == ["inactive"], "an administrator had stopped it before"
    machine.until("the gap is over", lambda: "NotPlaced" not in str(agent_status(machine)["conditions"]))
    assert "started again, because the generator works again: " in machine.journal("--unit=ordain-agent")


def test_a_second_apply_says_that_it_waits_and_for_whom(machine: Machine) -> None:
    write_layer(machine, web=sleep_service())
    machine.boot()
    wait_agent_state(machine, "converged")
    pause(machine)
    slow = "{command: [/usr/bin/sleep, infinity], before-start: [/usr/bin/sleep, '5']}"
    machine.write("/srv/slow.yaml", layer(web=slow))

    machine.run("systemd-run", "--quiet", "--collect", "--unit=first", "ordainctl", "apply", "--once", "/srv/slow.yaml")
    machine.until("web starts", lambda: active_state(machine, "web.service") == "activating", brief=True)
    second = machine.run("ordainctl", "apply", "--once", "/srv/slow.yaml")

    assert "waiting for another apply, of `ordain-agent` (process " in second.stderr
    assert "for `ordainctl apply --once /srv/slow.yaml` (process " in second.stderr


def test_a_service_that_somebody_stops_while_it_is_being_restarted_is_not_blamed_on_the_apply(machine: Machine) -> None:
    """It ends with an exit status of its own, as many programs do at SIGTERM."""
    script = "trap 'sleep 1; exit 3' TERM; while :; do sleep 0.1; done"
    service = {"command": ["/bin/sh", "-c", script], "after-start": "/bin/sleep 2", "restart": "no"}
    old = {"services": {"web": {**service, "environment": {"WORD": "1"}}}}
    machine.boot()
    pause(machine)
    assert apply(machine, old)["exit_status"] == 0
    new = {"services": {"web": {**service, "environment": {"WORD": "2"}}}}
    document = {"ordain": "v1", "kind": "Layer", "name": "base", **new}
    machine.write(f"{DOCUMENTS}/base.yaml", json.dumps(document))

    run = ("systemd-run", "--quiet", "--collect", "--unit=applying", "sh", "-c")
    machine.run(*run, "ordainctl apply --json >/run/outcome; echo $? >/run/ended")
    machine.until("web starts", functools.partial(_is_in, machine, "start-post"))
    machine.run("systemctl", "stop", "--no-block", "web.service")
    machine.until("ordainctl has ended", lambda: machine.run("test", "-s", "/run/ended", check=False).returncode == 0)

    outcome = json.loads(machine.read("/run/outcome"))
    [verdict] = [verdict for verdict in outcome["verdicts"] if verdict["unit"] == "web.service"]
    assert "stopped" in verdict["what"]
    assert "by somebody else meanwhile" in verdict["what"]
    assert not verdict["blamed"]
    assert (outcome["rejected"], outcome["back"]) == (0, None)


def _is_in(machine: Machine, sub_state: str) -> bool:
    return machine.show("web.service", "SubState")["SubState"] == sub_state


def test_a_roll_back_to_a_generation_that_does_not_exist_names_those_that_do(machine: Machine) -> None:
    machine.boot()
    pause(machine)
    for word in ("1", "2"):
        apply(machine, {"services": {"web": {"command": SLEEP, "environment": {"WORD": word}}}})
    before = invocations(machine, "web.service")

    for number in ("0", "3", "99999999999"):
        done = machine.run("ordainctl", "rollback", number, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"there is no generation {number}; there are 1 to 2" in done.stderr

    assert invocations(machine, "web.service") == before

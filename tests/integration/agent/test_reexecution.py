"""Services and agent survive a re-execution of PID 1, a soft reboot, and managers of users."""

from __future__ import annotations

import pytest

from rig.machine import Machine, Machines
from rig.machine_agent import (
    active_state,
    environment,
    invocations,
    layer,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = pytest.mark.integration
SLOW = "[/bin/sh, -c, 'end() { trap \"\" TERM; sleep 2; exit 0; }; trap end TERM; while :; do sleep 0.1; done']"
USER = "user@0.service"


def booted(machine: Machine) -> Machine:
    write_layer(machine, web=f"{{command: {SLOW}, stop-timeout: 10s}}", other=sleep_service())
    machine.boot()
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    return machine


def pid(machine: Machine, unit: str) -> str:
    return machine.show(unit, "MainPID")["MainPID"]


def test_a_reexecution_of_the_manager_disturbs_no_service_and_no_apply(machine: Machine) -> None:
    """An upgrade of systemd re-executes PID 1 (in its postinst): tried at rest and in the middle of an apply."""
    booted(machine)
    machine.run("systemctl", "start", USER)
    machine.run(
        "systemd-run", "--quiet", "--machine=root@.host", "--user", "--unit=mine", "sleep", "infinity", check=False
    )
    user, agent, before = (
        pid(machine, USER),
        pid(machine, "ordain-agent.service"),
        invocations(machine, "web.service", "other.service"),
    )

    machine.run("systemctl", "daemon-reexec")
    assert invocations(machine, "web.service", "other.service") == before

    write_layer(machine, web=sleep_service("2"), other=sleep_service())
    machine.until("web is being stopped", lambda: active_state(machine, "web.service") == "deactivating", brief=True)
    machine.run("systemctl", "daemon-reexec")
    machine.until("web has the new word", lambda: "WORD=2" in environment(machine))
    wait_active(machine, "web.service")
    wait_agent_state(machine, "converged")

    assert invocations(machine, "other.service")["other.service"] == before["other.service"]
    assert (pid(machine, USER), pid(machine, "ordain-agent.service")) == (user, agent)
    assert user != "0"


def test_after_a_soft_reboot_the_agent_starts_the_proven_generation(machines: Machines) -> None:
    machine = booted(machines("trixie"))
    before = invocations(machine, "other.service")

    machine.run("systemctl", "soft-reboot")
    machine.until(
        "other runs again",
        lambda: (
            before["other.service"]
            not in (
                shown := machine.run(
                    "systemctl", "show", "--property=InvocationID,ActiveState", "other.service", check=False
                ).stdout
            )
            and "ActiveState=active" in shown
        ),
    )
    machine.until(
        "the agent answers", lambda: machine.run("busctl", "status", "org.ordain.Agent1", check=False).returncode == 0
    )
    wait_agent_state(machine, "converged")
    assert machine.read("/run/ordain/takeover") == "agent started\n"
    write_layer(machine, web=sleep_service("2"), other=sleep_service())
    machine.until("web has the new word", lambda: "WORD=2" in environment(machine))


@pytest.mark.parametrize(
    "disturbance",
    [
        "daemon-reexec",
        pytest.param("restart dbus.service", marks=pytest.mark.one_debian),
        pytest.param("kill --signal=KILL ordain-agent.service", marks=pytest.mark.one_debian),
    ],
)
def test_a_caller_gets_the_real_outcome_of_an_apply_in_which_pid_1_or_the_bus_or_the_agent_restarts(
    machine: Machine, disturbance: str
) -> None:
    booted(machine)
    machine.write("/srv/new.yaml", layer(web=sleep_service("2"), other=sleep_service("2")))
    before = invocations(machine, "web.service", "other.service")
    applying = "ordainctl apply /srv/new.yaml >/run/said 2>&1; echo $? >/run/ended"

    machine.run("systemd-run", "--quiet", "--collect", "--unit=applying", "sh", "-c", applying)
    machine.until("web is being stopped", lambda: active_state(machine, "web.service") == "deactivating", brief=True)
    machine.run("systemctl", *disturbance.split())

    machine.until("ordainctl has ended", lambda: machine.run("test", "-s", "/run/ended", check=False).returncode == 0)
    assert machine.read("/run/ended") == "0\n", machine.read("/run/said")
    said = machine.read("/run/said")
    assert "start   web.service" in said, "the plan that was carried out is shown"
    assert "generation 2: applied" in said
    assert "waiting for another" not in said
    assert (environment(machine), environment(machine, "other.service")) == ("WORD=2", "WORD=2")
    after = invocations(machine, "web.service", "other.service")
    assert all(after[unit] != before[unit] for unit in before)
    wait_agent_state(machine, "paused")  # documents that somebody applied stay until `ordainctl follow`
    assert machine.run("test", "-e", "/run/ordain/journal", check=False).returncode == 1

"""The agent on booted machines: it follows the documents and starts services once, and they run on without it."""

from __future__ import annotations

import contextlib
import time

import pytest

from ordain.agent.daemon.follower import RELOADS, RELOADS_SEC
from rig.machine import Machine, MachineError, Machines
from rig.machine_agent import (
    DOCUMENTS,
    active_state,
    agent_status,
    environment,
    invocations,
    reported_unit,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

AGENT = "ordain-agent.service"
SLOW = "[/bin/sh, -c, 'end() { trap \"\" TERM; sleep 2; exit 0; }; trap end TERM; while :; do sleep 0.1; done']"
"""A command that takes two seconds to stop; the signal for its whole group does not end that sleep early."""


def agent_pid(machine: Machine) -> str:
    return machine.show(AGENT, "MainPID")["MainPID"]


def wait_another_agent(machine: Machine, old: str) -> None:
    machine.until(
        "another agent runs", lambda: agent_pid(machine) not in ("0", old) and active_state(machine, AGENT) == "active"
    )


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """Return a booted machine with two services that follow their documents."""
    write_layer(machine, web=sleep_service(), other=sleep_service())
    machine.boot()
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    return machine


def test_a_change_restarts_that_service_alone(followed: Machine) -> None:
    before = invocations(followed, "web.service", "other.service")

    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until(
        "web has the new word",
        lambda: (
            "WORD=2" in environment(followed)
            and invocations(followed, "web.service")["web.service"] != before["web.service"]
        ),
    )

    assert invocations(followed, "other.service")["other.service"] == before["other.service"]


def test_services_are_added_and_removed_with_their_documents(followed: Machine) -> None:
    write_layer(followed, other=sleep_service(), third=sleep_service())

    wait_active(followed, "third.service")
    followed.until("web is gone", lambda: followed.show("web.service", "LoadState")["LoadState"] == "not-found")
    assert active_state(followed, "web.service") == "inactive"


def test_the_next_boot_starts_from_the_cache(followed: Machine) -> None:
    write_layer(followed, web=sleep_service("2"))
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))
    wait_agent_state(followed, "converged")
    (followed.path(DOCUMENTS) / "base.yaml").unlink()

    followed.reboot()

    wait_active(followed, "web.service")
    assert "WORD=2" in environment(followed)
    assert followed.read("/run/ordain/takeover").startswith("agent")


@pytest.mark.parametrize(
    "action", [("stop",), ("kill", "--signal=KILL"), ("restart",)], ids=["stop", "kill", "restart"]
)
def test_stopping_killing_or_restarting_the_agent_touches_no_service(
    followed: Machine, action: tuple[str, ...]
) -> None:
    before = invocations(followed, "web.service", "other.service")
    old = agent_pid(followed)
    followed.run("systemctl", "stop", "other.service")

    followed.run("systemctl", *action, AGENT)
    if action == ("stop",):
        followed.run("systemctl", "start", AGENT)
    wait_another_agent(followed, old)
    wait_agent_state(followed, "degraded")

    assert invocations(followed, "web.service")["web.service"] == before["web.service"]
    assert active_state(followed, "other.service") == "inactive"
    assert "File exists" not in followed.journal("--unit=ordain-agent.service")


@pytest.mark.parametrize("fault", ["hangs", "crashes", "masked"])
def test_without_a_working_agent_the_services_are_started_once(followed: Machine, fault: str) -> None:
    followed.poweroff()
    match fault:
        case "hangs":
            faulty = "[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\nTimeoutStartSec=2s\n"
            followed.write(f"/etc/systemd/system/{AGENT}.d/faulty.conf", faulty)
        case "crashes":
            followed.write(
                f"/etc/systemd/system/{AGENT}.d/faulty.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/false\n"
            )
        case "masked":
            followed.path(f"/etc/systemd/system/{AGENT}").symlink_to("/dev/null")

    followed.boot(wait=False)
    followed.until("PID 1 listens", lambda: followed.path("/run/systemd/private").exists())
    wait_active(followed, "web.service", "other.service")

    # The takeover is an ExecStartPre= of the agent's unit, so it works even if the agent's program does not.
    started_by = followed.read("/run/ordain/takeover").split()[0]
    assert started_by == ("fallback" if fault == "masked" else "agent")
    assert "Started web.service" in followed.journal("--unit=web.service", "--boot")
    assert followed.journal("--unit=web.service", "--boot").count("Started web.service") == 1


def test_an_administrators_stop_is_respected_and_reported(followed: Machine) -> None:
    followed.run("systemctl", "stop", "web.service")
    followed.until("it is reported", lambda: agent_status(followed)["drift"] == ["web.service"])

    write_layer(followed, web=sleep_service(), other=sleep_service("2"))
    followed.until("other has the new word", lambda: "WORD=2" in environment(followed, "other.service"))
    wait_agent_state(followed, "degraded")

    assert active_state(followed, "web.service") == "inactive"
    assert "stopped manually" in reported_unit(followed, "web.service")["what"]

    write_layer(followed, web=sleep_service("3"), other=sleep_service("2"))
    wait_active(followed, "web.service")


def test_an_administrators_mask_is_respected_and_reported(followed: Machine) -> None:
    followed.run("systemctl", "mask", "--now", "web.service")

    write_layer(followed, web=sleep_service("2"), other=sleep_service("2"))
    followed.until("other has the new word", lambda: "WORD=2" in environment(followed, "other.service"))
    wait_agent_state(followed, "degraded")

    assert active_state(followed, "web.service") == "inactive"
    assert "masked by an administrator" in reported_unit(followed, "web.service")["what"]


def test_an_administrators_unit_file_overrides_the_documents_and_is_reported(followed: Machine) -> None:
    followed.write("/etc/systemd/system/web.service", "[Service]\nExecStart=/usr/bin/sleep 4321\n")
    followed.run("systemctl", "daemon-reload")

    followed.until(
        "it is reported",
        lambda: "Overridden" in {condition["code"] for condition in agent_status(followed)["conditions"]},
    )

    followed.run("rm", "/etc/systemd/system/web.service")
    followed.run("systemctl", "daemon-reload")
    followed.until("the condition is cleared", lambda: not agent_status(followed)["conditions"])


def test_a_reload_by_another_program_changes_no_state(followed: Machine) -> None:
    before = invocations(followed, "web.service", "other.service")

    for _ in range(3):
        followed.run("systemctl", "daemon-reload")

    assert invocations(followed, "web.service", "other.service") == before
    assert followed.show("web.service", "LoadState", "FragmentPath") == {
        "LoadState": "loaded",
        "FragmentPath": "/run/systemd/generator/web.service",
    }


def test_a_failed_generator_is_run_again(followed: Machine) -> None:
    before = invocations(followed, "web.service")
    generator = "/run/systemd/system-generators/ordain-generator"
    # A generator in /run overrides the one in /usr. This one fails once and deletes itself.
    followed.write(generator, f"#!/bin/sh\nrm {generator}\nexit 1\n", mode=0o755)

    followed.run("systemctl", "daemon-reload")

    followed.until("web is loaded again", lambda: followed.show("web.service", "LoadState")["LoadState"] == "loaded")
    assert invocations(followed, "web.service") == before
    followed.until("the agent says so", lambda: "reloaded again" in followed.journal(f"--unit={AGENT}"))


BROKEN = {
    "invalid YAML": b"ordain: v1\n  kind: [Layer\n",
    "an unknown key": b"ordain: v1\nkind: Layer\nname: base\nservices: {web: {comand: [/bin/true]}}\n",
    "invalid UTF-8": b"ordain: v1\nkind: Layer\nname: \xff\n",
    "10 MB": b"ordain: v1\n# " + b"x" * 10_000_000 + b"\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_changes_nothing_and_is_reported(followed: Machine, content: bytes) -> None:
    before = invocations(followed, "web.service", "other.service")

    followed.write(f"{DOCUMENTS}/base.yaml", content)
    followed.until(
        "it is reported", lambda: "Refused" in {condition["code"] for condition in agent_status(followed)["conditions"]}
    )

    assert invocations(followed, "web.service", "other.service") == before
    assert f"{DOCUMENTS}/base.yaml" in agent_status(followed)["conditions"][-1]["what"]
    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))


def test_a_boot_with_broken_documents_completes(followed: Machine) -> None:
    followed.write(f"{DOCUMENTS}/base.yaml", "ordain: v2\n")

    followed.reboot()

    wait_active(followed, "web.service", "other.service", "ordain-boot-good.service")
    assert not followed.path("/etc/ordain/boot/attempts").exists()


@pytest.mark.parametrize(
    "remove", [("sh", "-c", f"rm {DOCUMENTS}/*"), ("rm", "-r", DOCUMENTS)], ids=["files", "directory"]
)
def test_services_run_on_when_all_documents_are_removed(followed: Machine, remove: tuple[str, ...]) -> None:
    before = invocations(followed, "web.service", "other.service")

    followed.run(*remove)
    followed.until("it is reported", lambda: agent_status(followed)["source"]["problem"])

    assert invocations(followed, "web.service", "other.service") == before
    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))
    assert agent_status(followed)["source"]["problem"] == ""


def test_an_agent_killed_during_an_apply_resumes_it(followed: Machine) -> None:
    """The old web takes two seconds to stop, so that the agent is killed while it runs the stop jobs."""
    slow = f"{{command: {SLOW}, stop-timeout: 10s}}"
    before = invocations(followed, "web.service")
    write_layer(followed, web=slow, other=sleep_service())
    followed.until("web is the slow one", lambda: invocations(followed, "web.service") != before)
    wait_agent_state(followed, "converged")

    write_layer(followed, other=sleep_service("2"), third=sleep_service())
    followed.until("web is being stopped", lambda: active_state(followed, "web.service") == "deactivating", brief=True)
    followed.run("systemctl", "kill", "--signal=KILL", AGENT)

    wait_active(followed, "third.service")
    followed.until("other has the new word", lambda: "WORD=2" in environment(followed, "other.service"))
    wait_agent_state(followed, "converged")
    assert followed.show("web.service", "LoadState", "ActiveState") == {
        "LoadState": "not-found",
        "ActiveState": "inactive",
    }
    assert not followed.path("/run/ordain/journal").exists()


def test_an_agent_killed_between_stop_and_start_leaves_no_unit_stopped(followed: Machine) -> None:
    """A socket is bound again while its service is down; the service takes two seconds to stop."""

    def listening(port: int) -> str:
        return f"{{command: {SLOW}, stop-timeout: 10s, listen: {{stream: '127.0.0.1:{port}'}}}}"

    write_layer(followed, web=sleep_service(), other=sleep_service(), front=listening(8001))
    wait_active(followed, "front.socket")
    wait_agent_state(followed, "converged")
    followed.run("systemctl", "start", "front.service")
    before = invocations(followed, "front.service")

    write_layer(followed, web=sleep_service(), other=sleep_service(), front=listening(8002))
    followed.until("it is being stopped", lambda: active_state(followed, "front.service") == "deactivating", brief=True)
    followed.run("systemctl", "kill", "--signal=KILL", AGENT)

    followed.until("it runs again", lambda: invocations(followed, "front.service") != before)
    wait_active(followed, "front.socket", "front.service")
    assert "8002" in followed.show("front.socket", "Listen")["Listen"]
    wait_agent_state(followed, "converged")


def test_a_hanging_agent_is_replaced_without_touching_services(machine: Machine) -> None:
    machine.write(f"/etc/systemd/system/{AGENT}.d/soon.conf", "[Service]\nWatchdogSec=2s\n")
    write_layer(machine, web=sleep_service())
    machine.boot()
    wait_active(machine, "web.service")
    wait_agent_state(machine, "converged")
    before, old = invocations(machine, "web.service"), agent_pid(machine)

    machine.run("kill", "-STOP", old)

    wait_another_agent(machine, old)
    wait_agent_state(machine, "converged")
    assert invocations(machine, "web.service") == before
    assert machine.journal("--unit=web.service").count("Started web.service") == 1


def test_ordainctl_applies_without_an_agent(followed: Machine) -> None:
    followed.run("systemctl", "stop", AGENT)
    before = invocations(followed, "web.service", "other.service")
    write_layer(followed, web=sleep_service("2"), other=sleep_service())

    followed.run("ordainctl", "apply")

    assert "WORD=2" in environment(followed)
    after = invocations(followed, "web.service", "other.service")
    assert after["web.service"] != before["web.service"]
    assert after["other.service"] == before["other.service"]


def test_two_applies_do_not_overlap(followed: Machine) -> None:
    followed.run("systemctl", "stop", AGENT)
    before = invocations(followed, "web.service")
    write_layer(followed, web=sleep_service("2"), other=sleep_service())

    held = ("flock", "/run/ordain/lock", "ordainctl", "apply")
    done = followed.run(*held, check=False)

    assert done.returncode == 6
    assert "another apply" in done.stderr
    assert invocations(followed, "web.service") == before


def test_every_user_may_read_and_only_root_may_change(followed: Machine) -> None:
    agent = ("org.ordain.Agent1", "/org/ordain/Agent1", "org.ordain.Agent1")
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "busctl")

    assert followed.run(*nobody, "get-property", *agent, "State").stdout == 's "converged"\n'
    assert "web.service" in followed.run(*nobody, "call", *agent, "Status").stdout
    for method in (("Refresh",), ("Pause",), ("Plan", "a(ss)", "0"), ("Apply", "a(ss)a{sv}", "0", "0")):
        done = followed.run(*nobody, "call", *agent, *method, check=False)
        assert done.returncode != 0, method
        assert "polkit" in done.stderr
    followed.run("busctl", "call", *agent, "Refresh")


def test_a_change_that_cannot_be_stored_takes_effect_for_this_boot_and_is_reported(followed: Machine) -> None:
    followed.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc/ordain/boot")

    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))

    followed.until(
        "it is reported",
        lambda: "NotPersistent" in {condition["code"] for condition in agent_status(followed)["conditions"]},
    )
    followed.run("systemctl", "daemon-reload")
    assert "WORD=2" in environment(followed)


def test_a_change_that_fails_is_rolled_back_and_not_proven(followed: Machine) -> None:
    write_layer(followed, web="{command: [/usr/bin/false]}", other=sleep_service())
    wait_agent_state(followed, "rolled-back")

    assert "exit status 1" in str(agent_status(followed)["conditions"])
    followed.power_cut()
    followed.path(f"{DOCUMENTS}/base.yaml").unlink()
    followed.boot()
    wait_active(followed, "web.service", "other.service")


def test_the_agent_emits_signals_about_changes(followed: Machine) -> None:
    monitor = ("busctl", "--json=short", "monitor", "org.ordain.Agent1")
    followed.run("systemd-run", "--quiet", "--unit=monitor", "--property=StandardOutput=file:/run/signals", *monitor)
    signals = followed.path("/run/signals")
    followed.until(
        "the monitor sees a call", lambda: agent_status(followed) and signals.exists() and signals.read_text()
    )

    write_layer(followed, web=sleep_service("2"), other=sleep_service())

    for wanted in ("PlanStarted", "UnitConverged", "Converged", "PropertiesChanged"):
        followed.until(wanted, lambda wanted=wanted: f'"member":"{wanted}"' in followed.read("/run/signals"))  # type: ignore[misc]


def test_a_slow_reload_is_reported_until_a_fast_one(machines: Machines) -> None:
    machine = machines("trixie")
    write_layer(machine, web=sleep_service())
    machine.boot()
    wait_agent_state(machine, "converged")

    def codes() -> set[str]:
        return {condition["code"] for condition in agent_status(machine)["conditions"]}

    machine.write("/etc/systemd/system-generators/slow", "#!/bin/sh\nsleep 6\n", mode=0o755)
    write_layer(machine, web=sleep_service("2"))
    machine.until("it is reported", lambda: "SlowReload" in codes(), timeout=60)
    assert "WORD=2" in environment(machine)

    machine.path("/etc/systemd/system-generators/slow").unlink()
    write_layer(machine, web=sleep_service("3"))
    machine.until(
        "it is no longer reported", lambda: "WORD=3" in environment(machine) and "SlowReload" not in codes(), timeout=60
    )


def test_a_burst_of_changes_needs_few_reloads_and_the_last_takes_effect(machines: Machines) -> None:
    machine = machines("trixie")

    def limit(tasks: int) -> None:
        """Change a limit: that needs a reload of PID 1 and no job, so only reloads take time."""
        write_layer(machine, web=f"{{command: [/usr/bin/sleep, infinity], limits: {{tasks: {tasks}}}}}")

    def in_effect(tasks: int) -> bool:
        return machine.show("web.service", "TasksMax")["TasksMax"] == str(tasks)

    def reloads() -> int:
        machine.run("journalctl", "--sync")
        return machine.journal("_PID=1").count("]: Reloading.")

    limit(100)
    machine.boot()
    wait_agent_state(machine, "converged")
    before, began = reloads(), time.monotonic()
    for tasks in range(101, 131):
        limit(tasks)
        with contextlib.suppress(MachineError):
            machine.until("the limit is in effect", lambda tasks=tasks: in_effect(tasks), timeout=0.4)  # type: ignore[misc]
    took = time.monotonic() - began
    assert reloads() - before <= RELOADS * (1 + took / RELOADS_SEC)

    machine.until("the last limit is in effect", lambda: in_effect(130), timeout=60)

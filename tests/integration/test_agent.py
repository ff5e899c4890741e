"""The agent on booted machines: follows the documents, takes over once, and is no one's life support."""

from __future__ import annotations

import contextlib
import time

import pytest

from ordain.agent.daemon.follower import RELOADS, RELOADS_SEC
from rig.machine import Machine, MachineError, Machines
from rig.machine_agent import (
    DOCUMENTS,
    document,
    runs,
    sleeps,
    state,
    status,
    unit_status,
    wait_active,
    wait_state,
    word,
)

pytestmark = pytest.mark.integration

AGENT = "ordain-agent.service"
SLOW = "[/bin/sh, -c, 'end() { trap \"\" TERM; sleep 2; exit 0; }; trap end TERM; while :; do sleep 0.1; done']"
"""A command that takes two seconds to stop; the signal for its whole group does not end that sleep early."""


def agent_pid(machine: Machine) -> str:
    return machine.show(AGENT, "MainPID")["MainPID"]


def wait_another_agent(machine: Machine, old: str) -> None:
    machine.until(
        "another agent runs", lambda: agent_pid(machine) not in ("0", old) and state(machine, AGENT) == "active"
    )


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """A booted machine with two services that follow their documents."""
    document(machine, web=sleeps(), other=sleeps())
    machine.boot()
    wait_active(machine, "web.service", "other.service")
    wait_state(machine, "converged")
    return machine


def test_a_change_restarts_that_service_alone(followed: Machine) -> None:
    before = runs(followed, "web.service", "other.service")

    document(followed, web=sleeps("2"), other=sleeps())
    followed.until(
        "web has the new word",
        lambda: "WORD=2" in word(followed) and runs(followed, "web.service")["web.service"] != before["web.service"],
    )

    assert runs(followed, "other.service")["other.service"] == before["other.service"]


def test_services_come_and_go_with_their_documents(followed: Machine) -> None:
    document(followed, other=sleeps(), third=sleeps())

    wait_active(followed, "third.service")
    followed.until("web is gone", lambda: followed.show("web.service", "LoadState")["LoadState"] == "not-found")
    assert state(followed, "web.service") == "inactive"


def test_the_next_boot_starts_from_the_cache(followed: Machine) -> None:
    document(followed, web=sleeps("2"))
    followed.until("web has the new word", lambda: "WORD=2" in word(followed))
    wait_state(followed, "converged")
    (followed.path(DOCUMENTS) / "base.yaml").unlink()

    followed.reboot()

    wait_active(followed, "web.service")
    assert "WORD=2" in word(followed)
    assert followed.read("/run/ordain/takeover").startswith("agent")


@pytest.mark.parametrize("how", [("stop",), ("kill", "--signal=KILL"), ("restart",)])
def test_what_happens_to_the_agent_touches_no_service(followed: Machine, how: tuple[str, ...]) -> None:
    before = runs(followed, "web.service", "other.service")
    old = agent_pid(followed)
    followed.run("systemctl", "stop", "other.service")

    followed.run("systemctl", *how, AGENT)
    if how == ("stop",):
        followed.run("systemctl", "start", AGENT)
    wait_another_agent(followed, old)
    wait_state(followed, "converged")

    assert runs(followed, "web.service")["web.service"] == before["web.service"]
    assert state(followed, "other.service") == "inactive"


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

    # What is before the agent's own program in its unit works even if that does not.
    who = followed.read("/run/ordain/takeover").split()[0]
    assert who == ("fallback" if fault == "masked" else "agent")
    assert "Started web.service" in followed.journal("--unit=web.service", "--boot")
    assert followed.journal("--unit=web.service", "--boot").count("Started web.service") == 1


def test_an_admins_stop_is_respected_and_shown(followed: Machine) -> None:
    followed.run("systemctl", "stop", "web.service")
    followed.until("it is shown", lambda: status(followed)["drift"] == ["web.service"])

    document(followed, web=sleeps(), other=sleeps("2"))
    followed.until("other has the new word", lambda: "WORD=2" in word(followed, "other.service"))
    wait_state(followed, "converged")

    assert state(followed, "web.service") == "inactive"
    assert "stopped manually" in unit_status(followed, "web.service")["what"]

    document(followed, web=sleeps("3"), other=sleeps("2"))
    wait_active(followed, "web.service")


def test_an_admins_mask_is_respected_and_shown(followed: Machine) -> None:
    followed.run("systemctl", "mask", "--now", "web.service")

    document(followed, web=sleeps("2"), other=sleeps("2"))
    followed.until("other has the new word", lambda: "WORD=2" in word(followed, "other.service"))
    wait_state(followed, "converged")

    assert state(followed, "web.service") == "inactive"
    assert "masked by an administrator" in unit_status(followed, "web.service")["what"]


def test_an_admins_own_unit_file_wins_and_is_shown(followed: Machine) -> None:
    followed.write("/etc/systemd/system/web.service", "[Service]\nExecStart=/usr/bin/sleep 4321\n")
    followed.run("systemctl", "daemon-reload")

    followed.until("it is shown", lambda: "Overridden" in {each["code"] for each in status(followed)["conditions"]})

    followed.run("rm", "/etc/systemd/system/web.service")
    followed.run("systemctl", "daemon-reload")
    followed.until("it is over", lambda: not status(followed)["conditions"])


def test_anybodys_reload_gives_the_same_state(followed: Machine) -> None:
    before = runs(followed, "web.service", "other.service")

    for _ in range(3):
        followed.run("systemctl", "daemon-reload")

    assert runs(followed, "web.service", "other.service") == before
    assert followed.show("web.service", "LoadState", "FragmentPath") == {
        "LoadState": "loaded",
        "FragmentPath": "/run/systemd/generator/web.service",
    }


def test_a_generator_that_failed_once_is_run_again(followed: Machine) -> None:
    before = runs(followed, "web.service")
    generator = "/run/systemd/system-generators/ordain-generator"
    # The one in /run comes first: it fails once and takes itself away.
    followed.write(generator, f"#!/bin/sh\nrm {generator}\nexit 1\n", mode=0o755)

    followed.run("systemctl", "daemon-reload")

    followed.until("web is loaded again", lambda: followed.show("web.service", "LoadState")["LoadState"] == "loaded")
    assert runs(followed, "web.service") == before
    assert "reloaded again" in followed.journal(f"--unit={AGENT}")


BROKEN = {
    "no YAML": b"ordain: v1\n  kind: [Layer\n",
    "an unknown key": b"ordain: v1\nkind: Layer\nname: base\nservices: {web: {comand: [/bin/true]}}\n",
    "no UTF-8": b"ordain: v1\nkind: Layer\nname: \xff\n",
    "10 MB": b"# " + b"x" * 10_000_000 + b"\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_changes_nothing_and_is_shown(followed: Machine, content: bytes) -> None:
    before = runs(followed, "web.service", "other.service")

    followed.write(f"{DOCUMENTS}/base.yaml", content)
    followed.until("it is shown", lambda: "Refused" in {each["code"] for each in status(followed)["conditions"]})

    assert runs(followed, "web.service", "other.service") == before
    assert f"{DOCUMENTS}/base.yaml" in status(followed)["conditions"][-1]["what"]
    document(followed, web=sleeps("2"), other=sleeps())
    followed.until("web has the new word", lambda: "WORD=2" in word(followed))


def test_a_boot_with_broken_documents_is_a_good_boot(followed: Machine) -> None:
    followed.write(f"{DOCUMENTS}/base.yaml", "ordain: v2\n")

    followed.reboot()

    wait_active(followed, "web.service", "other.service", "ordain-boot-good.service")
    assert not followed.path("/etc/ordain/boot/attempts").exists()


@pytest.mark.parametrize("how", [("sh", "-c", f"rm {DOCUMENTS}/*"), ("rm", "-r", DOCUMENTS)])
def test_no_documents_stop_nothing(followed: Machine, how: tuple[str, ...]) -> None:
    before = runs(followed, "web.service", "other.service")

    followed.run(*how)
    followed.until("it is shown", lambda: status(followed)["source"]["problem"])

    assert runs(followed, "web.service", "other.service") == before
    document(followed, web=sleeps("2"), other=sleeps())
    followed.until("web has the new word", lambda: "WORD=2" in word(followed))
    assert status(followed)["source"]["problem"] == ""


def test_an_agent_that_is_killed_while_it_applies_goes_on_where_it_was(followed: Machine) -> None:
    """The old web takes two seconds to stop, so that the kill falls into the stops."""
    slow = f"{{command: {SLOW}, stop-timeout: 10s}}"
    before = runs(followed, "web.service")
    document(followed, web=slow, other=sleeps())
    followed.until("web is the slow one", lambda: runs(followed, "web.service") != before)
    wait_state(followed, "converged")

    document(followed, other=sleeps("2"), third=sleeps())
    followed.until("web is being stopped", lambda: state(followed, "web.service") == "deactivating")
    followed.run("systemctl", "kill", "--signal=KILL", AGENT)

    wait_active(followed, "third.service")
    followed.until("other has the new word", lambda: "WORD=2" in word(followed, "other.service"))
    wait_state(followed, "converged")
    assert followed.show("web.service", "LoadState", "ActiveState") == {
        "LoadState": "not-found",
        "ActiveState": "inactive",
    }
    assert not followed.path("/run/ordain/journal").exists()


def test_a_kill_between_stop_and_start_leaves_nothing_stopped(followed: Machine) -> None:
    """A socket is bound again while its service is down; the service takes two seconds to go."""

    def listening(port: int) -> str:
        return f"{{command: {SLOW}, stop-timeout: 10s, listen: {{stream: '127.0.0.1:{port}'}}}}"

    document(followed, web=sleeps(), other=sleeps(), front=listening(8001))
    wait_active(followed, "front.socket")
    wait_state(followed, "converged")
    followed.run("systemctl", "start", "front.service")
    before = runs(followed, "front.service")

    document(followed, web=sleeps(), other=sleeps(), front=listening(8002))
    followed.until("it is being stopped", lambda: state(followed, "front.service") == "deactivating")
    followed.run("systemctl", "kill", "--signal=KILL", AGENT)

    followed.until("it runs again", lambda: runs(followed, "front.service") != before)
    wait_active(followed, "front.socket", "front.service")
    assert "8002" in followed.show("front.socket", "Listen")["Listen"]
    wait_state(followed, "converged")


def test_an_agent_that_hangs_later_is_replaced_and_no_service_notices(machine: Machine) -> None:
    machine.write(f"/etc/systemd/system/{AGENT}.d/soon.conf", "[Service]\nWatchdogSec=2s\n")
    document(machine, web=sleeps())
    machine.boot()
    wait_active(machine, "web.service")
    wait_state(machine, "converged")
    before, old = runs(machine, "web.service"), agent_pid(machine)

    machine.run("kill", "-STOP", old)

    wait_another_agent(machine, old)
    wait_state(machine, "converged")
    assert runs(machine, "web.service") == before
    assert machine.journal("--unit=web.service").count("Started web.service") == 1


def test_without_an_agent_ordainctl_applies_by_itself(followed: Machine) -> None:
    followed.run("systemctl", "stop", AGENT)
    before = runs(followed, "web.service", "other.service")
    document(followed, web=sleeps("2"), other=sleeps())

    followed.run("ordainctl", "apply")

    assert "WORD=2" in word(followed)
    after = runs(followed, "web.service", "other.service")
    assert after["web.service"] != before["web.service"]
    assert after["other.service"] == before["other.service"]


def test_two_applies_do_not_overlap(followed: Machine) -> None:
    followed.run("systemctl", "stop", AGENT)
    before = runs(followed, "web.service")
    document(followed, web=sleeps("2"), other=sleeps())

    held = ("flock", "/run/ordain/lock", "ordainctl", "apply")
    done = followed.run(*held, check=False)

    assert done.returncode == 6
    assert "another apply" in done.stderr
    assert runs(followed, "web.service") == before


def test_everybody_may_look_and_only_root_may_act(followed: Machine) -> None:
    agent = ("org.ordain.Agent1", "/org/ordain/Agent1", "org.ordain.Agent1")
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "busctl")

    assert followed.run(*nobody, "get-property", *agent, "State").stdout == 's "converged"\n'
    assert "web.service" in followed.run(*nobody, "call", *agent, "Status").stdout
    for method in (("Refresh",), ("Pause",), ("Plan", "a(ss)", "0"), ("Apply", "a(ss)a{sv}", "0", "0")):
        done = followed.run(*nobody, "call", *agent, *method, check=False)
        assert done.returncode != 0, method
        assert "polkit" in done.stderr
    followed.run("busctl", "call", *agent, "Refresh")


def test_what_cannot_be_kept_holds_for_this_boot_and_is_told(followed: Machine) -> None:
    followed.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc/ordain/boot")

    document(followed, web=sleeps("2"), other=sleeps())
    followed.until("web has the new word", lambda: "WORD=2" in word(followed))

    followed.until("it is told", lambda: "NotPersistent" in {each["code"] for each in status(followed)["conditions"]})
    followed.run("systemctl", "daemon-reload")
    assert "WORD=2" in word(followed)


def test_a_change_that_fails_is_taken_back_and_not_proven(followed: Machine) -> None:
    document(followed, web="{command: [/usr/bin/false]}", other=sleeps())
    wait_state(followed, "rolled-back")

    assert "exit-code" in str(status(followed)["conditions"])
    followed.power_cut()
    followed.path(f"{DOCUMENTS}/base.yaml").unlink()
    followed.boot()
    wait_active(followed, "web.service", "other.service")


def test_the_bus_tells_of_changes(followed: Machine) -> None:
    ears = ("busctl", "--json=short", "monitor", "org.ordain.Agent1")
    followed.run("systemd-run", "--quiet", "--unit=ears", "--property=StandardOutput=file:/run/heard", *ears)
    heard = followed.path("/run/heard")
    followed.until("it hears a call", lambda: status(followed) and heard.exists() and heard.read_text())

    document(followed, web=sleeps("2"), other=sleeps())

    for wanted in ("PlanStarted", "UnitConverged", "Converged", "PropertiesChanged"):
        followed.until(wanted, lambda wanted=wanted: f'"member":"{wanted}"' in followed.read("/run/heard"))  # type: ignore[misc]


def test_a_reload_that_takes_long_is_told_until_one_does_not(machines: Machines) -> None:
    machine = machines("trixie")
    document(machine, web=sleeps())
    machine.boot()
    wait_state(machine, "converged")

    def codes() -> set[str]:
        return {condition["code"] for condition in status(machine)["conditions"]}

    machine.write("/etc/systemd/system-generators/slow", "#!/bin/sh\nsleep 6\n", mode=0o755)
    document(machine, web=sleeps("2"))
    machine.until("it is told", lambda: "SlowReload" in codes(), timeout=60)
    assert "WORD=2" in word(machine)

    machine.path("/etc/systemd/system-generators/slow").unlink()
    document(machine, web=sleeps("3"))
    machine.until("it is told no more", lambda: "WORD=3" in word(machine) and "SlowReload" not in codes(), timeout=60)


def test_documents_that_go_on_changing_are_followed_with_few_reloads_and_to_the_last(machines: Machines) -> None:
    machine = machines("trixie")

    def limit(tasks: int) -> None:
        """No process has to be told, so that nothing but reloads takes time."""
        document(machine, web=f"{{command: [/usr/bin/sleep, infinity], limits: {{tasks: {tasks}}}}}")

    def real(tasks: int) -> bool:
        return machine.show("web.service", "TasksMax")["TasksMax"] == str(tasks)

    def reloads() -> int:
        machine.run("journalctl", "--sync")
        return machine.journal("_PID=1").count("]: Reloading.")

    limit(100)
    machine.boot()
    wait_state(machine, "converged")
    before, began = reloads(), time.monotonic()
    for tasks in range(101, 141):
        limit(tasks)
        with contextlib.suppress(MachineError):
            machine.until("it is real", lambda tasks=tasks: real(tasks), timeout=0.4)  # type: ignore[misc]
    took = time.monotonic() - began
    assert reloads() - before <= RELOADS * (1 + took / RELOADS_SEC)

    machine.until("the last one is real", lambda: real(140), timeout=60)

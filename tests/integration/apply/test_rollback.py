"""Rollback on booted machines: of an apply that fails, and of a trial that nobody confirms."""

from __future__ import annotations

import json
import time
from subprocess import CompletedProcess
from typing import Any

import pytest

from rig.machine import Machine
from rig.machine_agent import answered_status

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

DOCUMENT = "/etc/ordain/documents/base.yaml"
AGENT = "ordain-agent.service"
DEADMAN = "ordain-deadman.service"
SLEEP = "command: [/usr/bin/sleep, infinity]"
MISSING = "command: [/usr/bin/missing]"


def document(machine: Machine, **services: str) -> None:
    lines = "".join(f"  {name}: {{{body}}}\n" for name, body in services.items())
    machine.write(DOCUMENT, f"ordain: v1\nkind: Layer\nname: base\nservices:\n{lines}")


def word(word: str) -> str:
    return f"{SLEEP}, environment: {{WORD: {word}}}, start-timeout: 4s, stop-timeout: 4s"


def ctl(machine: Machine, *words: str, check: bool = True) -> CompletedProcess[str]:
    return machine.run("ordainctl", *words, check=check)


def applied(machine: Machine, *words: str) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(ctl(machine, "apply", "--json", *words, check=False).stdout)
    return outcome


def wait_state(machine: Machine, wanted: str) -> None:
    machine.until(f"it is {wanted}", lambda: answered_status(machine).get("state") == wanted, timeout=60)


def codes(machine: Machine) -> set[str]:
    return {condition["code"] for condition in answered_status(machine)["conditions"]}


def says(machine: Machine, unit: str = "web.service") -> str:
    return machine.show(unit, "Environment")["Environment"]


def active(machine: Machine, unit: str) -> bool:
    return machine.show(unit, "ActiveState")["ActiveState"] == "active"


def wait_word(machine: Machine, wanted: str) -> None:
    machine.until(
        f"web says {wanted}",
        lambda: says(machine) == f"WORD={wanted}" and active(machine, "web.service"),
        timeout=60,
    )


@pytest.fixture
def booted(machine: Machine) -> Machine:
    """Return a machine that runs generation 1 with two services, web and other."""
    document(machine, web=word("one"), other=SLEEP)
    machine.boot()
    wait_state(machine, "converged")
    return machine


@pytest.mark.slow
def test_an_apply_that_fails_is_rolled_back(booted: Machine) -> None:
    other = booted.show("other.service", "InvocationID")
    bad = {
        "a program that is missing": {"web": MISSING},
        "a probe that fails": {"web": f'{word("two")}, health: {{tcp: "127.0.0.1:9", within: 1s}}'},
        "a command that fails": {"web": f"{word('two')}, health: {{command: [/bin/false], within: 1s}}"},
        "a service that dies within settle": {
            "web": "command: [/usr/bin/sleep, '1'], health: {command: [/bin/true], settle: 3s}"
        },
        "a new service that fails": {"web": word("two"), "new": MISSING},
        "a dependency that fails": {
            "web": f"{word('two')}, requires: [new], after: [new]",
            "new": "command: [/bin/false], type: oneshot",
        },
    }
    for number, (case, services) in enumerate(bad.items(), 2):
        document(booted, **{"other": SLEEP, **services})
        booted.until(case, lambda n=number: answered_status(booted).get("wanted_generation") == n, timeout=60)  # type: ignore[misc]
        wait_state(booted, "rolled-back")
        wait_word(booted, "one")
        assert "RolledBack" in codes(booted), case
        assert answered_status(booted)["generation"] == 1, case
        assert "failed" not in booted.run("systemctl", "--failed", "--plain", "--no-legend").stdout, case

    assert booted.show("other.service", "InvocationID") == other
    assert not active(booted, "new.service")
    history = ctl(booted, "history").stdout
    assert "in force" in history

    # Neither a new agent nor the next boot tries it again; the boot starts with the proven generation.
    booted.run("systemctl", "restart", AGENT)
    wait_state(booted, "rolled-back")
    booted.power_cut()
    booted.boot()
    wait_state(booted, "rolled-back")
    wait_word(booted, "one")
    assert ctl(booted, "history").stdout == history

    # An administrator can try it again; the exit status reports the rollback.
    tried = ctl(booted, "apply", check=False)
    assert tried.returncode == 4, tried
    assert "rolled back" in tried.stdout
    wait_word(booted, "one")

    # A change that works is applied at once.
    document(booted, web=word("three"), other=SLEEP)
    wait_word(booted, "three")
    wait_state(booted, "converged")
    assert "RolledBack" not in codes(booted)


def test_an_agent_killed_before_or_during_a_rollback_completes_it(booted: Machine) -> None:
    """The agent is killed while it waits for a health check, and during the rollback."""
    document(booted, web=f"{word('two')}, health: {{command: [/bin/false], within: 3s}}", other=SLEEP)
    booted.until("web says two", lambda: says(booted) == "WORD=two" and active(booted, "web.service"), timeout=60)
    booted.run("systemctl", "kill", "--signal=KILL", AGENT)
    wait_state(booted, "rolled-back")
    wait_word(booted, "one")

    document(booted, web=f"{word('slow')}, stop: [/usr/bin/sleep, '3']", other=SLEEP)
    wait_word(booted, "slow")
    wait_state(booted, "converged")
    document(booted, web=MISSING, other=SLEEP)
    rolling_back = ("grep", "--quiet", '"failed": {', "/run/ordain/journal")
    booted.until("the rollback has begun", lambda: booted.run(*rolling_back, check=False).returncode == 0, timeout=60)
    booted.run("systemctl", "kill", "--signal=KILL", AGENT)
    wait_state(booted, "rolled-back")
    wait_word(booted, "slow")
    assert not booted.path("/run/ordain/journal").exists()


def test_health_checks_pass_and_earlier_failures_are_not_rolled_back(booted: Machine) -> None:
    server = "command: [/usr/bin/python3, -m, http.server, '8080', --bind, 127.0.0.1]"
    document(
        booted,
        web=f'{server}, health: {{http: "http://127.0.0.1:8080/", settle: 500ms}}',
        other=f"{SLEEP}, user: nobody, health: {{command: [/usr/bin/test, -r, /etc/hostname]}}",
        bus=f"{SLEEP}, health: {{bus-name: org.ordain.Agent1}}",
    )
    booted.until("generation 2", lambda: answered_status(booted).get("generation") == 2, timeout=60)
    wait_state(booted, "converged")
    assert [unit for unit in ("web.service", "other.service", "bus.service") if not active(booted, unit)] == []
    assert "ordain-probe-other.service" in booted.journal("--identifier=systemd")

    booted.run("systemctl", "kill", "--signal=KILL", "other.service")
    booted.until("other has failed", lambda: booted.show("other.service", "ActiveState")["ActiveState"] == "failed")
    document(booted, web=word("two"), other=MISSING)
    wait_word(booted, "two")
    wait_state(booted, "degraded")
    outcome = json.loads(booted.read("/run/ordain/outcome.json"))
    assert outcome["exit_status"] == 3
    (verdict,) = [verdict for verdict in outcome["verdicts"] if verdict["unit"] == "other.service"]
    assert not verdict["ok"]
    assert "it had failed before, too" in verdict["what"]

    # The old program is deleted before the rollback needs it.
    booted.run("cp", "/usr/bin/sleep", "/usr/local/bin/nap")
    document(booted, web="command: [/usr/local/bin/nap, infinity]", other=SLEEP)
    wait_state(booted, "converged")
    booted.run("rm", "/usr/local/bin/nap")
    document(booted, web=MISSING, other=SLEEP)
    wait_state(booted, "rolled-back")
    assert "RollbackIncomplete" in codes(booted)
    outcome = json.loads(booted.read("/run/ordain/outcome.json"))
    assert outcome["exit_status"] == 5
    assert [v["unit"] for v in outcome["verdicts"] if not v["ok"]] == ["web.service"]
    assert [v["unit"] for v in outcome["back_verdicts"] if not v["ok"]] == ["web.service"]


def test_a_generation_chosen_by_an_administrator_stays_until_a_document_changes(booted: Machine) -> None:
    document(booted, web=word("two"), other=SLEEP)
    wait_word(booted, "two")
    wait_state(booted, "converged")

    ctl(booted, "rollback")
    wait_word(booted, "one")
    assert "Pinned" in codes(booted)
    booted.power_cut()
    booted.boot()
    wait_state(booted, "paused")
    wait_word(booted, "one")
    assert "Pinned" in codes(booted)

    ctl(booted, "follow")
    wait_word(booted, "two")
    ctl(booted, "rollback", "1")
    wait_word(booted, "one")
    document(booted, web=word("three"), other=SLEEP)
    wait_word(booted, "three")
    assert "Pinned" not in codes(booted)
    assert ctl(booted, "rollback", "99", check=False).returncode == 1


def trial(machine: Machine, seconds: int, text: str) -> None:
    """Apply a change on trial; the agent is paused, so that only this apply happens."""
    ctl(machine, "pause")
    document(machine, web=word(text), other=SLEEP)
    outcome = applied(machine, "--confirm", str(seconds))
    assert outcome["exit_status"] == 0
    assert outcome["confirm_by"]
    assert active(machine, DEADMAN)
    wait_word(machine, text)


def wait_rolled_back(machine: Machine) -> None:
    """Wait until the machine is rolled back, an agent answers, and the dead-man has ended."""
    wait_word(machine, "one")
    machine.until("the dead-man has ended", lambda: not active(machine, DEADMAN), timeout=60)
    machine.until("an agent answers", lambda: answered_status(machine))


@pytest.mark.slow
def test_a_trial_is_rolled_back_unless_it_is_confirmed(booted: Machine) -> None:
    """Also when the agent is dead or hangs. After a power cut the proven generation boots."""
    trial(booted, 60, "two")
    assert answered_status(booted)["state"] == "trial"
    assert ctl(booted, "apply", check=False).returncode == 1
    ctl(booted, "rollback")
    wait_rolled_back(booted)

    for signal in ("", "KILL", "STOP"):
        trial(booted, 2, "two")
        if signal:
            booted.run("systemctl", "kill", f"--signal={signal}", AGENT)
        wait_rolled_back(booted)
        late = ctl(booted, "confirm", check=False)
        assert late.returncode == 1, late
        ctl(booted, "resume")
        wait_state(booted, "rolled-back")
        assert "was not confirmed within 2 s" in str(answered_status(booted)["conditions"])

    # The agent hangs in the middle of the apply: it holds the lock, and left a journal from which to resume.
    ctl(booted, "pause")
    document(booted, web=f"{word('two')}, before-start: [/usr/bin/sleep, '2']", other=SLEEP)
    booted.run("systemd-run", "--unit=manual", "ordainctl", "apply", "--confirm", "1")
    booted.until("web starts", lambda: booted.show("web.service", "SubState")["SubState"] == "start-pre")
    booted.run("systemctl", "kill", "--signal=STOP", AGENT)
    booted.until("the dead-man has ended", lambda: not active(booted, DEADMAN), timeout=200)
    wait_rolled_back(booted)

    # A power cut ends the trial too: the proven generation boots, and the unconfirmed one is not tried again.
    trial(booted, 60, "three")
    ctl(booted, "resume")
    booted.power_cut()
    booted.boot()
    wait_state(booted, "rolled-back")
    wait_word(booted, "one")
    assert "before the machine went down" in str(answered_status(booted)["conditions"])
    *_, row = json.loads(ctl(booted, "history", "--json").stdout)
    assert row["event"]["rejected"] == row["number"]
    assert "before the machine went down" in row["event"]["why"]
    ctl(booted, "apply")
    wait_word(booted, "three")
    assert "RolledBack" not in codes(booted)


def test_a_trial_that_is_confirmed_stays(booted: Machine) -> None:
    """The trial is applied without the agent, and a document that changes meanwhile waits for its end."""
    booted.run("systemctl", "stop", AGENT)
    document(booted, web=word("two"), other=SLEEP)
    ctl(booted, "apply", "--confirm", "60")
    booted.run("systemctl", "start", AGENT)
    wait_state(booted, "trial")
    document(booted, web=word("three"), other=SLEEP)
    time.sleep(1)
    wait_word(booted, "two")

    ctl(booted, "confirm")
    wait_word(booted, "three")
    wait_state(booted, "converged")
    assert ctl(booted, "confirm", check=False).returncode == 1
    booted.power_cut()
    booted.boot()
    wait_word(booted, "three")


@pytest.mark.slow
def test_decisions_of_an_administrator_last_through_boots(booted: Machine) -> None:
    """A pause lasts. Documents applied by an administrator last until the source changes or is followed again."""
    ctl(booted, "pause")
    document(booted, web=word("two"), other=SLEEP)
    booted.reboot()
    wait_state(booted, "paused")
    wait_word(booted, "one")
    ctl(booted, "resume")
    wait_word(booted, "two")
    wait_state(booted, "converged")

    layer = f"ordain: v1\nkind: Layer\nname: base\nservices: {{web: {{{word('manual')}}}, other: {{{SLEEP}}}}}\n"
    booted.write("/srv/manual.yaml", layer)
    ctl(booted, "apply", "--once", "/srv/manual.yaml")
    wait_word(booted, "manual")
    booted.run("systemctl", "restart", AGENT)
    wait_state(booted, "paused")
    wait_word(booted, "manual")
    booted.power_cut()
    booted.boot()
    wait_state(booted, "paused")
    wait_word(booted, "manual")
    assert "Pinned" in codes(booted)

    document(booted, web=word("three"), other=SLEEP)
    wait_word(booted, "three")
    assert "Pinned" not in codes(booted)

    # Without --once they last even then, until an administrator runs `ordainctl follow`.
    ctl(booted, "apply", "/srv/manual.yaml")
    document(booted, web=word("four"), other=SLEEP)
    booted.reboot()
    wait_state(booted, "paused")
    wait_word(booted, "manual")
    ctl(booted, "follow")
    wait_word(booted, "four")

    # A confirmed trial of such documents lasts like any other; it may be confirmed by a new agent.
    ctl(booted, "apply", "--once", "--confirm", "60", "/srv/manual.yaml")
    wait_word(booted, "manual")
    booted.run("systemctl", "restart", AGENT)
    wait_state(booted, "trial")
    ctl(booted, "confirm")
    booted.run("systemctl", "restart", AGENT)
    wait_state(booted, "paused")
    wait_word(booted, "manual")

    # An apply that fails changes no decision: the documents applied before it stay in force.
    booted.write("/srv/bad.yaml", layer.replace("/usr/bin/sleep, infinity", "/usr/bin/missing", 1))
    assert ctl(booted, "apply", "/srv/bad.yaml", check=False).returncode == 4
    wait_word(booted, "manual")
    wait_state(booted, "rolled-back")
    booted.run("systemctl", "restart", AGENT)
    wait_state(booted, "rolled-back")
    wait_word(booted, "manual")
    ctl(booted, "follow")
    wait_word(booted, "four")


def test_a_new_agent_also_reports_an_incomplete_apply(machine: Machine) -> None:
    """The next apply of the new agent has nothing to do; it must not report success for that."""
    machine.boot()
    wait_state(machine, "converged")
    files = "files:\n  /etc/hostname/below: {content: no folder}\n"  # a first generation is not rolled back
    machine.write(DOCUMENT, f"ordain: v1\nkind: Layer\nname: base\n{files}")
    wait_state(machine, "degraded")

    machine.run("systemctl", "restart", AGENT)
    machine.until(
        "it has read the state", lambda: answered_status(machine).get("state") not in (None, "starting", "applying")
    )
    assert answered_status(machine)["state"] == "degraded"

    document(machine, web=word("one"))
    wait_state(machine, "converged")

"""Holds, changes by administrators and other programs, and units that must not be restarted, on booted machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

DOCUMENTS = "/etc/ordain/documents"
SLOW = {
    "command": [
        "/usr/bin/sh",
        "-c",
        "end() { trap '' TERM; sleep 3; exit 0; }; trap end TERM; while :; do sleep 0.1; done",
    ]
}
"""A service that takes three seconds to stop; the signal for its whole process group does not end that sleep early."""


def document(machine: Machine, **services: Mapping[str, Any]) -> None:
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "base", "services": services})
    machine.write(f"{DOCUMENTS}/base.yaml", text)


def sleeps(word: str = "1", **keys: Any) -> dict[str, Any]:
    return {"command": ["/usr/bin/sleep", "infinity"], "environment": {"WORD": word}, **keys}


def ordainctl(machine: Machine, *words: str, check: bool = True) -> Any:
    return json.loads(machine.run("ordainctl", *words, "--json", check=check).stdout)


def unit(machine: Machine, name: str) -> dict[str, Any]:
    """Return the row of a unit in the status."""
    status = ordainctl(machine, "status", check=False)
    return next((dict(row) for row in status["units"] if row["unit"] == name), {})


def conditions(machine: Machine, code: str) -> list[str]:
    reported = ordainctl(machine, "status", check=False)["conditions"]
    return [condition["item"] for condition in reported if condition["code"] == code]


def show(machine: Machine, name: str, key: str) -> str:
    return machine.show(name, key)[key]


def invocation(machine: Machine, name: str) -> str:
    return show(machine, name, "InvocationID")


def settle(machine: Machine) -> None:
    """Apply the documents, unless the agent has done so already."""
    machine.run("ordainctl", "apply", check=False)


def boot(machine: Machine, **services: Mapping[str, Any]) -> Machine:
    document(machine, **services)
    machine.boot()
    settle(machine)
    return machine


def test_changes_by_an_administrator_are_told_apart_and_respected(machine: Machine) -> None:
    never = {"restart": "no"}
    names = ("stopped", "masked", "edited", "shot", "done", "died", "other")
    services = {name: sleeps(**never) for name in names}
    hog = ["/usr/bin/python3", "-c", "x = bytearray(200 << 20)"]
    services["hog"] = {"command": hog, "limits": {"memory": "30M"}, **never}
    services["edited"] |= {"limits": {"memory": "100M"}}
    services["done"] = {"command": ["/usr/bin/sh", "-c", "exit 0"], **never}
    services["died"] = {"command": ["/usr/bin/sh", "-c", "exit 3"], **never}
    boot(machine, **services)

    machine.run("systemctl", "stop", "stopped.service")
    machine.run("systemctl", "mask", "--now", "masked.service")
    machine.write("/etc/systemd/system/edited.service.d/mine.conf", "[Service]\nMemoryMax=1G\n")
    assert unit(machine, "edited.service")["unread"]
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "kill", "--signal=KILL", "shot.service")
    machine.until("it is dead", lambda: show(machine, "shot.service", "ActiveState") == "failed")
    document(machine, **{**services, "other": sleeps("2", **never)})
    settle(machine)

    rows = {name: unit(machine, f"{name}.service") for name in names}
    assert {name: rows[name]["why"] for name in names} == {
        "stopped": "stopped",
        "masked": "masked",
        "edited": "",
        "shot": "failed",
        "done": "ended",
        "died": "failed",
        "other": "",
    }
    hog_ended = unit(machine, "hog.service")
    if hog_ended["result"] == "oom-kill":  # if the machine has the memory controller
        assert "no memory left" in hog_ended["what"]
    assert "was stopped manually at" in rows["stopped"]["what"]
    assert "killed by SIGKILL" in rows["shot"]["what"]
    assert "exit status 3" in rows["died"]["what"]
    assert rows["edited"]["edited"] == ["/etc/systemd/system/edited.service.d/mine.conf"]
    assert rows["edited"]["ok"]
    assert not rows["edited"]["unread"]
    (overridden,) = [
        row for row in ordainctl(machine, "status", check=False)["conditions"] if row["code"] == "OverriddenValue"
    ]
    assert "edited.service: [Service] MemoryMax is 1G, not 100M" in overridden["what"]
    assert not overridden["fault"]
    assert {name: show(machine, f"{name}.service", "ActiveState") for name in names} == {
        "stopped": "inactive",
        "masked": "inactive",
        "edited": "active",
        "shot": "failed",
        "done": "inactive",
        "died": "failed",
        "other": "active",
    }


def test_a_process_of_a_reverted_edit_is_reported_and_restarted(machine: Machine) -> None:
    """PID 1 has only the definition of now, so the agent notes the drop-ins that a process was started with."""
    boot(machine, web=sleeps())
    machine.run("ordainctl", "pause")
    edit = "[Service]\nExecStart=\nExecStart=/usr/bin/sleep 2000\n"
    machine.write("/etc/systemd/system/web.service.d/override.conf", edit)
    machine.run("systemctl", "daemon-reload")
    assert unit(machine, "web.service")["ok"]  # its process is older than the edit
    machine.run("systemctl", "restart", "web.service")
    machine.until("the edit is reported", lambda: "web" in str(conditions(machine, "OverriddenValue")))
    before = invocation(machine, "web.service")

    machine.run("systemctl", "revert", "web.service")

    row = unit(machine, "web.service")
    assert not row["ok"]
    assert "[Service] ExecStart changed since it was started" in row["what"]
    assert ordainctl(machine, "status", check=False)["drift"] == ["web.service"]
    (job,) = ordainctl(machine, "plan")["jobs"]
    assert (job["unit"], job["verb"]) == ("web.service", "restart")
    machine.run("ordainctl", "apply")
    assert invocation(machine, "web.service") != before
    assert unit(machine, "web.service")["ok"]


def test_a_process_of_an_edit_that_was_reverted_before_anybody_looked_is_reported_and_restarted(
    machine: Machine,
) -> None:
    """Its command line is asked: nobody has noted the drop-in."""
    boot(machine, web=sleeps())
    machine.run("systemctl", "stop", "ordain-agent.service")
    machine.write("/etc/systemd/system/web.service.d/override.conf", "[Service]\nExecStart=\nExecStart=/bin/sleep 77\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "web.service")
    before = invocation(machine, "web.service")
    machine.run("systemctl", "revert", "web.service")

    (job,) = ordainctl(machine, "plan")["jobs"]
    assert (job["unit"], job["verb"], job["changes"][0]["old"]) == ("web.service", "restart", ["/bin/sleep 77"])
    assert ordainctl(machine, "status", check=False)["drift"] == ["web.service"]
    machine.run("systemctl", "start", "ordain-agent.service")
    machine.until("web is restarted", lambda: invocation(machine, "web.service") not in ("", before))
    machine.until("web is well", lambda: unit(machine, "web.service")["ok"])


def test_drift_enforce_restores_units_that_others_stopped_or_started(machine: Machine) -> None:
    services = {
        "web": sleeps(drift="enforce", restart="no"),
        "no": sleeps(drift="enforce", state="stopped"),
        "free": sleeps(),
    }
    boot(machine, **services)
    before = invocation(machine, "web.service")

    machine.run("systemctl", "stop", "web.service", "free.service")
    machine.run("systemctl", "start", "no.service")

    machine.until("web is started again", lambda: invocation(machine, "web.service") not in ("", before))
    machine.until("no is stopped", lambda: show(machine, "no.service", "ActiveState") == "inactive")
    machine.until("web runs", lambda: show(machine, "web.service", "ActiveState") == "active")
    assert show(machine, "free.service", "ActiveState") == "inactive"


def test_a_hold_lasts_through_changes_and_reboots(machine: Machine) -> None:
    boot(machine, web=sleeps(), down=sleeps(), gone=sleeps())
    machine.run("systemctl", "stop", "down.service")
    for name in ("down", "gone"):
        machine.run("ordainctl", "hold", name)
    machine.run("ordainctl", "hold", "web", "--for", "5h", "--why", "the disk is replaced")
    before = invocation(machine, "web.service")

    document(machine, web=sleeps("2"), down=sleeps("2"))
    settle(machine)

    assert invocation(machine, "web.service") == before
    assert show(machine, "down.service", "ActiveState") == "inactive"
    assert show(machine, "gone.service", "ActiveState") == "active"
    assert unit(machine, "web.service")["why"] == "held"

    machine.reboot()
    settle(machine)

    assert show(machine, "down.service", "ActiveState") == "inactive"
    assert show(machine, "web.service", "ActiveState") == "active"
    assert unit(machine, "down.service")["why"] == "held"
    held = next(i for i in ordainctl(machine, "status", check=False)["instructions"] if i["subject"] == "web.service")
    assert (held["kind"], held["by"], held["why"]) == ("hold", "root", "the disk is replaced")
    assert held["until"]
    explained = machine.run("ordainctl", "explain", "web", check=False).stdout
    assert "held by root since " in explained
    assert " because: the disk is replaced; ends " in explained

    machine.run("ordainctl", "unhold", "down")
    assert show(machine, "down.service", "ActiveState") == "active"
    assert "WORD=2" in show(machine, "down.service", "Environment")
    assert "is not held" in machine.run("ordainctl", "unhold", "down", check=False).stderr


def test_a_hold_and_a_pause_end_by_themselves(machine: Machine) -> None:
    boot(machine, web=sleeps())

    machine.run("ordainctl", "hold", "web", "--for", "2s", "--why", "a test")
    document(machine, web=sleeps("2"))
    machine.until("the hold ends", lambda: "WORD=2" in show(machine, "web.service", "Environment"))
    machine.until("its end is recorded", lambda: any(cause == "follow" for cause, _, _ in acts(machine)))
    machine.run("ordainctl", "pause", "--for", "2s", "--why", "another test")
    document(machine, web=sleeps("3"))
    machine.until("the pause ends", lambda: "WORD=3" in show(machine, "web.service", "Environment"))

    wanted = [
        ("hold", "web.service", "a test"),
        ("follow", "web.service", "its time was over"),
        ("pause", "", "another test"),
        ("follow", "source", "its time was over"),
    ]
    machine.until("all of it is in the history", lambda: acts(machine) == wanted)


def acts(machine: Machine) -> list[tuple[str, str, str]]:
    """Return cause, subject and reason of the holds and pauses in the history, and of their ends."""
    events = [row["event"] for row in ordainctl(machine, "history") if row["event"]]
    return [(e["origin"]["cause"], e["subject"], e["origin"]["why"]) for e in events if e["subject"] or e["until"]]


def test_a_hold_on_a_service_also_holds_its_socket_and_timer(machine: Machine) -> None:
    def services(port: int, time: str) -> dict[str, Any]:
        return {
            "front": sleeps(listen={"stream": f"127.0.0.1:{port}"}),
            "job": sleeps(schedule={"calendar": time}),
            "idle": sleeps(listen={"stream": "127.0.0.1:8003"}),
        }

    boot(machine, **services(8001, "*-01-01"))
    machine.run("systemctl", "stop", "idle.socket")
    for name in ("front", "job", "idle"):
        machine.run("ordainctl", "hold", name)
    before = {name: invocation(machine, name) for name in ("front.socket", "job.timer")}

    document(machine, **services(8002, "*-02-02"))
    settle(machine)
    assert {name: invocation(machine, name) for name in before} == before
    assert unit(machine, "front.socket")["why"] == unit(machine, "job.timer")["why"] == "held"

    machine.reboot()
    settle(machine)
    states = {name: show(machine, name, "ActiveState") for name in (*before, "idle.socket")}
    assert states == {"front.socket": "active", "job.timer": "active", "idle.socket": "inactive"}

    for name in ("front", "idle"):
        machine.run("ordainctl", "unhold", name)
    assert show(machine, "idle.socket", "ActiveState") == "active"
    assert unit(machine, "front.socket")["what"] == ""


def test_a_hold_lifts_a_mask_of_the_documents(machine: Machine) -> None:
    boot(machine, nginx={"state": "masked"}, other=sleeps())
    assert machine.run("systemctl", "start", "nginx.service", check=False).returncode != 0

    machine.run("ordainctl", "hold", "--unmask", "nginx")
    machine.run("systemctl", "start", "nginx.service")
    document(machine, nginx={"state": "masked"}, other=sleeps("2"))
    settle(machine)
    assert show(machine, "nginx.service", "ActiveState") == "active"

    machine.reboot()
    assert show(machine, "nginx.service", "LoadState") == "loaded"

    machine.run("systemctl", "start", "nginx.service")
    machine.run("ordainctl", "unhold", "nginx")
    assert show(machine, "nginx.service", "ActiveState") == "inactive"
    assert show(machine, "nginx.service", "LoadState") == "masked"


def test_protected_units_wait_for_the_next_boot(machine: Machine) -> None:
    word = {"environment": {"WORD": "1"}}
    units = ("dbus.service", "systemd-journald.service", "systemd-logind.service")
    boot(machine, web=sleeps())
    before = {unit: invocation(machine, unit) for unit in units}

    document(machine, web=sleeps("2"), dbus=word, journald=word, logind=word)
    settle(machine)

    assert {unit: invocation(machine, unit) for unit in units} == before
    assert "WORD=2" in show(machine, "web.service", "Environment")
    assert conditions(machine, "RebootNeeded") == list(units)

    machine.run("systemctl", "restart", "systemd-journald.service")
    assert conditions(machine, "RebootNeeded") == ["dbus.service", "systemd-logind.service"]

    document(machine, web=sleeps("2"), dbus=word, logind={**word, "on-change": "restart"})
    settle(machine)
    assert invocation(machine, "systemd-logind.service") != before["systemd-logind.service"]
    assert conditions(machine, "RebootNeeded") == ["dbus.service"]

    machine.reboot()
    settle(machine)
    assert conditions(machine, "RebootNeeded") == []


def test_a_process_older_than_its_definition_is_reported(machine: Machine) -> None:
    boot(machine, web=sleeps())
    before = invocation(machine, "web.service")

    document(machine, web=sleeps("2", **{"on-change": "none"}))
    settle(machine)
    assert invocation(machine, "web.service") == before
    assert "since it was started" in unit(machine, "web.service")["what"]

    document(machine, web=sleeps("2"))
    settle(machine)
    assert invocation(machine, "web.service") != before
    assert unit(machine, "web.service")["what"] == ""


def test_a_service_that_asks_for_an_apply_is_not_stopped_by_it(machine: Machine) -> None:
    script = "until test -e /run/go; do sleep 0.1; done; ordainctl apply --once /srv/next.yaml; sleep infinity"
    asks = {"command": ["/usr/bin/sh", "-c", script]}
    boot(machine, asks=asks, web=sleeps())
    before = invocation(machine, "asks.service")
    services = {"asks": {**asks, "nice": 3}, "web": sleeps("2")}
    machine.write("/srv/next.yaml", json.dumps({"ordain": "v1", "kind": "Layer", "name": "b", "services": services}))

    machine.run("touch", "/run/go")

    machine.until("web has the new word", lambda: "WORD=2" in show(machine, "web.service", "Environment"))
    machine.until("it is reported", lambda: "after the session" in machine.journal("--unit=asks.service"))
    assert "after the session" in unit(machine, "asks.service")["what"]
    assert invocation(machine, "asks.service") == before

    # As long as its session lasts, neither another caller nor a new agent restarts it.
    document(machine, **{**services, "web": sleeps("3")})
    machine.run("systemctl", "restart", "ordain-agent.service")
    machine.run("ordainctl", "follow")
    machine.until("web has the next word", lambda: "WORD=3" in show(machine, "web.service", "Environment"))
    settle(machine)
    assert invocation(machine, "asks.service") == before
    assert "after the session" in unit(machine, "asks.service")["what"]

    machine.run("systemctl", "restart", "asks.service")
    assert unit(machine, "asks.service")["what"] == ""


def test_a_unit_stopped_by_someone_during_an_apply_stays_stopped(machine: Machine) -> None:
    boot(machine, web=sleeps(), slow={**SLOW, "environment": {"WORD": "1"}})

    document(machine, web=sleeps("2"), slow={**SLOW, "environment": {"WORD": "2"}})
    machine.until("it stops", lambda: show(machine, "slow.service", "ActiveState") == "deactivating", brief=True)
    machine.run("systemctl", "stop", "slow.service")
    settle(machine)

    assert show(machine, "slow.service", "ActiveState") == "inactive"
    assert unit(machine, "slow.service")["why"] == "stopped"
    assert "WORD=2" in show(machine, "web.service", "Environment")
    assert conditions(machine, "RolledBack") == []


def test_a_job_that_someone_cancels_is_queued_again_if_nothing_else_did_its_work(machine: Machine) -> None:
    """A restart that is canceled before it stops its unit (web) is queued again; one that has stopped it (late) is not.

    The unit that was stopped stays down, as if an administrator had stopped it.
    """

    def services(word: str) -> dict[str, Any]:
        slow = {**SLOW, "environment": {"WORD": word}}
        return {"web": sleeps(word), "slow": slow, "late": sleeps(word, after=["slow"])}

    # The plan does not know this order: slow is queued first, and PID 1 lets web wait until slow is stopped.
    machine.write("/etc/systemd/system/slow.service.d/order.conf", "[Unit]\nAfter=web.service\n")
    boot(machine, **services("1"))
    before = invocation(machine, "web.service")

    document(machine, **services("2"))
    for name in ("web.service", "late.service"):
        machine.until(f"{name} waits for slow", lambda n=name: show(machine, n, "Job") not in ("", "0"))  # type: ignore[misc]
        machine.until("late is stopped", lambda: show(machine, "late.service", "ActiveState") == "inactive")
        machine.run("systemctl", "cancel", show(machine, name, "Job"))
    settle(machine)

    assert invocation(machine, "web.service") != before
    assert "WORD=2" in show(machine, "web.service", "Environment")
    assert show(machine, "late.service", "ActiveState") == "inactive"
    assert unit(machine, "late.service")["why"] == "stopped"
    assert "canceled, by somebody else" in machine.journal("--unit=ordain-agent")
    assert conditions(machine, "RolledBack") == []


def test_reloads_by_other_programs_do_not_disturb_an_apply(machine: Machine) -> None:
    boot(machine, web=sleeps(), other=sleeps())
    before = invocation(machine, "other.service")
    storm = "for i in $(seq 40); do systemctl daemon-reload; sleep 0.05; done"
    machine.run("systemd-run", "--unit=storm", "sh", "-c", storm)

    for word in ("2", "3", "4"):
        document(machine, web=sleeps(word), other=sleeps())
        settle(machine)
        assert f"WORD={word}" in show(machine, "web.service", "Environment")

    assert invocation(machine, "other.service") == before
    assert show(machine, "web.service", "ActiveState") == "active"


def test_an_apply_does_not_delay_a_shutdown(machine: Machine) -> None:
    boot(machine, web=sleeps(), slow={**SLOW, "environment": {"WORD": "1"}})

    document(machine, web=sleeps("2"), slow={**SLOW, "environment": {"WORD": "2"}})
    machine.until("it stops", lambda: show(machine, "slow.service", "ActiveState") == "deactivating", brief=True)
    machine.poweroff(timeout=60)
    machine.boot()
    settle(machine)

    assert show(machine, "slow.service", "ActiveState") == "active"
    assert {"WORD=2"} <= {show(machine, "web.service", "Environment"), show(machine, "slow.service", "Environment")}


def test_a_held_service_removed_from_the_documents_runs_on_and_blocks_nothing(machine: Machine) -> None:
    reads: dict[str, Any] = {
        "files": {"/etc/reads.conf": {"content": "1"}},
        "check": ["/usr/bin/grep", "-q", "1", "/etc/reads.conf"],
    }
    boot(machine, web=sleeps(), reads=sleeps(**reads))
    machine.run("ordainctl", "hold", "reads")
    before = invocation(machine, "reads.service")

    for word in ("2", "3"):
        document(machine, web=sleeps(word))
        settle(machine)
        assert f"WORD={word}" in show(machine, "web.service", "Environment")

    assert invocation(machine, "reads.service") == before
    machine.run("ordainctl", "unhold", "reads")
    machine.until("it is stopped", lambda: show(machine, "reads.service", "ActiveState") == "inactive")

"""A booted machine tells, and corrects, what is not as the documents say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rig.machine import Machine
from rig.machine_agent import agent_status, wait_agent_state

pytestmark = pytest.mark.integration
DOCUMENT = "/etc/ordain/documents/machine.yaml"
HELLO = """\
ordain: v1
kind: Layer
name: machine
services:
  hello:
    command: /bin/sleep 1000
"""


def codes(machine: Machine) -> set[str]:
    """Return the codes of all faults of the status."""
    return {condition["code"] for condition in agent_status(machine)["conditions"] if condition["fault"]}


def status(machine: Machine) -> tuple[int, dict[str, Any]]:
    """Return the exit status of ``ordainctl status``, and what it says."""
    answer = machine.run("ordainctl", "status", "--json", check=False)
    return answer.returncode, json.loads(answer.stdout)


def report_codes(machine: Machine) -> set[str]:
    """Return the codes in the report that the agent wrote last, without asking it to look."""
    report = json.loads(machine.read("/run/ordain/status.json"))
    return {condition["code"] for condition in report["conditions"]}


def plan(machine: Machine) -> int:
    """Return the exit status of ``ordainctl plan --exit-code``."""
    return machine.run("ordainctl", "plan", "--exit-code", check=False).returncode


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """Return a machine that runs what `HELLO` says."""
    machine.write(DOCUMENT, HELLO)
    machine.boot()
    wait_agent_state(machine, "converged")
    return machine


@pytest.mark.one_debian
def test_an_edit_that_changes_no_unit_file_takes_effect(followed: Machine) -> None:
    followed.write(DOCUMENT, f"{HELLO}    drift: enforce\n")
    followed.until("it is in force", lambda: any(unit["enforced"] for unit in agent_status(followed)["units"]))
    wait_agent_state(followed, "converged")

    exit_status, shown = status(followed)
    history = json.loads(followed.run("ordainctl", "history", "--json").stdout)

    assert (exit_status, plan(followed)) == (0, 0)
    assert shown["generation"] == shown["wanted_generation"]
    assert [saved["number"] for saved in history if saved["in_force"]] == [shown["generation"]]
    followed.run("systemctl", "stop", "hello")
    followed.until("it runs again", lambda: followed.show("hello.service", "ActiveState")["ActiveState"] == "active")

    followed.write(DOCUMENT, HELLO)
    followed.until("it is not enforced", lambda: not any(u["enforced"] for u in agent_status(followed)["units"]))
    assert plan(followed) == 0


@pytest.mark.one_debian
def test_refused_documents_and_a_dead_agent_show_in_the_exit_status(followed: Machine) -> None:
    assert status(followed)[0] == 0

    followed.write(DOCUMENT, HELLO.replace("command:", "comand:"))
    wait_agent_state(followed, "degraded")
    assert (status(followed)[0], codes(followed)) == (3, {"Refused"})

    followed.write(DOCUMENT, HELLO)
    wait_agent_state(followed, "converged")
    followed.run("systemctl", "stop", "ordain-agent")
    exit_status, shown = status(followed)
    assert exit_status == 3
    assert "AgentDown" in {condition["code"] for condition in shown["conditions"]}


@pytest.mark.one_debian
def test_a_changed_file_is_shown_and_placed_again_by_apply(followed: Machine) -> None:
    followed.write(DOCUMENT, f"{HELLO}files:\n  /etc/motd: {{content: ours}}\n")
    followed.until("the file is placed", lambda: followed.read("/etc/motd") == "ours")
    wait_agent_state(followed, "converged")

    followed.write("/etc/motd", "theirs")
    followed.until("it is shown", lambda: status(followed)[0] == 3)
    assert codes(followed) == {"FileChanged"}
    assert plan(followed) == 7

    followed.run("ordainctl", "apply")
    assert followed.read("/etc/motd") == "ours"
    assert (status(followed)[0], plan(followed)) == (0, 0)


@pytest.mark.one_debian
def test_a_file_is_placed_again_at_once_where_that_is_enforced(followed: Machine) -> None:
    followed.write(
        DOCUMENT, f"{HELLO}files:\n  /etc/motd: {{content: ours, drift: enforce}}\n  /etc/other: {{content: a}}\n"
    )
    followed.until("the file is placed", lambda: followed.read("/etc/motd") == "ours")
    wait_agent_state(followed, "converged")

    for act in (["rm", "/etc/motd"], ["chmod", "600", "/etc/motd"], ["ln", "-sf", "/etc/passwd", "/etc/motd"]):
        followed.run(*act)
        followed.until(
            "it is placed again",
            lambda: followed.run("stat", "--format=%F %a", "/etc/motd", check=False).stdout == "regular file 644\n",
            timeout=40,
        )
    followed.run("rm", "/etc/other")
    followed.until("the change is noticed without asking", lambda: "FileChanged" in report_codes(followed))


@pytest.mark.one_debian
def test_a_file_of_a_held_service_stays_until_it_is_released(followed: Machine) -> None:
    files = "    files: {/etc/hello.conf: {content: ours}}\n"
    followed.write(DOCUMENT, f"{HELLO}{files}")
    followed.until("the file is placed", lambda: followed.path("/etc/hello.conf").exists())
    wait_agent_state(followed, "converged")
    process = followed.show("hello.service", "MainPID")

    followed.run("ordainctl", "hold", "hello.service")
    followed.write("/etc/hello.conf", "theirs")
    assert (codes(followed), plan(followed)) == (set(), 0)
    followed.write(DOCUMENT, f"{HELLO}{files}files:\n  /etc/motd: {{content: ours}}\n")
    followed.until("other files are placed", lambda: followed.read("/etc/motd") == "ours")
    assert followed.read("/etc/hello.conf") == "theirs"

    followed.run("ordainctl", "unhold", "hello.service")
    assert followed.read("/etc/hello.conf") == "ours"
    assert followed.show("hello.service", "MainPID") != process
    wait_agent_state(followed, "converged")


@pytest.mark.one_debian
def test_a_host_name_of_documents_is_seen_by_documents(followed: Machine) -> None:
    before = followed.run("hostname").stdout.strip()
    layer = "ordain: v1\nkind: Layer\nname: zed\nmatch: {hostname: zed}\nservices: {z: {command: /bin/sleep 1000}}\n"
    template = "files:\n  /etc/motd: {template: 'I am {{ facts.hostname }}'}\n"
    followed.write(DOCUMENT, f"{HELLO}host: {{hostname: zed}}\n{template}---\n{layer}")

    followed.until("z runs", lambda: followed.show("z.service", "ActiveState")["ActiveState"] == "active")
    wait_agent_state(followed, "converged")

    assert before != "zed"
    assert followed.run("hostname").stdout == "zed\n"
    assert followed.read("/etc/motd") == "I am zed"
    assert (status(followed)[0], plan(followed)) == (0, 0)

    followed.run("hostname", "other")
    followed.until("it is shown", lambda: status(followed)[0] == 3)
    followed.run("ordainctl", "apply")
    assert followed.run("hostname").stdout == "zed\n"


@pytest.mark.one_debian
def test_a_host_name_takes_effect_where_its_unit_has_not_run_yet(followed: Machine) -> None:
    followed.run("systemctl", "stop", "ordain-hostname.service")

    followed.write(DOCUMENT, f"{HELLO}host: {{hostname: bee}}\n")

    followed.until("the host name is set", lambda: followed.run("hostname").stdout == "bee\n")
    wait_agent_state(followed, "converged")


@pytest.mark.one_debian
def test_a_wanted_service_is_reported_while_its_unit_is_missing_and_then_started(followed: Machine) -> None:
    path = "/usr/lib/systemd/system/late.service"
    unit = "[Service]\nExecStart=/bin/sleep 1000\n"
    followed.write(path, unit)
    followed.run("systemctl", "daemon-reload")
    followed.write(DOCUMENT, f"{HELLO}  late: {{unit: late.service, state: running}}\n")
    followed.until("it runs", lambda: followed.show("late.service", "ActiveState")["ActiveState"] == "active")
    wait_agent_state(followed, "converged")

    followed.run("systemctl", "stop", "late.service")
    followed.path(path).unlink()
    followed.run("systemctl", "daemon-reload")
    followed.until("it is reported", lambda: "NotInstalled" in codes(followed))
    assert status(followed)[0] == 3

    followed.write(path, unit)
    followed.run("systemctl", "daemon-reload")
    followed.until("it runs", lambda: followed.show("late.service", "ActiveState")["ActiveState"] == "active")
    wait_agent_state(followed, "converged")


def runs(machine: Machine, word: str) -> bool:
    """Return whether hello.service runs a command with ``word`` in it."""
    shown = machine.show("hello.service", "ActiveState", "ExecStart")
    return shown["ActiveState"] == "active" and f" {word} " in shown["ExecStart"].replace(";", " ")


@pytest.mark.one_debian
def test_a_unit_file_of_an_administrator_is_named_and_ours_is_taken_up_without_it(followed: Machine) -> None:
    path = "/etc/systemd/system/hello.service"
    followed.write(path, "[Service]\nExecStart=/bin/sleep 4321\n")
    followed.write(DOCUMENT, HELLO.replace("1000", "2000"))
    followed.until("it is reported", lambda: "Overridden" in codes(followed))
    shown = followed.run("ordainctl", "plan", check=False).stdout
    assert f"{path} replaces the unit of the documents" in shown
    assert status(followed)[0] == 3
    assert followed.run("ordainctl", "apply", check=False).returncode == 3

    followed.run("systemctl", "restart", "hello")
    assert runs(followed, "4321")
    followed.path(path).unlink()
    followed.run("systemctl", "daemon-reload")
    followed.until("ours runs", lambda: runs(followed, "2000"), timeout=40)
    wait_agent_state(followed, "converged")


def test_a_service_starts_after_a_transient_unit_of_its_name_has_ended(followed: Machine) -> None:
    followed.run("systemd-run", "--unit=late", "/bin/sleep", "8")
    followed.write(DOCUMENT, HELLO + "  late:\n    command: /bin/sleep 3000\n")
    followed.until("it is reported", lambda: "Overridden" in codes(followed))
    assert status(followed)[0] == 3

    followed.until("ours runs", lambda: "3000" in followed.show("late.service", "ExecStart")["ExecStart"], timeout=40)
    followed.until(
        "it runs", lambda: followed.show("late.service", "ActiveState")["ActiveState"] == "active", timeout=40
    )
    wait_agent_state(followed, "converged")


def test_an_address_a_socket_a_mount_option_and_an_ignored_directive_are_read_back(followed: Machine) -> None:
    listen = "  s: {command: /bin/cat, listen: {stream: ['[fe80::1%host9]:8053', '127.0.0.1:8053']}}\n"
    mount = "mounts:\n  /srv/t: {what: tmpfs, type: tmpfs, options: [noexec]}\n"
    followed.write(DOCUMENT, f"{HELLO}{mount}")
    followed.until("it is mounted", lambda: followed.show("srv-t.mount", "ActiveState")["ActiveState"] == "active")
    wait_agent_state(followed, "converged")

    followed.run("mount", "-o", "remount,exec", "/srv/t")
    followed.until("it is shown", lambda: "MountOptions" in codes(followed))
    followed.run("ordainctl", "apply")
    assert "noexec" in followed.run("findmnt", "--noheadings", "--output=OPTIONS", "/srv/t").stdout
    followed.until("it is well", lambda: status(followed)[0] == 0)

    socket = "  k: {command: /bin/sleep 1000, listen: {stream: /run/k.sock, mode: '0600'}, state: running}\n"
    followed.write(DOCUMENT, f"{HELLO}{socket}")
    followed.until("it listens", lambda: followed.run("test", "-S", "/run/k.sock", check=False).returncode == 0)
    wait_agent_state(followed, "converged")
    followed.run("systemctl", "start", "k.service")
    for act in (["rm", "/run/k.sock"], ["chmod", "666", "/run/k.sock"]):
        followed.run(*act)
        followed.until("it is shown", lambda: "SocketChanged" in codes(followed))
        assert (status(followed)[0], plan(followed)) == (3, 7)
        followed.run("ordainctl", "apply")
        assert followed.run("stat", "--format=%a", "/run/k.sock").stdout == "600\n"
        assert followed.show("k.service", "ActiveState")["ActiveState"] == "active"
        followed.until("it is well", lambda: (status(followed)[0], plan(followed)) == (0, 0))

    followed.write(DOCUMENT, f"{HELLO}{listen}")
    followed.until("it is shown", lambda: codes(followed) & {"NotListening", "Encode", "Refused", "Item"})
    assert status(followed)[0] == 3

    ignored = "  r: {command: /bin/sleep 1000, systemd: {Service: {RestrictAddressFamilies: AF_FOO}}}\n"
    followed.write(DOCUMENT, f"{HELLO}{ignored}")
    followed.until("it is shown", lambda: "DirectiveIgnored" in codes(followed))
    exit_status, shown = status(followed)
    (what,) = (c["what"] for c in shown["conditions"] if c["code"] == "DirectiveIgnored")
    assert exit_status == 3
    assert what.startswith(f"{DOCUMENT}:7: ")
    assert "r.service" in what
    assert "AF_FOO" in what
    followed.run("systemctl", "restart", "ordain-agent")
    followed.until("it is shown", lambda: "DirectiveIgnored" in codes(followed))

    followed.write(DOCUMENT, f"{HELLO}{ignored.replace('AF_FOO', 'AF_UNIX')}")
    followed.until("it is well", lambda: status(followed)[0] == 0)

"""Generations whose boots do not complete, and boot checks that fail, on machines with the agent."""

from __future__ import annotations

import json

import pytest

from ordain.generator.cache import unpack
from rig.machine import Machine
from rig.machine_agent import (
    active_state,
    agent_status,
    environment,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
BOOT = "/etc/ordain/boot"


def hash_of(machine: Machine, name: str) -> str:
    return unpack(machine.path(f"{BOOT}/{name}").read_bytes()).hash


def codes(machine: Machine) -> set[str]:
    return {condition["code"] for condition in agent_status(machine)["conditions"]}


def good(machine: Machine) -> None:
    wait_active(machine, "ordain-boot-good.service")


@pytest.fixture
def changed(machine: Machine) -> Machine:
    """Return a machine that booted with WORD=1, has applied WORD=2 since, and is powered off."""
    write_layer(machine, web=sleep_service("1"))
    machine.boot()
    wait_agent_state(machine, "converged")
    machine.reboot()
    wait_agent_state(machine, "converged")
    good(machine)
    machine.until("a fallback exists", lambda: machine.path(f"{BOOT}/fallback").exists())
    write_layer(machine, web=sleep_service("2"))
    machine.until("web has the new word", lambda: "WORD=2" in environment(machine))
    machine.until("it is proven", lambda: hash_of(machine, "current") != hash_of(machine, "fallback"))
    wait_agent_state(machine, "converged")
    machine.power_cut()
    return machine


def test_a_generation_whose_boots_do_not_complete_is_not_tried_again_automatically(changed: Machine) -> None:
    machine = changed
    bad, last = hash_of(machine, "current"), hash_of(machine, "fallback")
    machine.write(f"{BOOT}/attempts", "".join(f"{bad} boot{n}\n" for n in range(3)))

    machine.boot()
    wait_agent_state(machine, "rolled-back")
    assert "WORD=1" in environment(machine)
    assert {"RolledBack", "BootChoice"} <= codes(machine)
    assert "3 boots with it did not complete" in machine.run("ordainctl", "status", check=False).stdout
    machine.until("the generation that booted is current", lambda: hash_of(machine, "current") == last)
    good(machine)

    machine.reboot()
    wait_agent_state(machine, "rolled-back")
    assert "WORD=1" in environment(machine)
    assert "BootChoice" not in codes(machine)

    machine.run("ordainctl", "apply")
    assert "WORD=2" in environment(machine)
    assert hash_of(machine, "current") == bad
    machine.reboot()
    wait_agent_state(machine, "converged")
    assert "WORD=2" in environment(machine), "applied by an administrator, it may fail another three boots"


def test_after_a_boot_without_a_generation_all_may_be_tried_again(changed: Machine) -> None:
    machine = changed
    tried = (hash_of(machine, "current"), hash_of(machine, "fallback"))
    machine.write(f"{BOOT}/attempts", "".join(f"{hash} boot{n}\n" for hash in tried for n in range(3)))

    machine.boot()
    wait_agent_state(machine, "rolled-back")
    assert machine.show("web.service", "LoadState")["LoadState"] == "not-found", "the agent does not start it either"
    good(machine)
    machine.reboot()

    wait_agent_state(machine, "converged")
    assert "WORD=2" in environment(machine)
    assert "RolledBack" not in codes(machine)


def test_a_failed_boot_check_is_reported(machine: Machine) -> None:
    check = "[Unit]\nBefore=boot-complete.target\n[Service]\nType=oneshot\nExecStart=/bin/false\n"
    machine.write("/etc/systemd/system/check.service", check)
    machine.path("/etc/systemd/system/boot-complete.target.requires").mkdir(parents=True)
    machine.path("/etc/systemd/system/boot-complete.target.requires/check.service").symlink_to("../check.service")
    write_layer(machine, web=sleep_service("1"))
    machine.boot()
    wait_active(machine, "web.service")
    machine.until("it is reported", lambda: "boot-complete.target was not reached" in json.dumps(agent_status(machine)))
    assert active_state(machine, "ordain-boot-good.service") == "inactive"
    assert not machine.path(f"{BOOT}/fallback").exists()

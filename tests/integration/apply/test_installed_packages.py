"""Packages of the documents on booted Debian machines, with a repository that the test makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rig.apt_repository import FOLDER, Deb, serve
from rig.machine import Machine

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/base.yaml"
RECORD = "/var/lib/ordain/packages.json"
UNIT = """[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
STARTS = """#!/bin/sh
set -e
systemctl daemon-reload
systemctl enable --quiet lamp.service
deb-systemd-invoke start lamp.service
"""
LAMP = Deb(
    name="lamp",
    fields={"Depends": "wick"},
    files={"/usr/lib/systemd/system/lamp.service": UNIT, "/usr/bin/lamp": "#!/bin/sh\nexec sleep infinity\n"},
    scripts={"postinst": STARTS},
)
SLOW = Deb(name="slow", scripts={"postinst": "#!/bin/sh\nuntil [ -e /run/fast ]; do sleep 0.2; done\n"})
DEBS = (
    LAMP,
    SLOW,
    Deb(name="wick"),
    Deb(name="oil", version="1.5"),
    Deb(name="oil", version="2.0"),
    Deb(name="brass", fields={"Conflicts": "tin"}),
    Deb(name="tin"),
    Deb(name="needs-oil", fields={"Depends": "oil"}),
)
NAMES = ("lamp", "slow", "wick", "oil", "brass", "tin", "needs-oil")


def document(machine: Machine, **sections: Any) -> None:
    machine.write(DOCUMENT, json.dumps({"ordain": "v1", "kind": "Layer", "name": "base", **sections}))


def ordainctl(machine: Machine, *words: str) -> Any:
    return json.loads(machine.run("ordainctl", *words, "--json", check=False, timeout=180).stdout)


def conditions(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return code and text of each condition of the status by its item."""
    return {row["item"]: (row["code"], row["what"]) for row in ordainctl(machine, "status")["conditions"]}


def installed(machine: Machine) -> Mapping[str, str]:
    """Return the versions of the packages of the test that are installed."""
    shown = machine.run(
        "dpkg-query", "--show", "--showformat=${db:Status-Status}=${Package}=${Version}\n", *NAMES, check=False
    )
    rows = [line.split("=") for line in shown.stdout.splitlines()]
    return {name: version for state, name, version in rows if state == "installed"}


def record(machine: Machine) -> Any:
    return json.loads(machine.read(RECORD))


def is_active(machine: Machine, unit: str) -> bool:
    return machine.run("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """Return a booted machine with the repository, whose agent waits for documents with packages."""
    document(machine, services={"first": {"command": ["/usr/bin/sleep", "infinity"]}})
    machine.boot()
    serve(machine, DEBS)
    machine.run("ordainctl", "apply", check=False)
    return machine


def test_services_start_once_the_agent_has_installed_their_package(ready: Machine) -> None:
    services = {
        "glow": {"command": ["/usr/bin/lamp"]},
        "lamp": {"unit": "lamp.service", "state": "running", "environment": {"LIGHT": "on"}},
    }
    document(ready, packages=["lamp"], services=services)

    ready.until("its service runs", lambda: is_active(ready, "glow.service"), timeout=120)
    ready.until("all is well", lambda: ordainctl(ready, "status")["state"] == "converged", timeout=60)

    assert installed(ready) == {"lamp": "1.0", "wick": "1.0"}
    assert record(ready)["installed"] == ["lamp"]
    assert ready.show("lamp.service", "Environment", "ActiveState") == {
        "Environment": "LIGHT=on",
        "ActiveState": "active",
    }


@pytest.mark.one_debian
@pytest.mark.parametrize("command", ["apply", "wait for the agent"])
def test_a_service_that_its_package_starts_stops_if_the_documents_say_so(ready: Machine, command: str) -> None:
    if command == "apply":
        ready.run("ordainctl", "pause")
    document(ready, packages=["lamp"], services={"lamp": {"unit": "lamp.service", "state": "stopped"}})
    if command == "apply":
        ordainctl(ready, "apply")

    ready.until("it is installed", lambda: "lamp" in installed(ready), timeout=120)
    ready.until("it has stopped", lambda: not is_active(ready, "lamp.service"), timeout=60)
    ready.reboot()
    assert not is_active(ready, "lamp.service")


@pytest.mark.one_debian
def test_plan_lists_what_apply_then_installs_and_removes(ready: Machine) -> None:
    ready.run("ordainctl", "pause")
    ready.run("apt-get", "update")
    wanted = {"lamp": {}, "oil": {"version": "1.*", "hold": True}}
    document(ready, packages=wanted, services={"lamp": {"unit": "lamp.service", "state": "masked"}})
    planned = [(p["action"], p["name"], p["version"]) for p in ordainctl(ready, "plan")["packages"]]

    outcome = ordainctl(ready, "apply")

    assert planned == [
        ("install", "lamp", "1.0"),
        ("install", "oil", "1.5"),
        ("install", "wick", "1.0"),
        ("hold", "oil", ""),
    ]
    assert sorted((p["action"], p["name"]) for p in outcome["plan"]["packages"]) == [
        ("install", "lamp"),
        ("install", "oil"),
        ("install", "wick"),
    ]
    assert outcome["exit_status"] == 0
    assert installed(ready) == {"lamp": "1.0", "oil": "1.5", "wick": "1.0"}
    assert ready.run("apt-mark", "showhold").stdout.split() == ["oil"]
    assert not is_active(ready, "lamp.service")

    ready.run("apt-get", "install", "--yes", "tin")
    document(ready, packages={"tin": "absent"}, services={})
    outcome = ordainctl(ready, "apply")

    assert sorted((p["action"], p["name"]) for p in outcome["plan"]["packages"]) == [
        ("remove", "lamp"),
        ("remove", "oil"),
        ("unhold", "oil"),
    ]
    assert installed(ready) == {"wick": "1.0", "tin": "1.0"}
    assert conditions(ready)["packages/tin"][0] == "PackageKept"


@pytest.mark.one_debian
def test_packages_that_cannot_be_had_or_would_remove_others_are_refused_alone(ready: Machine) -> None:
    ready.run("apt-get", "update")
    ready.run("apt-get", "install", "--yes", "tin")
    document(ready, packages=["nosuch", "brass", "wick"], services={"web": {"command": ["/usr/bin/sleep", "infinity"]}})
    outcome = ordainctl(ready, "apply")

    assert installed(ready) == {"tin": "1.0", "wick": "1.0"}
    assert is_active(ready, "web.service")
    assert outcome["exit_status"] == 3
    found = conditions(ready)
    assert found["packages/nosuch"] == ("PackageFailed", "nosuch: it cannot be had: E: Unable to locate package nosuch")
    assert found["packages/brass"][0] == "PackageFailed"
    assert "would remove tin" in found["packages/brass"][1]

    document(ready, packages={"brass": {}, "tin": "absent", "wick": {}})
    assert ordainctl(ready, "apply")["exit_status"] == 0
    assert installed(ready) == {"brass": "1.0", "wick": "1.0"}


@pytest.mark.one_debian
def test_a_package_stays_that_others_need_and_is_reported(ready: Machine) -> None:
    document(ready, packages=["oil"])
    assert ordainctl(ready, "apply")["exit_status"] == 0
    ready.run("apt-get", "install", "--yes", "needs-oil")

    document(ready, services={"web": {"command": ["/usr/bin/sleep", "infinity"]}})
    outcome = ordainctl(ready, "apply")

    assert installed(ready) == {"oil": "2.0", "needs-oil": "1.0"}
    assert outcome["exit_status"] == 0
    kept = [row["what"] for row in ordainctl(ready, "status")["conditions"] if row["code"] == "PackageKept"]
    assert kept == ["oil: it stays, because needs-oil needs it"]
    ready.run("apt-get", "remove", "--yes", "needs-oil")
    ready.run("ordainctl", "apply")
    assert installed(ready) == {}


@pytest.mark.one_debian
def test_a_package_that_somebody_removed_is_reported_until_an_administrator_applies(ready: Machine) -> None:
    document(ready, packages=["oil"])
    ordainctl(ready, "apply")
    ready.run("apt-get", "remove", "--yes", "oil")

    assert conditions(ready)["packages/oil"][0] == "PackageChanged"
    ready.run("systemctl", "restart", "ordain-agent.service")
    ready.until("it was followed again", lambda: ordainctl(ready, "status")["state"] == "degraded")
    assert installed(ready) == {}

    assert ordainctl(ready, "apply")["exit_status"] == 0
    assert installed(ready) == {"oil": "2.0"}


@pytest.mark.one_debian
def test_a_failed_repository_blocks_the_package_and_nothing_else(ready: Machine) -> None:
    ready.run("mv", FOLDER, f"{FOLDER}.away")
    document(ready, packages=["oil"], services={"web": {"command": ["/usr/bin/sleep", "infinity"]}})
    outcome = ordainctl(ready, "apply")

    assert is_active(ready, "web.service")
    assert outcome["exit_status"] == 3
    code, what = conditions(ready)["packages/oil"]
    assert code == "PackageFailed"
    assert "the repositories cannot be read" in what

    ready.run("mv", f"{FOLDER}.away", FOLDER)
    assert ordainctl(ready, "apply")["exit_status"] == 0
    assert installed(ready) == {"oil": "2.0"}


@pytest.mark.one_debian
def test_the_lock_of_another_program_is_waited_for(ready: Machine) -> None:
    lock = (
        "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(8)"
    )
    ready.run("systemd-run", "--unit=other", "/usr/bin/python3", "-c", lock)
    document(ready, packages=["oil"])

    assert ordainctl(ready, "apply")["exit_status"] == 0
    assert installed(ready) == {"oil": "2.0"}
    assert not is_active(ready, "other.service")


@pytest.mark.one_debian
def test_an_installation_that_a_power_cut_interrupted_is_finished(ready: Machine) -> None:
    document(ready, packages=["slow"])
    ready.until("its script runs", lambda: is_slow(ready), timeout=60)
    assert record(ready)["began"] == ["slow"]
    ready.run("sync")
    ready.power_cut()
    ready.boot()
    ready.run("touch", "/run/fast")

    ready.until("it is installed", lambda: installed(ready) == {"slow": "1.0"}, timeout=120)
    ready.until("all is well", lambda: ordainctl(ready, "status")["state"] == "converged", timeout=60)
    assert record(ready)["installed"] == ["slow"]


def is_slow(machine: Machine) -> bool:
    return machine.run("pgrep", "-f", "slow.postinst", check=False).returncode == 0


@pytest.mark.one_debian
def test_an_agent_that_is_restarted_waits_for_the_installation_that_runs(ready: Machine) -> None:
    document(ready, packages=["slow"])
    ready.until("its script runs", lambda: is_slow(ready), timeout=60)
    ready.run("systemctl", "restart", "ordain-agent.service")
    assert is_slow(ready)
    ready.run("touch", "/run/fast")

    ready.until("all is well", lambda: ordainctl(ready, "status")["state"] == "converged", timeout=60)
    assert record(ready)["installed"] == ["slow"]


@pytest.mark.one_debian
def test_nothing_is_installed_before_the_boot_is_complete(machine: Machine) -> None:
    document(machine, packages=["oil"], services={"first": {"command": ["/usr/bin/sleep", "infinity"]}})
    waits = "/usr/bin/sh -c 'until test -e /run/go; do sleep 0.2; done'"
    hold = f"[Unit]\nAfter=ordain-agent.service\n[Service]\nType=oneshot\nExecStart={waits}\n"
    machine.write("/etc/systemd/system/holds-the-boot.service", f"{hold}[Install]\nWantedBy=multi-user.target\n")
    machine.path("/etc/systemd/system/multi-user.target.wants").mkdir(exist_ok=True)
    machine.path("/etc/systemd/system/multi-user.target.wants/holds-the-boot.service").symlink_to(
        "../holds-the-boot.service"
    )
    machine.boot(wait=False)
    machine.until("the agent runs", lambda: is_active(machine, "ordain-agent.service"), timeout=60)
    serve(machine, DEBS)
    machine.until(
        "it follows", lambda: conditions(machine).get("packages/oil", ("", ""))[0] == "PackagePending", timeout=60
    )
    ordainctl(machine, "apply")
    assert installed(machine) == {}

    machine.run("touch", "/run/go")

    machine.until("it is installed", lambda: installed(machine) == {"oil": "2.0"}, timeout=120)

"""Root file systems that are read-only, full, volatile, cloned, or have wrong dates, on booted machines."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.generator.cache import Cache, pack, unpack
from rig.machine import Machine
from rig.machine_agent import (
    DOCUMENTS,
    agent_status,
    environment,
    invocations,
    layer,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = pytest.mark.integration
BOOT = "/etc/ordain/boot"
BASELINE = "/usr/lib/ordain/boot/baseline"
WEB = "[Unit]\nDescription=Web\nIgnoreOnIsolate=yes\n[Service]\nType=exec\nExecStart=/bin/sleep infinity\n"
EARLY = """\
[Unit]
DefaultDependencies=no
Before=ordain-boot-attempt.service local-fs-pre.target
[Service]
Type=oneshot
ExecStart={command}
[Install]
WantedBy=sysinit.target
"""


def early(machine: Machine, command: str) -> None:
    """Run a shell command at boot before all units of Ordain."""
    machine.write("/etc/systemd/system/odd.service", EARLY.format(command=f"/bin/sh -c '{command}'"))
    machine.path("/etc/systemd/system/sysinit.target.wants").mkdir(exist_ok=True)
    machine.path("/etc/systemd/system/sysinit.target.wants/odd.service").symlink_to("../odd.service")


def codes(machine: Machine) -> set[str]:
    return {condition["code"] for condition in agent_status(machine)["conditions"]}


def record(machine: Machine) -> dict[str, str]:
    return dict(line.split("=", 1) for line in reversed(machine.read("/run/ordain/boot/choice").splitlines()))


def first_boot(machine: Machine) -> None:
    """Boot a root without a machine-id, and wait for PID 1 only.

    Presets enable a unit that waits two minutes for a network.
    """
    machine.boot(wait=False)
    machine.until("PID 1 listens", lambda: machine.path("/run/systemd/private").exists())


def no_failure(machine: Machine) -> None:
    """Assert that no unit of Ordain has failed and basic.target is reached."""
    assert "ordain" not in machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout
    assert machine.show("basic.target", "ActiveState")["ActiveState"] == "active"
    machine.until("no job of Ordain is left", lambda: "ordain" not in machine.run("systemctl", "list-jobs").stdout)


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """Return a machine that has followed its documents and is powered off."""
    write_layer(machine, web=sleep_service(), other=sleep_service())
    machine.boot()
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    machine.until("it is proven", lambda: machine.path(f"{BOOT}/current").exists())
    machine.power_cut()
    return machine


@pytest.mark.one_debian
@pytest.mark.parametrize(("directory", "code"), [("/etc", "NotPersistent"), ("/var", "NotInHistory")])
def test_a_change_on_a_read_only_file_system_takes_effect_for_this_boot_and_is_reported(
    followed: Machine, directory: str, code: str
) -> None:
    early(followed, f"mount --bind {directory} {directory} && mount -o remount,ro,bind {directory}")

    followed.boot()
    wait_active(followed, "web.service", "other.service")
    wait_agent_state(followed, "converged")
    before = invocations(followed, "other.service")
    followed.write("/run/web.yaml", layer(web=sleep_service("2"), other=sleep_service()))
    followed.run("ordainctl", "apply", "/run/web.yaml", check=False)

    assert "WORD=2" in environment(followed)
    assert code in codes(followed)
    assert invocations(followed, "other.service") == before
    no_failure(followed)


@pytest.mark.one_debian
def test_a_full_disk_stops_no_service_and_is_reported(followed: Machine) -> None:
    """Both state directories are on small file systems, which the test fills."""
    for directory in (BOOT, "/var/lib/ordain"):
        early_mount = f"cp -a {directory} /run/kept && mount -t tmpfs -o size=256k,mode=755 none {directory}"
        followed.write(
            f"/usr/bin/mount{directory.replace('/', '-')}",
            f"#!/bin/sh\n{early_mount} && cp -a /run/kept/. {directory} && rm -r /run/kept\n",
            mode=0o755,
        )
    early(followed, f"mount{BOOT.replace('/', '-')} && mount-var-lib-ordain")
    followed.boot()
    wait_active(followed, "web.service", "other.service")
    wait_agent_state(followed, "converged")
    before = invocations(followed, "other.service")
    for directory in (BOOT, "/var/lib/ordain"):
        followed.run("dd", "if=/dev/zero", f"of={directory}/.filler", "bs=512", check=False)
    old = followed.path(f"{BOOT}/current").read_bytes()

    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))
    followed.until("it is reported", lambda: "NotPersistent" in codes(followed))
    assert followed.path(f"{BOOT}/current").read_bytes() == old
    assert not list(followed.path(BOOT).glob(".*.new"))
    assert invocations(followed, "other.service") == before
    no_failure(followed)
    assert "NotInHistory" in codes(followed)
    assert {unit["unit"] for unit in agent_status(followed)["units"]} == {"web.service", "other.service"}
    followed.run("systemctl", "restart", "ordain-agent")
    followed.until("it is still reported", lambda: "NotPersistent" in codes(followed))
    followed.run("systemctl", "stop", "other.service")
    followed.until("drift is seen", lambda: agent_status(followed)["drift"] == ["other.service"])
    followed.run("systemctl", "start", "other.service")
    before = invocations(followed, "other.service")

    # Without room for its previous state, no file is touched, and the documents are not rejected for it.
    document = layer(web=sleep_service("2"), other=sleep_service()) + "files: {/etc/motd: {content: new}}\n"
    followed.write(f"{DOCUMENTS}/base.yaml", document)
    followed.until("it is told", lambda: "NoRoom" in codes(followed))
    assert "free some space" in followed.run("ordainctl", "apply", check=False).stderr

    for directory in (BOOT, "/var/lib/ordain"):
        followed.path(f"{directory}/.filler").unlink()
    followed.until("the file is placed", lambda: followed.read("/etc/motd") == "new", timeout=60)
    wait_agent_state(followed, "converged")
    followed.until("all is stored", lambda: not {"NotPersistent", "NotInHistory"} & codes(followed))
    assert followed.path(f"{BOOT}/current").read_bytes() != old
    assert "in force" in followed.run("ordainctl", "history").stdout
    assert invocations(followed, "other.service") == before
    old = followed.path(f"{BOOT}/current").read_bytes()
    write_layer(followed, web=sleep_service("3"), other=sleep_service())
    followed.until("the change is stored", lambda: followed.path(f"{BOOT}/current").read_bytes() != old)
    followed.until("the condition is cleared", lambda: "NotPersistent" not in codes(followed))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.one_debian
def test_services_run_with_anything_in_place_of_the_boot_cache(
    followed: Machine, make: Callable[[Path], object]
) -> None:
    current = followed.path(f"{BOOT}/current")
    current.unlink()
    make(current)

    followed.boot()
    wait_active(followed, "web.service", "other.service")
    wait_agent_state(followed, "converged")
    followed.until("the cache is a file again", lambda: current.is_file() and not current.is_symlink())


@pytest.mark.one_debian
def test_an_apply_replaces_anything_in_place_of_the_journal(followed: Machine) -> None:
    followed.boot()
    wait_active(followed, "web.service", "other.service")
    wait_agent_state(followed, "converged")

    for number, make in enumerate(("mkdir", "mkfifo", "touch"), 2):
        followed.run(make, "/run/ordain/journal")
        write_layer(followed, web=sleep_service(str(number)), other=sleep_service())
        followed.run("ordainctl", "apply")
        assert f"WORD={number}" in environment(followed)
        assert not followed.path("/run/ordain/journal").exists()
    no_failure(followed)


def test_a_clone_and_a_machine_without_an_id_start_from_their_documents(followed: Machine) -> None:
    """The cache of another machine is not placed; the documents are compiled before PID 1 loads the first unit."""
    followed.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")

    followed.boot()
    wait_active(followed, "web.service", "other.service")
    assert record(followed)["from"] == "handed"
    assert "ForeignCache" in followed.read("/run/ordain/boot/why")
    followed.until(
        "the cache is for this machine", lambda: machine_id(followed) == followed.read("/etc/machine-id").strip()
    )

    followed.power_cut()
    followed.path("/etc/machine-id").unlink()
    first_boot(followed)
    wait_active(followed, "web.service", "other.service")
    followed.until(
        "the cache is for this machine", lambda: machine_id(followed) == followed.read("/etc/machine-id").strip()
    )
    no_failure(followed)


def machine_id(machine: Machine) -> str:
    return unpack(machine.path(f"{BOOT}/current").read_bytes()).machine_id


@pytest.mark.one_debian
def test_a_lost_history_and_wrong_dates_restart_nothing(followed: Machine) -> None:
    """/var/lib/ordain is an empty mount at every boot; files are dated in the future and in 1970."""
    early(followed, "mount -t tmpfs -o mode=755 none /var/lib/ordain")
    for folder, date in ((BOOT, 4_000_000_000), (DOCUMENTS, 0)):
        for path in followed.path(folder).iterdir():
            os.utime(path, (date, date))

    followed.boot()
    wait_active(followed, "web.service", "other.service")
    before = invocations(followed, "web.service", "other.service")
    wait_agent_state(followed, "converged")

    assert record(followed)["from"] == "current"
    assert invocations(followed, "web.service", "other.service") == before
    assert {unit["unit"] for unit in agent_status(followed)["units"]} == {"web.service", "other.service"}
    assert "in force" in followed.run("ordainctl", "history").stdout
    write_layer(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))
    no_failure(followed)


@pytest.mark.parametrize("volatile", ["yes", "state", "overlay"])
def test_a_volatile_root_boots_its_baseline_every_time(machine: Machine, volatile: str) -> None:
    """systemd.volatile= as systemd-nspawn does it: / or /var is a tmpfs, or an overlay on a tmpfs takes all writes."""
    link = b"../web.service"
    entries = [
        ("normal/web.service", 0o644, WEB.encode(), None),
        ("normal/ordain-services.target.wants/web.service", 0o777, None, link),
    ]
    machine.write(BASELINE, pack(Cache(number=0, hash="baseline", entries=entries)))
    machine.options = (f"--volatile={volatile}",)

    for _ in range(2):
        first_boot(machine)
        wait_active(machine, "web.service")
        machine.until(
            "the agent answers",
            lambda: machine.run("busctl", "status", "org.ordain.Agent1", check=False).returncode == 0,
        )
        assert record(machine)["from"] == "baseline"
        assert "note" not in record(machine)
        no_failure(machine)
        machine.power_cut()

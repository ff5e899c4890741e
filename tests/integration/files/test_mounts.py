"""Mounts of the documents on a running machine: changed in the mildest way, with the services that use them."""

from __future__ import annotations

import pytest

from rig.machine import Machine

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
SERVICE = """\
services:
  job: {command: [/usr/bin/sleep, infinity], working-directory: /srv/a}
"""


def apply(machine: Machine, text: str) -> str:
    machine.run("ordainctl", "pause")
    machine.write(DOCUMENT, HEAD + text)
    done = machine.run("ordainctl", "apply", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def source(machine: Machine, path: str) -> tuple[str, set[str]]:
    """Return the source and the options of the topmost mount at ``path``."""
    line = machine.run("findmnt", "--noheadings", "--output=SOURCE,OPTIONS", path).stdout.splitlines()[-1]
    what, options = line.split()
    return what, set(options.split(","))


def test_options_source_and_automount_change_live(machine: Machine) -> None:
    machine.boot()
    apply(machine, "mounts: {/srv/a: {what: one, type: tmpfs, options: {size: 1M}}}\n")
    machine.write("/srv/a/kept", "here\n")

    apply(machine, "mounts: {/srv/a: {what: one, type: tmpfs, options: {size: 2M}}}\n")

    assert "size=2048k" in source(machine, "/srv/a")[1]
    assert machine.read("/srv/a/kept") == "here\n", "it was mounted all the time"

    apply(machine, "mounts: {/srv/a: {what: two, type: tmpfs, options: {size: 2M}}}\n")

    assert source(machine, "/srv/a")[0] == "two"
    assert not machine.path("/srv/a/kept").exists()

    if machine.path("/dev/autofs").exists():
        apply(machine, "mounts: {/srv/a: {what: two, type: tmpfs, options: {size: 2M}, automount: true}}\n")
        assert machine.show("srv-a.automount", "ActiveState")["ActiveState"] == "active"
        machine.run("ls", "/srv/a/.")
        assert source(machine, "/srv/a")[0] == "two"
        apply(machine, "mounts: {/srv/a: {what: two, type: tmpfs, options: {size: 2M}}}\n")
        assert source(machine, "/srv/a")[0] == "two"
        assert machine.show("srv-a.automount", "ActiveState")["ActiveState"] == "inactive"

    apply(machine, "services: {}\n")

    assert machine.run("mountpoint", "/srv/a", check=False).returncode != 0


def test_an_automount_that_the_system_cannot_have_blocks_its_mount_and_the_rest_goes_on(machine: Machine) -> None:
    if machine.path("/dev/autofs").exists():
        pytest.skip("this system can have automounts")
    machine.boot()
    machine.run("ordainctl", "pause")
    mounts = "mounts: {/srv/a: {what: one, type: tmpfs, automount: true}, /srv/b: {what: two, type: tmpfs}}\n"
    machine.write(DOCUMENT, f"{HEAD}{mounts}services: {{web: {{command: [/usr/bin/sleep, infinity]}}}}\n")

    done = machine.run("ordainctl", "apply", check=False)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "[UnsupportedType]" in done.stdout + done.stderr
    assert machine.show("web.service", "ActiveState")["ActiveState"] == "active"
    assert source(machine, "/srv/b")[0] == "two"
    assert machine.show("srv-a.automount", "LoadState")["LoadState"] == "not-found"


def test_a_service_on_a_mount_stops_and_starts_with_it(machine: Machine) -> None:
    machine.boot()
    apply(machine, f"mounts: {{/srv/a: {{what: one, type: tmpfs}}}}\n{SERVICE}")
    before = machine.show("job.service", "InvocationID")

    output = apply(machine, f"mounts: {{/srv/a: {{what: two, type: tmpfs}}}}\n{SERVICE}")

    assert "is stopped together with srv-a.mount" in output
    assert source(machine, "/srv/a")[0] == "two"
    assert machine.show("job.service", "ActiveState")["ActiveState"] == "active"
    assert machine.show("job.service", "InvocationID") != before

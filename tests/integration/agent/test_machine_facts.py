"""Facts of the hardware and of the site, and files about other machines, on a booted machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

DOCUMENTS = "/etc/ordain/documents"
PROGRAMS = "/etc/ordain/facts.d"
RACK = """\
ordain: v1
kind: Layer
name: rack
match: {facts.site-rack: r12, cpus: ">=1", memory: ">1M", kernel: ">=3"}
files:
  /etc/rack: {template: "{{ facts.site_rack }} {{ facts.site_user }}\\n"}
  /etc/hung: {template: "{{ facts.hang }}\\n"}
---
ordain: v1
kind: Layer
name: other-rack
match: {facts.site-rack: r13}
files: {/etc/other: {content: other}}
"""
CLUSTER = """\
ordain: v1
kind: Layer
name: cluster
services:
  reader: {command: [/usr/bin/sleep, infinity], uses: [/etc/cluster]}
  other: {command: [/usr/bin/sleep, infinity]}
files:
  /etc/cluster: {template: "{% for m in machines(role='web') %}{{ m.address }} {{ m.name }}\\n{% endfor %}"}
"""
NODES = """\
ordain: v1
kind: Node
name: web1
labels: {role: web}
values: {address: 10.0.0.1, rack: 1}
---
ordain: v1
kind: Node
name: db1
labels: {role: db}
values: {address: 10.0.0.2}
"""


def status(machine: Machine) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(machine.run("ordainctl", "status", "--json", check=False).stdout)
    return data


def failed(machine: Machine) -> dict[str, str]:
    return {c["item"]: c["what"] for c in status(machine)["conditions"] if c["code"] == "FactFailed"}


def test_a_program_of_the_site_that_fails_costs_its_own_fact(machine: Machine) -> None:
    machine.write(f"{PROGRAMS}/site", '#!/bin/sh\necho rack=r12\nprintf "user=%s\\n" "$(id -u)"\n', mode=0o755)
    machine.write(f"{PROGRAMS}/hang", "#!/bin/sh\ntrap '' TERM\necho begun >&2\nsleep 1000\n", mode=0o755)
    machine.write(f"{PROGRAMS}/huge", "#!/bin/sh\nexec yes\n", mode=0o755)
    machine.write(f"{PROGRAMS}/open", "#!/bin/sh\ntouch /run/was-run\n", mode=0o777)
    machine.write(f"{DOCUMENTS}/rack.yaml", RACK)
    machine.boot()

    machine.until("the facts are applied", lambda: machine.path("/etc/rack").exists(), timeout=60)
    rack, user = machine.path("/etc/rack").read_text().split()
    faults = machine.until("the faults are known", lambda: failed(machine), timeout=30)

    assert (rack, user != "0") == ("r12", True)
    assert faults.keys() == {"facts.hang", "facts.huge", "facts.open"}
    assert "did not end within 10 s: begun" in faults["facts.hang"]
    assert "more than 64 KiB" in faults["facts.huge"]
    assert "who could decide for root" in faults["facts.open"]
    assert not machine.path("/run/was-run").exists()
    assert not machine.path("/etc/other").exists()
    blocked = {c["item"] for c in status(machine)["conditions"] if c["code"] == "Template"}
    assert blocked == {"files/~1etc~1hung"}
    assert machine.path("/var/lib/ordain/facts.json").stat().st_mode & 0o077 == 0

    machine.write(f"{PROGRAMS}/site", "#!/bin/sh\necho no rack >&2\nexit 1\n", mode=0o755)
    machine.until("the new fault is known", lambda: "facts.site" in failed(machine), timeout=90)
    assert machine.path("/etc/rack").read_text().startswith("r12"), "the last value stays"

    machine.write(f"{PROGRAMS}/site", "#!/bin/sh\necho rack=r13\n", mode=0o755)
    machine.until("the other layer is applied", lambda: machine.path("/etc/other").exists(), timeout=90)


def test_a_node_that_changes_reloads_only_the_reader_of_its_file(machine: Machine) -> None:
    machine.write(f"{DOCUMENTS}/cluster.yaml", CLUSTER)
    machine.write(f"{DOCUMENTS}/nodes.yaml", NODES)
    machine.boot()
    path = machine.path("/etc/cluster")
    machine.until("the file is placed", path.exists, timeout=60)
    machine.run("ordainctl", "apply", check=False)
    assert path.read_text() == "10.0.0.1 web1\n"

    def started(unit: str) -> str:
        return machine.show(unit, "InvocationID")["InvocationID"]

    reader, other = started("reader.service"), started("other.service")
    machine.write(f"{DOCUMENTS}/nodes.yaml", NODES.replace("rack: 1", "rack: 2").replace("10.0.0.2", "10.0.0.3"))
    machine.run("ordainctl", "apply", check=False)
    assert (started("reader.service"), started("other.service")) == (reader, other)

    machine.write(f"{DOCUMENTS}/nodes.yaml", NODES.replace("10.0.0.1", "10.0.0.9"))
    machine.until("the file has the new address", lambda: path.read_text() == "10.0.0.9 web1\n", timeout=60)
    machine.until("its reader runs anew", lambda: started("reader.service") not in ("", reader), timeout=30)

    assert started("other.service") == other

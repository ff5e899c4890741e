"""The values of the machine beside those of the documents."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ordain.agent.apply.differences.actual_values import AS_WANTED, NOT_READ, as_text, read_back_values, unit_values
from ordain.agent.apply.differences.difference import Difference
from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation
from ordain.agent.plan.explain import ExplainedFile, ExplainedLine, Explanation
from ordain.agent.system.dbus.bus import BusError
from support.network.network_compile import generation_of

GENERATION = Generation(document={"sysctl": {"vm.swappiness": "10", "vm.dirty_ratio": "5"}})


def difference(pointer: str, actual: str) -> Difference:
    return Difference(condition=StatusCondition(code="X", what="x"), pointer=pointer, actual=actual)


def test_a_value_that_differs_is_that_of_the_machine() -> None:
    found = [difference("sysctl/vm.swappiness", "60"), difference("groups/web", "missing")]
    pointers = [
        "sysctl/vm.swappiness",
        "sysctl/vm.dirty_ratio",
        "groups/web/gid",
        "files/~1etc~1motd/content",
        "host/x",
    ]

    values, differs = read_back_values(pointers, GENERATION, found)

    assert values == {
        "sysctl/vm.swappiness": "60",
        "sysctl/vm.dirty_ratio": "5",
        "groups/web/gid": "missing",
        "files/~1etc~1motd/content": AS_WANTED,
        "host/x": NOT_READ,
    }
    assert differs == ("sysctl/vm.swappiness", "groups/web/gid")


def test_a_value_of_a_network_device_is_as_wanted_if_it_was_read() -> None:
    device = {"addresses": ["192.0.2.1/24"], "optional": True, "ipv6-privacy": True}
    generation = generation_of({"ethernets": {"eth0": device, "eth1": {**device, "activation-mode": "manual"}}})
    pointers = [f"network/ethernets/{name}/{key}" for name in ("eth0", "eth1") for key in device]

    values, differs = read_back_values(pointers, generation, [])

    assert (values, differs) == (
        {
            "network/ethernets/eth0/addresses": AS_WANTED,
            "network/ethernets/eth0/ipv6-privacy": NOT_READ,
            "network/ethernets/eth1/addresses": NOT_READ,
            "network/ethernets/eth1/ipv6-privacy": NOT_READ,
        },
        (),
    )


def test_parameters_of_the_kernel_are_read_and_keys_of_wireguard_are_not() -> None:
    key = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
    network = {
        "ethernets": {"eth0": {}},
        "vlans": {"v5": {"id": 5, "link": "eth0"}},
        "tunnels": {"wg0": {"mode": "wireguard", "key": key, "port": 5182}},
    }
    pointers = ["network/vlans/v5/id", "network/vlans/v5/link", "network/tunnels/wg0/key", "network/tunnels/wg0/port"]

    values, _ = read_back_values(pointers, generation_of(network), [])

    assert list(values.values()) == [AS_WANTED, AS_WANTED, NOT_READ, NOT_READ]


def test_a_directive_has_the_value_of_pid_1() -> None:
    class Pid1:
        async def property(self, unit: str, name: str) -> Any:
            known = {("web.service", "MemoryMax"): 2**26, ("web.service", "RestartUSec"): 5_000_000}
            if (unit, name) not in known:
                raise BusError("org.freedesktop.DBus.Error.UnknownProperty", name)
            return known[unit, name]

    lines = (
        ExplainedLine(text="Description=web", section="Unit", pointer="services/web/description"),
        ExplainedLine(text="MemoryMax=64M", section="Service", pointer="services/web/limits/memory"),
        ExplainedLine(text="RestartSec=5", section="Service", pointer="services/web/restart/delay"),
        ExplainedLine(text="X=1", section="Service", pointer="services/web/x"),
        ExplainedLine(text="Type=exec", section="Service", why="a default"),
    )
    files = (
        ExplainedFile(path="normal/web.service", lines=lines[:2]),
        ExplainedFile(path="normal/web.service.d/00-ordain.conf", lines=lines[2:]),
        ExplainedFile(path="/etc/motd", lines=lines),
    )
    explained = Explanation(about="web.service", generation=1, files=files)

    assert asyncio.run(unit_values(cast(Any, Pid1()), explained)) == {
        "services/web/limits/memory": "67108864",
        "services/web/restart/delay": "5s",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([("/bin/a", ["/bin/a", "b c"], False, 0, 0, 0, 0, 0, 0, 0)], "/bin/a b c"),
        ([("Stream", "[::]:80")], "Stream [::]:80"),
        ([], ""),
        ("strict", "strict"),
        (0, "0"),
        ({"a": 1}, ""),
    ],
)
def test_properties_are_written_as_systemd_writes_them(value: object, text: str) -> None:
    assert as_text(value) == text

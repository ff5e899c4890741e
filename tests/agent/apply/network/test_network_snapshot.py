"""The network before a repair comes back, and only what has changed is touched."""

from __future__ import annotations

import json
from dataclasses import replace

from ordain.agent.apply.network.network_snapshot import NetworkSnapshot, commands, take
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system.netlink import KernelAddress, KernelLink, KernelNetwork, KernelRoute, KernelRule

ETH0 = KernelLink(index=2, name="eth0", up=True, carrier=True, mtu=1500)
BR0 = KernelLink(index=3, name="br0", up=True, carrier=True, mtu=1500)
OTHER = KernelLink(index=4, name="other", up=True, carrier=True, mtu=1500)
HAND = KernelAddress(index=2, address="10.5.0.1/24", local=False)
LEASE = KernelAddress(index=2, address="10.5.0.7/24", local=False, valid_sec=3600)
DEFAULT = KernelRoute(to="0.0.0.0/0", via="10.5.0.254", index=2, table=254, metric=0, type=1)
OF_ADDRESS = KernelRoute(to="10.5.0.0/24", via="", index=2, table=254, metric=0, type=1, by_kernel=True)
HOLE = KernelRoute(to="2001:db8::/32", via="", index=0, table=254, metric=1024, type=6)
RULE = KernelRule(version=4, table=7, priority=9, source="10.5.0.0/24")
BEFORE = KernelNetwork(links=(ETH0, OTHER), addresses=(HAND, LEASE), routes=(DEFAULT, OF_ADDRESS, HOLE), rules=(RULE,))
NAMES = {"eth0", "br0"}


def back(now: KernelNetwork) -> list[str]:
    """Return the commands that lead from ``now`` to `BEFORE`, through a snapshot that was written and read."""
    snapshot = from_json(NetworkSnapshot, json.loads(json.dumps(to_json(take(BEFORE, NAMES)))))
    return [" ".join(command) for command in commands(snapshot, now)]


def test_an_unchanged_network_needs_no_command() -> None:
    assert back(BEFORE) == []


def test_an_older_lease_does_not_count_as_a_change() -> None:
    assert back(replace(BEFORE, addresses=(HAND, replace(LEASE, valid_sec=1)))) == []


def test_everything_that_a_repair_did_is_undone() -> None:
    repaired = KernelAddress(index=2, address="192.0.2.1/24", local=False)
    now = KernelNetwork(
        links=(replace(ETH0, master=3, up=False), BR0, OTHER),
        addresses=(repaired,),
        routes=(replace(DEFAULT, via="192.0.2.254", metric=5),),
        rules=(replace(RULE, version=6, source="2001:db8::/32"),),
    )

    assert back(now) == [
        "-ip link delete dev br0",
        "-ip link set dev eth0 nomaster",
        "-ip link set dev eth0 up",
        "-ip address replace 10.5.0.1/24 dev eth0",
        "-ip address replace 10.5.0.7/24 dev eth0 valid_lft 3600 preferred_lft 3600",
        "-ip address delete 192.0.2.1/24 dev eth0",
        "-ip route replace 0.0.0.0/0 via 10.5.0.254 dev eth0 table 254 metric 0",
        "-ip -6 route replace blackhole 2001:db8::/32 table 254 metric 1024",
        "-ip route delete 0.0.0.0/0 via 192.0.2.254 dev eth0 table 254 metric 5",
        "-ip rule add from 10.5.0.0/24 table 7 priority 9",
        "-ip -6 rule delete from 2001:db8::/32 table 7 priority 9",
    ]


def test_other_interfaces_are_left_alone() -> None:
    more = KernelAddress(index=4, address="203.0.113.1/24", local=False)

    assert back(replace(BEFORE, links=(ETH0, replace(OTHER, up=False)), addresses=(HAND, LEASE, more))) == []

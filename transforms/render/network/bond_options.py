"""Options of bonds as the kernel, NetworkManager and ip(8) name them (Documentation/networking/bonding.rst)."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.network.value_text import Parameters, milliseconds, one_zero, seconds

BOND: Parameters = {
    "mode": ("mode", one_zero),
    "lacp-rate": ("lacp_rate", one_zero),
    "mii-monitor-interval": ("miimon", milliseconds),
    "min-links": ("min_links", one_zero),
    "transmit-hash-policy": ("xmit_hash_policy", one_zero),
    "ad-select": ("ad_select", one_zero),
    "all-members-active": ("all_slaves_active", one_zero),
    "all-slaves-active": ("all_slaves_active", one_zero),
    "arp-interval": ("arp_interval", milliseconds),
    "arp-ip-targets": ("arp_ip_target", one_zero),
    "arp-validate": ("arp_validate", one_zero),
    "arp-all-targets": ("arp_all_targets", one_zero),
    "up-delay": ("updelay", milliseconds),
    "down-delay": ("downdelay", milliseconds),
    "fail-over-mac-policy": ("fail_over_mac", one_zero),
    "gratuitous-arp": ("num_grat_arp", one_zero),
    "packets-per-member": ("packets_per_slave", one_zero),
    "packets-per-slave": ("packets_per_slave", one_zero),
    "primary-reselect-policy": ("primary_reselect", one_zero),
    "resend-igmp": ("resend_igmp", one_zero),
    "learn-packet-interval": ("lp_interval", seconds),
}


def bond_options(parameters: Branch) -> Iterator[tuple[str, str, Leaf]]:
    """Yield name, value and cause of the options of a bond, without ``primary``."""
    for key, (name, to_text) in BOND.items():
        if leaf := parameters.leaf(key):
            yield name, to_text(leaf.value), leaf

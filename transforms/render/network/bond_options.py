"""Options of bonds as the kernel, NetworkManager and ip(8) name them (Documentation/networking/bonding.rst).

The kernel refuses some options in some modes, and so do NetworkManager and ip(8); networkd ignores them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
    "arp-interval": ("arp_interval", milliseconds),
    "arp-ip-targets": ("arp_ip_target", one_zero),
    "arp-validate": ("arp_validate", one_zero),
    "arp-all-targets": ("arp_all_targets", one_zero),
    "up-delay": ("updelay", milliseconds),
    "down-delay": ("downdelay", milliseconds),
    "fail-over-mac-policy": ("fail_over_mac", one_zero),
    "gratuitous-arp": ("num_grat_arp", one_zero),
    "packets-per-member": ("packets_per_slave", one_zero),
    "primary-reselect-policy": ("primary_reselect", one_zero),
    "resend-igmp": ("resend_igmp", one_zero),
    "learn-packet-interval": ("lp_interval", seconds),
}

DEFAULT_MODE = "balance-rr"
WITHOUT_ARP = frozenset({"802.3ad", "balance-tlb", "balance-alb"})
"""The modes that cannot check a link by ARP."""
ALL_MODES = WITHOUT_ARP | {"balance-rr", "active-backup", "balance-xor", "broadcast"}
MODES: Mapping[str, frozenset[str]] = {
    "arp-interval": ALL_MODES - WITHOUT_ARP,
    "arp-validate": ALL_MODES - WITHOUT_ARP,
    "lacp-rate": frozenset({"802.3ad"}),
    "packets-per-member": frozenset({"balance-rr"}),
    "primary": frozenset({"active-backup", "balance-tlb", "balance-alb"}),
}
"""The modes that have an option, for options that not every mode has (the kernel's bond_options.c, unsuppmodes)."""
NEEDS = (
    ("arp-interval", "arp-ip-targets"),
    ("arp-ip-targets", "arp-interval"),
    ("up-delay", "mii-monitor-interval"),
    ("down-delay", "mii-monitor-interval"),
)
"""Options without an effect, each with the option that it needs."""


def unused_options(parameters: Branch) -> Iterator[tuple[Leaf, str, str]]:
    """Yield the leaf of each option that has no effect in the bond, with the reason and a hint."""
    mode = str(parameters.value("mode") or DEFAULT_MODE)
    for key, modes in MODES.items():
        if (leaf := parameters.leaf(key)) and mode not in modes:
            hint = f"remove it, or set mode to {' or '.join(sorted(modes))}"
            yield leaf, f"a bond of mode {mode} has no {key}", hint
    for key, other in NEEDS:
        if (leaf := parameters.leaf(key)) and not parameters.leaf(other):
            yield leaf, f"{key} has no effect without {other}", f"set {other}, or remove {key}"


def bond_options(parameters: Branch) -> Iterator[tuple[str, str, Leaf]]:
    """Yield name, value and cause of the options of a bond, without ``primary``."""
    for key, (name, to_text) in BOND.items():
        if leaf := parameters.leaf(key):
            yield name, to_text(leaf.value), leaf

"""Options of bonds as the kernel, NetworkManager and ip(8) name them (Documentation/networking/bonding.rst).

The kernel refuses some options in some modes, and so do NetworkManager and ip(8); networkd ignores them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

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


IGNORED_BY_NETWORKD: Mapping[str, Callable[[str, Mapping[str, object]], bool]] = {
    "ad-select": lambda mode, _: mode == "802.3ad",
    "fail-over-mac-policy": lambda mode, _: mode == "active-backup",
    "learn-packet-interval": lambda _, parameters: "arp-interval" in parameters,
}
"""Options that networkd passes on to the kernel only if this holds (src/network/netdev/bond.c)."""


def unused_options(parameters: Branch, *, by_networkd: bool = False) -> Iterator[tuple[Leaf, str, str]]:
    """Yield the leaf of each option that has no effect in the bond, with the reason and a hint."""
    values = {key: leaf.value for key, leaf in parameters.leaves()}
    for key, what, hint in unused_keys(values, by_networkd=by_networkd):
        if leaf := parameters.leaf(key):
            yield leaf, what, hint


def unused_keys(parameters: Mapping[str, object], *, by_networkd: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield the options that have no effect in a bond with ``parameters``, each with the reason and a hint."""
    mode = str(parameters.get("mode") or DEFAULT_MODE)
    for key, modes in MODES.items():
        if key in parameters and mode not in modes:
            yield key, f"a bond of mode {mode} has no {key}", f"remove it, or set mode to {' or '.join(sorted(modes))}"
    for key, other in NEEDS:
        if key in parameters and other not in parameters:
            yield key, f"{key} has no effect without {other}", f"set {other}, or remove {key}"
    for key, needed in IGNORED_BY_NETWORKD.items() if by_networkd else ():
        if key in parameters and not needed(mode, parameters):
            what = f"networkd does not pass {key} on to a bond of mode {mode}"
            yield key, what, "remove it, or set renderer: NetworkManager"


def unmonitored(parameters: Branch, *, by_default: bool = False) -> tuple[Leaf, str, str] | None:
    """Return the mode of a bond that never fails over, since nothing checks its links, with the reason and a hint.

    The kernel checks them by itself in `WITHOUT_ARP` only (bond_option_mode_set()). ``by_default``: the program that
    makes the bond does so in every mode, unless the interval is 0.
    """
    mode, interval = parameters.leaf("mode"), parameters.leaf("mii-monitor-interval")
    if mode is None or mode.value != "active-backup" or parameters.leaf("arp-interval"):
        return None
    if milliseconds(interval.value) != "0" if interval else by_default:
        return None
    what = "nothing checks the links of the bond, so that it never changes to another port"
    return mode, what, "set mii-monitor-interval, such as 100ms, or arp-interval"


def bond_options(parameters: Branch) -> Iterator[tuple[str, str, Leaf]]:
    """Yield name, value and cause of the options of a bond, without ``primary``."""
    for key, (name, to_text) in BOND.items():
        if leaf := parameters.leaf(key):
            yield name, to_text(leaf.value), leaf

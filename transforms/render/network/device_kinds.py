"""The kinds of network devices in the words of the kernel; the agent reads them too, and no renderer with them."""

from __future__ import annotations

KIND = {
    "bonds": "bond",
    "bridges": "bridge",
    "vlans": "vlan",
    "vrfs": "vrf",
    "dummy-devices": "dummy",
    "virtual-ethernets": "veth",
    "infiniband-partitions": "ipoib",
}
"""The kind of the kernel for each key of the section that makes devices, without the tunnels, which have a mode."""

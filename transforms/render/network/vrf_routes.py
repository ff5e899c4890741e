"""The routes of a VRF by a gateway are given to the member that the gateway is at.

Told at the VRF, systemd-networkd makes such a route one on the VRF's own device ("Gateway= without static address
configured. Enabling GatewayOnLink="), and what is sent there never leaves the machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from ordain.transforms.render.network.devices import Device, Route, problem


def led(devices: Sequence[Device]) -> tuple[Device, ...]:
    """``devices``, each with the routes that are to be made at it."""
    return tuple(_led(device, devices) for device in devices)


def _led(device: Device, devices: Sequence[Device]) -> Device:
    own: list[Route] = []
    for route in device.routes:
        if device.kind != "vrfs" or not route.via:
            own.append(route)
        elif _way(route, device, devices) is None:
            what = f"no member of {device.name} has an address that reaches {route.via}"
            found = problem(device, route.leaf, what, "write the route at the member where the gateway is")
            device = replace(device, problems=(*device.problems, found))
    vrf = next((other for other in devices if device.vrf and other.name == device.vrf.name), None)
    given = [route for route in vrf.routes if route.via and _way(route, vrf, devices) is device] if vrf else []
    return replace(device, routes=(*own, *given))


def _way(route: Route, vrf: Device, devices: Sequence[Device]) -> Device | None:
    """The member of ``vrf`` with the gateway of ``route``: one whose addresses say so, or the only one."""
    members = [device for device in devices if device.vrf and device.vrf.name == vrf.name]
    if len(members) == 1:
        return members[0]  # whose address may be a DHCP server's to say
    return next((member for member in members if _reaches(member, route.via)), None)


def _reaches(device: Device, host: str) -> bool:
    networks = (ipaddress.ip_interface(address.address).network for address in device.addresses)
    return any(ipaddress.ip_address(host) in network for network in networks)

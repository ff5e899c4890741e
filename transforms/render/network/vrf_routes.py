"""The routes of a VRF through a gateway, assigned to the member that reaches the gateway.

If such a route were in the file of the VRF, systemd-networkd would make it a route on the VRF's own device ("Gateway=
without static address configured. Enabling GatewayOnLink="), and its packets would never leave the machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from ordain.transforms.render.network.devices import Device, Route, problem


def assign_routes(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return ``devices``, each with the routes that are to be in its own file."""
    return tuple(_with_routes(device, devices) for device in devices)


def _with_routes(device: Device, devices: Sequence[Device]) -> Device:
    own: list[Route] = []
    for route in device.routes:
        if device.kind != "vrfs" or not route.via:
            own.append(route)
        elif member_for(route, device, devices) is None:
            what = f"no member of {device.name} has an address that reaches {route.via}"
            unreachable = problem(device, route.leaf, what, "move the route to the member that reaches the gateway")
            device = replace(device, problems=(*device.problems, unreachable))
    vrf = next((other for other in devices if device.vrf and other.name == device.vrf.name), None)
    assigned = [route for route in vrf.routes if route.via and member_for(route, vrf, devices) is device] if vrf else []
    return replace(device, routes=(*own, *assigned))


def member_for(route: Route, vrf: Device, devices: Sequence[Device]) -> Device | None:
    """Return the member of ``vrf`` with an address in the network of the gateway, or the only member."""
    members = [device for device in devices if device.vrf and device.vrf.name == vrf.name]
    if len(members) == 1:
        return members[0]  # a DHCP server may give it its address
    return next((member for member in members if _reaches(member, route.via)), None)


def _reaches(device: Device, host: str) -> bool:
    networks = (ipaddress.ip_interface(address.address).network for address in device.addresses)
    return any(ipaddress.ip_address(host) in network for network in networks)

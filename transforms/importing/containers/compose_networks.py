"""The networks of one service of a compose file as options of ``docker run``.

An option such as --network-alias only concerns the first network, so that each of the others has a value of --network
with its own names and addresses (``name=N,alias=A,ip=…``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

IFNAME = "com.docker.network.endpoint.ifname"
"""The option of the driver that names the interface in the container."""
ALONE = {"ip": "--ip", "ip6": "--ip6", "mac-address": "--mac-address", "link-local-ip": "--link-local-ip",
         "alias": "--network-alias"}  # fmt: skip
"""The option of ``docker run`` for each field of --network."""
FIELDS = {"ipv4_address": "ip", "ipv6_address": "ip6", "mac_address": "mac-address", "gw_priority": "gw-priority"}
"""The field of --network for each key of a network with one value."""


@dataclass(slots=True, kw_only=True)
class Attachment:
    """A network that a container is in, by its ``key`` in the file and its ``name`` in docker.

    ``fields`` are those of --network. The first network is the one with the highest ``priority``.
    """

    key: str
    name: str
    priority: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)


def options(attachments: Iterable[Attachment], alias: str, lost: list[tuple[Attachment, str]]) -> Iterator[str]:
    """Yield the options for the networks of a container, which has the name ``alias`` in each of them.

    docker reads the fields of --network in small letters. Fields that would be others then are added to ``lost``. Names
    of DNS, such as aliases, are the same in both.
    """
    ordered = sorted(attachments, key=lambda one: (-one.priority, one.name.islower(), one.key))
    for number, one in enumerate(ordered):
        fields = [("alias", alias), *one.fields]
        if number == 0 and all(name in ALONE for name, _ in fields):
            yield f"--network={one.name}"
            yield from (f"{ALONE[name]}={value}" for name, value in fields)
        elif one.name != one.name.lower():
            yield f"--network={one.name}"
            lost += [(one, f"{name} {value}") for name, value in fields]
        else:
            kept = [(name, value) for name, value in fields if name == "alias" or value == value.lower()]
            lost += [(one, f"{name} {value}") for name, value in fields if (name, value) not in kept]
            yield f"--network={','.join(_quoted(f'{name}={value}') for name, value in [('name', one.name), *kept])}"


def driver_options(pairs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the fields for options of the network's driver."""
    for name, value in pairs.items():
        yield "driver-opt", f"{name}={value}"


def _quoted(text: str) -> str:
    """Return a field of --network, whose value docker reads as one line of CSV."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text

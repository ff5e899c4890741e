"""The network of the kernel, compared with what the programs of the network were told to bring about.

    ExpectedDevice, KernelNetwork, the state of systemd-networkd ──differences_of──▶ DeviceFinding ──▶ Difference

A device that waits for a cable or for a DHCP server is reported, and is not a fault. A server that has not answered
within two minutes is one. Nothing here changes the network.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Self, TypeVar

from ordain.agent.apply.differences.device_parameters import (
    IN_BRIDGE,
    compare,
    compare_port,
    own_keys,
    primary_port,
    value_at,
)
from ordain.agent.apply.differences.difference import Difference, condition
from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.network_expectation import (
    MAIN_TABLE,
    ExpectedDevice,
    ExpectedRoute,
    ExpectedRule,
    expected_devices,
)
from ordain.agent.system.netlink import (
    KernelAddress,
    KernelLink,
    KernelNetwork,
    KernelRoute,
    KernelRule,
    read_kernel_network,
)
from ordain.transforms.machine import rootfs

T = TypeVar("T")
K = TypeVar("K")
NETWORKD_DIRECTORIES = ("/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network")
LINK_STATES = "run/systemd/netif/links"
"""The directory in which systemd-networkd keeps the state of each link, by index (sd-network)."""
DHCP_SEC = 120.0
"""A DHCP server that has not answered after this time is missing."""
SETTLE_SEC = 10.0
"""A device that is not configured for so long after its file was placed is a fault."""
ROUTE_TYPES = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
    10: "nat",
}
"""By number of rtnetlink(7), the types of route."""
MISSING = "DeviceMissing"
FAILED = "DeviceFailed"
DIFFERS = "NetworkDiffers"
WAITS = "NetworkWaits"
WITHOUT_DEVICE = frozenset({"blackhole", "unreachable", "prohibit", "throw"})
WITH_ADDRESS_OF_OTHERS = frozenset({"bond", "bridge", "ipvlan", "macvlan", "team", "vlan", "vrf"})
"""Kinds of virtual device that may have the hardware address of the device below them."""
UNITS = {
    "systemd-networkd": "systemd-networkd.service",
    "NetworkManager": "NetworkManager.service",
    "ifupdown": "networking.service",
}
"""By program, its unit."""
JOURNALS = {
    "systemd-networkd": "`networkctl status {name}` and `journalctl -b -u systemd-networkd`",
    "NetworkManager": "`nmcli device status` and `journalctl -b -u NetworkManager`",
    "ifupdown": "`journalctl -b -u networking`",
}
"""By program, the commands that show why a device did not come up."""
RETRIES = {
    "systemd-networkd": "`networkctl reconfigure {name}`",
    "NetworkManager": "`nmcli connection up uuid {uuid}`",
    "ifupdown": "`ifup --force {name}`",
}
"""By program, the command that configures a device again."""


class Repair(Enum):
    """The ways in which a device is repaired by its program."""

    NONE = auto()  # only somebody else can
    CONFIGURE = auto()  # it is configured again
    PORTS = auto()  # its ports are configured again
    MAKE = auto()  # it is removed, if it exists, and made again


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFinding:
    """A difference between a device and its configuration. ``key`` is the key of the document, or ``""``.

    ``code`` is that of its condition, ``actual`` and ``wanted`` are the state of the machine and that of the documents
    in a few words. ``fault`` is False while the device waits. A repair would take the ``foreign`` addresses away.
    ``interface`` is the name of the link, ``""`` if there is none. ``files`` are those of an administrator that its
    program uses instead of the documents, or reads after them.
    """

    device: ExpectedDevice
    code: str
    what: str
    key: str = ""
    actual: str = ""
    wanted: str = ""
    fault: bool = True
    repair: Repair = Repair.NONE
    foreign: tuple[str, ...] = ()
    interface: str = ""
    files: tuple[str, ...] = ()


ReadNetwork = Callable[[], KernelNetwork | None]
"""A function that reads the network of the kernel, None where that is not possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """The state of a link in the words of systemd-networkd, and the .network file that it uses for the link.

    ``drop_ins`` are the drop-ins of that file. ``age`` is the time in seconds since the state changed last, for example
    when a cable was connected.
    """

    administrative: str = ""
    file: str = ""
    drop_ins: tuple[str, ...] = ()
    age: float = float("inf")


def network_reader(root: Path) -> ReadNetwork:
    """Return the function that reads the network below ``root``: the kernel has only that of the running machine."""
    return read_kernel_network if root == Path("/") else lambda: None


def network_differences(
    generation: Generation, read: ReadNetwork, root: Path, idle: Collection[str] = ()
) -> Iterator[Difference]:
    """Yield the differences between the network of the machine below ``root`` and ``generation``.

    ``idle`` are the units of `UNITS` that do not run: an apply cannot have such a program configure a device.
    """
    shown: set[str] = set()
    for finding in machine_findings(expected_devices(generation), read, root):
        device = finding.device
        pointer = f"{device.item}/{finding.key}" if finding.key else device.item
        pointer = pointer if pointer in generation.provenance else device.item
        made = condition(
            generation, finding.code, pointer, finding.what, _hint(finding, idle), item=device.item, fault=finding.fault
        )
        changes = tuple(_changes(finding)) if is_repaired(finding) and UNITS[device.program] not in idle else ()
        yield Difference(
            condition=made,
            pointer=pointer,
            actual=finding.actual,
            path=device.path if changes else "",
            file_changes=tuple(change for change in changes if change.key not in shown),
        )
        shown |= {change.key for change in changes}


def machine_findings(devices: tuple[ExpectedDevice, ...], read: ReadNetwork, root: Path) -> tuple[DeviceFinding, ...]:
    """Return the findings about ``devices`` on the machine below ``root``, none where its network cannot be read."""
    network = read() if devices else None
    if network is None:
        return ()
    ages = {path: file_age(root, path) for path in dict.fromkeys(device.path for device in devices)}
    return tuple(findings(devices, network, link_states(root, network), ages))


def is_repaired(finding: DeviceFinding) -> bool:
    """Return whether an apply repairs what was found."""
    return finding.fault and finding.repair is not Repair.NONE


def _changes(finding: DeviceFinding) -> Iterator[Change]:
    """Yield the changes of a repair; their unit is the item of the device."""
    device, key = finding.device, finding.key.removeprefix("parameters/") or "state"
    yield Change(
        unit=device.item,
        key=f"{device.id} {key}",
        old=(finding.actual,),
        new=(finding.wanted,),
        effect=Effect.NOTHING,
    )
    if finding.foreign:
        yield Change(
            unit=device.item, key=f"{device.id} other addresses", old=finding.foreign, new=(), effect=Effect.NOTHING
        )


def _hint(finding: DeviceFinding, idle: Collection[str]) -> str:
    """Return the remedy of a finding."""
    device = finding.device
    unit = UNITS[device.program]
    if unit in idle and (finding.fault or finding.repair is not Repair.NONE):
        return f"{unit} does not run, so nothing configures it: run `systemctl start {unit}`"
    names = {"name": device.name or device.item.rpartition("/")[2], "uuid": device.uuid}
    if finding.code is WAITS and finding.repair is not Repair.NONE:
        return f"{device.program} has {SETTLE_SEC:.0f} s to do it; after that it is a fault"
    if finding.code is WAITS:
        return "connect it, or wait for the server; `optional: true` says that it may be missing"
    if finding.code is MISSING and not finding.fault:
        return "`optional: true` lets it be missing"
    files = ", ".join(finding.files)
    if files.endswith(".network"):
        return f"remove {files} and run `networkctl reload`, or remove the device from the documents"
    if files and finding.code is DIFFERS and finding.repair is not Repair.NONE:
        return f"systemd-networkd also reads {files}: correct it, then run `networkctl reload` and `ordainctl apply`"
    look = f"see {JOURNALS[device.program].format(**names)}"
    if finding.code is MISSING and not device.virtual:
        return f"{look}; `optional: true` says that it may be missing"
    if finding.repair is Repair.NONE:
        return look
    takes = f", and takes {', '.join(finding.foreign)} away" * bool(finding.foreign)
    return f"`ordainctl apply` configures it again, as {RETRIES[device.program].format(**names)} does{takes}; {look}"


def link_states(root: Path, network: KernelNetwork) -> dict[int, LinkState]:
    """Return the state of each link by index, as systemd-networkd has written it below ``root``."""
    return {link.index: _link_state(root, link.index) for link in network.links}


def _link_state(root: Path, index: int) -> LinkState:
    try:
        text = (rootfs.read(root, f"{LINK_STATES}/{index}") or b"").decode(errors="replace")
    except OSError:
        return LinkState()
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    age = file_age(root, f"{LINK_STATES}/{index}") if values else float("inf")
    file = values.get("NETWORK_FILE", "")
    drop_ins = tuple(_drop_ins(root, file)) if file else ()
    return LinkState(administrative=values.get("ADMIN_STATE", ""), file=file, drop_ins=drop_ins, age=age)


def _drop_ins(root: Path, file: str) -> Iterator[str]:
    """Yield the drop-ins of a .network file. The documents have none (systemd.network(5))."""
    for folder in NETWORKD_DIRECTORIES:
        folder = f"{folder}/{file.rpartition('/')[2]}.d"
        yield from (f"{folder}/{name}" for name in rootfs.names(root, folder) if name.endswith(".conf"))


def file_age(root: Path, path: str) -> float:
    """Return the seconds since a file was written or the machine was booted, whichever was later."""
    try:
        placed = time.time() - (root / path.lstrip("/")).stat().st_mtime
        up = float((rootfs.read(root, "proc/uptime") or b"inf").split()[0])
    except (OSError, ValueError):
        return float("inf")
    return max(0.0, min(placed, up))


def findings(
    devices: Iterable[ExpectedDevice],
    network: KernelNetwork,
    states: Mapping[int, LinkState],
    ages: Mapping[str, float],
) -> Iterator[DeviceFinding]:
    """Yield the findings about ``devices``, in their order.

    ``ages`` are the ages in seconds of their files; without one, a device has had time enough.
    """
    devices = tuple(devices)
    kernel = _KernelIndex.of(network)
    claimed = {link.index for device in devices if not device.has_pattern for link in kernel.links_of(device)}
    for device in devices:
        if device.unmanaged or device.kind == "modems":  # the interface of a modem has a name of its own
            continue
        age = ages.get(device.path, float("inf"))
        links = kernel.links_of(device)
        if device.has_pattern:  # only its program knows the interfaces that it is used for
            links = [link for link in links if link.index not in claimed and _is_used(device, states.get(link.index))]
        elif not links:
            yield _missing(device, age)
        for link in links:
            yield from _About(device, link, kernel, states.get(link.index, LinkState()), age).findings()


def _is_used(device: ExpectedDevice, state: LinkState | None) -> bool:
    return state is not None and state.file == device.path


@dataclass(frozen=True, slots=True, kw_only=True)
class _KernelIndex:
    """A `KernelNetwork`, by the keys that devices are compared by. ``routes`` is None if they were not read."""

    links: Mapping[int, KernelLink]
    names: Mapping[str, KernelLink]
    macs: Mapping[str, list[KernelLink]]
    addresses: Mapping[int, list[KernelAddress]]
    routes: Mapping[str, list[KernelRoute]] | None
    rules: tuple[KernelRule, ...] | None

    @classmethod
    def of(cls, network: KernelNetwork) -> Self:
        """Return the index of ``network``."""
        return cls(
            links={link.index: link for link in network.links},
            names={link.name: link for link in network.links},
            macs=_grouped(
                (link for link in network.links if link.kind not in WITH_ADDRESS_OF_OTHERS), lambda link: link.mac
            ),
            addresses=_grouped(network.addresses, lambda address: address.index),
            routes=None if network.routes is None else _grouped(network.routes, lambda route: route.to),
            rules=network.rules,
        )

    def interface(self, device: ExpectedDevice, id: str) -> str:
        """Return the name of the interface of another device that ``device`` calls ``id``."""
        name, mac = device.others.get(id, (id, ""))
        return name or next((link.name for link in self.macs.get(mac, ())), id)

    def links_of(self, device: ExpectedDevice) -> list[KernelLink]:
        """Return the links that ``device`` is about."""
        if device.has_pattern:
            pattern = device.name or "*"
            return [link for name, link in self.names.items() if fnmatch.fnmatchcase(name, pattern) and name != "lo"]
        if device.name:
            link = self.names.get(device.name)
            return [link] if link and device.mac in {"", link.mac} else []
        return self.macs.get(device.mac, [])


def _grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


def _missing(device: ExpectedDevice, age: float) -> DeviceFinding:
    if device.virtual:
        fault = age >= SETTLE_SEC
        return DeviceFinding(
            device=device,
            code=MISSING if fault else WAITS,
            what=f"the network device {device.name} does not exist{'' if fault else ' yet'}",
            actual="missing",
            wanted="present",
            fault=fault,
            repair=Repair.MAKE,
        )
    words = f" {device.name}" * bool(device.name) + f" with the MAC address {device.mac}" * bool(device.mac)
    what = f"there is no network interface{words}"
    return DeviceFinding(device=device, code=MISSING, what=what, actual="missing", fault=not device.optional)


@dataclass(frozen=True, slots=True)
class _About:
    """One device, its link in the kernel, and everything that judges it."""

    device: ExpectedDevice
    link: KernelLink
    kernel: _KernelIndex
    state: LinkState
    age: float

    def findings(self) -> Iterator[DeviceFinding]:
        device, link = self.device, self.link
        if other := self._other_file():
            finding = self._found(DIFFERS, f"{link.name} is configured by {other}, not by the documents")
            yield replace(finding, files=(other,))
            return
        if self.state.administrative == "failed" and device.program == "systemd-networkd":
            what = f"systemd-networkd failed to configure {link.name}"
            yield self._found(FAILED, what, actual="failed", wanted="configured", repair=Repair.CONFIGURE)
        elif not link.up and link.name != "lo":
            if self.age < SETTLE_SEC:
                return
            what = f"{link.name} is down"
            yield self._found(FAILED, what, actual="down", wanted="up", repair=Repair.CONFIGURE)
            return
        yield from self._parameters()
        waits = not link.carrier and not device.without_carrier
        missing = [*self._missing_values(waits)]
        if waits and (missing or device.dhcp):
            yield self._without_carrier()
            return
        yield from missing
        yield from self._leases()

    def _found(
        self,
        code: str,
        what: str,
        key: str = "",
        actual: str = "",
        wanted: str = "",
        fault: bool = True,
        repair: Repair = Repair.NONE,
    ) -> DeviceFinding:
        return DeviceFinding(
            device=self.device,
            code=code if fault else WAITS,
            what=what,
            key=key,
            actual=actual,
            wanted=wanted,
            fault=fault,
            repair=repair,
            foreign=self._foreign() if repair is not Repair.NONE else (),
            interface=self.link.name,
            files=self.state.drop_ins if self.device.program == "systemd-networkd" else (),
        )

    def _differs(
        self, what: str, key: str, actual: str, wanted: str, repair: Repair = Repair.CONFIGURE
    ) -> DeviceFinding:
        """Return the finding about a value; a program has a moment to set it."""
        fault = self.age >= SETTLE_SEC
        return self._found(DIFFERS, what, key, actual, wanted, fault, repair)

    def _foreign(self) -> tuple[str, ...]:
        """Return the addresses of the link that neither the documents nor a server have given it."""
        ours = {_plain(text) for text in self.device.addresses}
        has = self.kernel.addresses.get(self.link.index, ())
        return tuple(sorted(a.address for a in has if not a.local and a.valid_sec is None and a.address not in ours))

    def _other_file(self) -> str:
        """Return the file of somebody else that systemd-networkd uses for the link, ``""`` if there is none."""
        file = self.state.file
        if self.device.program != "systemd-networkd" or not file or file == self.device.path:
            return ""
        return file

    def _without_carrier(self) -> DeviceFinding:
        what = f"{self.link.name} has no carrier, and gets its addresses and routes when it has one"
        return self._found(WAITS, what, actual="no carrier", fault=False)

    def _missing_values(self, waits: bool) -> Iterator[DeviceFinding]:
        """Yield the addresses, routes and settings that the link lacks; with ``waits``, only what needs a carrier."""
        device, link = self.device, self.link
        has = {address.address: address for address in self.kernel.addresses.get(link.index, ())}
        duplicates = [text for text in device.addresses if (known := has.get(_plain(text))) and known.failed]
        lacking = [text for text in device.addresses if _plain(text) not in has]
        shown = ", ".join(sorted(a.address for a in has.values() if not a.local)) or "none"
        if duplicates:
            what = f"another host has the address {', '.join(duplicates)} of {link.name}"
            yield self._found(FAILED, what, "addresses", shown)
        if lacking:
            what = f"{link.name} does not have the address {', '.join(lacking)}"
            yield self._differs(what, "addresses", shown, ", ".join(device.addresses))
        if not lacking and self.kernel.routes is not None:
            routes = [route for route in device.routes if not self._has_route(route)]
            if routes:
                what = f"{link.name} does not have the route {', '.join(map(str, routes))}"
                yield self._differs(what, "routes", "missing", ", ".join(map(str, routes)))
        yield from self._missing_rules()
        if waits:
            return
        above = self.kernel.links.get(link.master)
        master = above.name if above else ""
        if device.master and master != device.master:
            what = f"{link.name} is not in {device.master}"
            yield self._differs(what, "", master or "in no other device", f"in {device.master}")
        if device.mtu and link.mtu != device.mtu:
            what = f"{link.name} has the MTU {link.mtu}, not {device.mtu}"
            yield self._differs(what, "mtu", str(link.mtu), str(device.mtu))

    def _missing_rules(self) -> Iterator[DeviceFinding]:
        """Yield the routing rules of the device that the kernel lacks; it does not know their device."""
        known = self.kernel.rules
        rules = [] if known is None else [r for r in self.device.rules if not any(_same_rule(r, k) for k in known)]
        if rules:
            what = f"there is no routing rule {', '.join(map(str, rules))}"
            yield self._differs(what, "routing-policy", "missing", ", ".join(map(str, rules)))

    def _parameters(self) -> Iterator[DeviceFinding]:
        """Yield the parameters with another value than the documents set: of a virtual device, or of a port."""
        device, link = self.device, self.link
        kind = device.kernel_kind
        if kind and link.kind and link.kind != kind:
            what = f"{link.name} is of kind {link.kind}, not {kind}"
            yield self._differs(what, "mode", link.kind, kind, Repair.MAKE)
            return
        by_networkd = device.program == "systemd-networkd"
        for key, wanted, actual in (*compare(device.keys, link, by_networkd=by_networkd), *self._compare_links()):
            if actual != wanted:
                what = f"{link.name} has the {key.removeprefix('parameters/').replace('/', ' ')} {actual}, not {wanted}"
                yield self._differs(what, key, actual, wanted, repair_of(key, device.kernel_kind))

    def _compare_links(self) -> Iterator[tuple[str, str, str]]:
        """Yield the addresses and names of other interfaces that the device has, with those of the documents."""
        device, link = self.device, self.link
        mac = str(device.keys.get("macaddress", "")).lower()
        above = self.kernel.links.get(link.master)
        if ":" in mac and link.address and not (above and above.kind == "bond"):
            yield "macaddress", mac, link.address
        for key in ("link", "peer"):
            below = self.kernel.links.get(link.below)
            if link.kind and below and device.virtual and (wanted := device.keys.get(key)):
                yield key, self.kernel.interface(device, str(wanted)), below.name
        primary = value_at(device.keys, "parameters/primary")
        if primary and link.kind == "bond":
            port = self.kernel.links.get(primary_port(link))
            wanted_port = self.kernel.interface(device, str(primary))
            if wanted_port in self.kernel.names and self.kernel.names[wanted_port].master == link.index:
                yield "parameters/primary", wanted_port, port.name if port else "none"
        for id in device.others if link.kind == "bridge" else ():
            if (port := self.kernel.names.get(self.kernel.interface(device, id))) and port.master == link.index:
                yield from compare_port(device.keys, id, port)

    def _has_route(self, wanted: ExpectedRoute) -> bool:
        return any(self._is(route, wanted) for route in (self.kernel.routes or {}).get(wanted.to, ()))

    def _is(self, route: KernelRoute, wanted: ExpectedRoute) -> bool:
        on_link = wanted.type in WITHOUT_DEVICE or route.index == self.link.index
        tables = {wanted.table} if wanted.table != 255 else {255, MAIN_TABLE}
        return (
            ROUTE_TYPES.get(route.type) == wanted.type
            and route.table in tables
            and (not wanted.via or route.via == wanted.via)
            and (wanted.metric is None or route.metric == wanted.metric)
            and on_link
        )

    def _leases(self) -> Iterator[DeviceFinding]:
        """Yield the IP versions for which no server has given an address. One version with an address is enough."""
        device, link = self.device, self.link
        static = {_plain(text) for text in device.addresses}
        addresses = self.kernel.addresses.get(link.index, ())
        dynamic = [address for address in addresses if not address.local and address.address not in static]
        lacking = [version for version in device.dhcp if not any(a.version == version for a in dynamic)]
        if not lacking:
            return
        if not link.carrier:
            yield self._without_carrier()
            return
        versions = " and ".join(f"IPv{version}" for version in lacking)
        waited = min(self.age, self.state.age)
        late = waited >= DHCP_SEC and len(lacking) == len(device.dhcp) and not device.optional
        what = f"{link.name} waits for an address of {versions} from a server"
        if late:
            what = f"{link.name} has no address of {versions}: no server has answered"
        yield self._found(DIFFERS, what, f"dhcp{lacking[0]}", "no address", fault=late)


def repair_of(key: str, kind: str) -> Repair:
    """Return the way in which a parameter of a device of ``kind`` is repaired."""
    if any(key.startswith(f"parameters/{name}/") for name in IN_BRIDGE):
        return Repair.PORTS
    made = key in {"link", "peer"} or key.partition("/")[0] in own_keys(kind)
    return Repair.MAKE if kind and made else Repair.CONFIGURE


def _same_rule(wanted: ExpectedRule, rule: KernelRule) -> bool:
    keys = ("version", "table", "source", "to", "mark", "tos")
    same = all(getattr(wanted, key) == getattr(rule, key) for key in keys)
    return same and wanted.priority in {None, rule.priority}


def _plain(text: str) -> str:
    """Return an address in the kernel's spelling.

    >>> _plain("2001:DB8:0::1/64")
    '2001:db8::1/64'
    """
    address, _, prefix = text.partition("/")
    return f"{ipaddress.ip_address(address)}/{prefix}"


def faults_of_apply(findings: Iterable[DeviceFinding]) -> list[DeviceFinding]:
    """Return the findings that an apply, which changed their devices, must answer for.

    Hardware that is missing, servers that do not answer, and files of an administrator are not its fault.
    """
    return [
        finding
        for finding in findings
        if finding.fault
        and not (finding.code is MISSING and not finding.device.virtual)
        and not (finding.code is DIFFERS and finding.files)
        and not finding.key.startswith("dhcp")
    ]

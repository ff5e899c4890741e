"""Hostile strings in every key of ``network``, directives newer than the target, and the renderer of each system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ordain.transforms.artifacts import RegularFile, content_of
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.network_keys import COMMON, KINDS
from ordain.transforms.document.keys.network_shapes import Addresses, Rows
from ordain.transforms.document.keys.shapes import Map, Record, Sequence, Shape, String
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Compiled

HOSTILE = {
    "line": "a\nDHCP=yes",
    "return": "a\rb",
    "section": "]\n[Network]",
    "specifier": "%i",
    "separator": "a\u2028b",
    "long": "x" * 5000,
    "blank": "a b",
    "empty": "",
    "shell": "$(id)",
    "list": "a;b",
    "quote": 'a"b',
    "backslash": "a\\",
    "letter": "é",
    "path": "a/b",
    "up": "../../etc",
}

FREE = frozenset({"free-text", "ssid"})
"""Formats of texts, such as passwords, that have no meaning to a program and are written with escapes."""
FREE_TEXTS = frozenset(HOSTILE.values()) - {
    HOSTILE[name] for name in ("line", "return", "separator", "long", "empty", "letter")
}
"""Texts that these formats allow."""


def places(shape: Shape, text: object, *, templates: bool) -> Iterator[Any]:
    """Yield values of ``shape`` that have ``text`` in one place, and otherwise only the required keys."""
    match shape:
        case String(format=format) if format in FREE and str(text) in FREE_TEXTS:
            return
        case String():
            yield text
        case Sequence(item=item):
            yield from ([value] for value in places(item, text, templates=templates))
        case Record(keys=keys):
            for key, below in keys.items():
                yield from ({key: value} for value in places(below, text, templates=templates))
        case Map(of=of):
            yield from ({"x0": value} for value in places(of, text, templates=templates))
            if not templates:
                yield {str(text): 1}
        case Rows(of=of, needs=needs):
            needed = {"to": "192.0.2.0/24", "keys": {"public": "A" * 43 + "="}}
            for row in places(of, text, templates=templates):
                yield [{key: needed[key] for key in needs} | row]
        case Addresses(options=options):
            yield [text]
            if not templates:
                yield from ([{"192.0.2.1/24": value}] for value in places(options, text, templates=False))
        case _ if not templates:
            yield text


def devices(text: object, *, templates: bool) -> dict[str, dict[str, Any]]:
    """Return a device for each place of each kind of device, with the common keys once."""
    found: dict[str, dict[str, Any]] = {}
    for kind, (keys, _) in KINDS.items():
        own = {key: shape for key, shape in keys.items() if kind == "ethernets" or key not in COMMON}
        values = places(Record(own), text, templates=templates)
        found[kind] = {f"{kind[:2]}{number}": value for number, value in enumerate(values)}
    return found


def files(made: Compiled) -> list[RegularFile]:
    """Return the files that are not units."""
    return [artifact for artifact in made.artifacts if isinstance(artifact, RegularFile)]


def compiled(network: dict[str, Any], os: str = "debian-13", **more: Any) -> tuple[Compiled | None, set[Problem]]:
    """Return the compilation of a section, None if the document is refused, and the problems."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "x", "network": network, **more})
    documents, wrong = read("x.json", text.encode())
    if wrong:
        return None, set(wrong)
    made = compile(documents, facts_for(os), shipped=shipped())
    return made, set(made.problems)


def within(problem: Problem, pointer: str) -> bool:
    """Return whether the problem is at ``pointer`` or below."""
    return f"{problem.where.pointer}/".startswith(f"{pointer}/")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_key_accepts_a_hostile_string(name: str) -> None:
    network = devices(HOSTILE[name], templates=False)
    missed: list[str] = []
    for kind, of_kind in network.items():
        made, problems = compiled({kind: of_kind})
        assert made is None or not of_kind
        missed += [
            f"{kind}/{device}: {value}"
            for device, value in of_kind.items()
            if not any(within(problem, f"network/{kind}/{device}") for problem in problems)
        ]

    assert sum(map(len, network.values())) > 140
    assert missed == []


@pytest.mark.parametrize("name", HOSTILE)
def test_no_key_accepts_a_hostile_string_from_a_template(name: str) -> None:
    network = devices({"template": "{{ values.hostile }}"}, templates=True)
    made, problems = compiled(network, values={"hostile": HOSTILE[name]})

    assert made is not None
    blocked = {problem.item for problem in problems if problem.severity is Severity.BLOCKED}
    items = {f"network/{kind}/{device}" for kind, of_kind in network.items() for device in of_kind}
    assert len(items) > 50
    assert items - blocked == set()
    assert [artifact.path for artifact in made.artifacts] == []


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_a_string_that_is_not_text_refuses_the_document(text: str) -> None:
    made, problems = compiled({"ethernets": {"eth0": {"macaddress": text}}})

    assert made is None
    assert len(problems) == 1


@pytest.mark.parametrize("name", [*HOSTILE.values(), "sixteen-letters-", "lo", "all", "1234", "a:b", ".", ".."])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_with_a_hostile_name_is_refused(kind: str, name: str) -> None:
    if (kind, name) == ("ethernets", "lo"):
        pytest.skip("lo may have addresses")
    _, problems = compiled({kind: {name: {}}})

    assert any(problem.severity is not Severity.WARNING for problem in problems)


def test_a_directive_newer_than_the_target_blocks_the_device_and_names_the_version() -> None:
    network = {"ethernets": {"eth0": {"dhcp6": True, "dhcp6-overrides": {"hostname": "web"}}, "eth1": {"dhcp4": True}}}

    made, problems = compiled(network, "debian-12")
    assert made is not None
    (only,) = (problem for problem in problems if problem.severity is Severity.BLOCKED)
    assert (only.item, only.code) == ("network/ethernets/eth0", "TooNew")
    assert "needs systemd 255, this is 252" in only.what
    assert {artifact.item for artifact in files(made)} == {"network/ethernets/eth1"}

    _, problems = compiled(network, "debian-13")
    assert not any(problem.severity is Severity.BLOCKED for problem in problems)


@pytest.mark.parametrize(
    ("os", "directory"),
    [
        ("debian-12", "/run/systemd/network"),
        ("ubuntu-24.04", "/run/systemd/network"),
        ("arch", "/run/systemd/network"),
        ("fedora-42", "/run/NetworkManager/system-connections"),
        ("rocky-9", "/run/NetworkManager/system-connections"),
        ("opensuse-tumbleweed", "/run/NetworkManager/system-connections"),
    ],
)
def test_the_os_sets_the_renderer_and_a_document_overrides_it(os: str, directory: str) -> None:
    made, _ = compiled({"ethernets": {"eth0": {"dhcp4": True}}}, os)
    assert made is not None
    assert {artifact.path.rpartition("/")[0] for artifact in files(made)} == {directory}

    made, _ = compiled({"renderer": "ifupdown", "ethernets": {"eth0": {"dhcp4": True}}}, os)
    assert made is not None
    assert [artifact.path for artifact in files(made)] == ["/etc/network/interfaces.d/ordain"]


VRF = {
    "ethernets": {"near": {"addresses": ["192.0.2.1/24"]}, "far": {"dhcp4": True}},
    "vrfs": {"red": {"table": 9, "interfaces": ["near", "far"], "routes": [{"to": "default", "via": "192.0.2.254"}]}},
}


@pytest.mark.parametrize(("renderer", "line"), [("networkd", "Table=9"), ("ifupdown", "dev near table 9")])
def test_a_route_of_a_vrf_is_a_route_of_the_member_that_reaches_the_gateway(renderer: str, line: str) -> None:
    made, problems = compiled({"renderer": renderer, **VRF})

    assert made is not None
    assert not problems
    (holder,) = (each for each in made.artifacts if "192.0.2.254" in content_of(each))
    assert line in content_of(holder)
    assert holder.path.endswith(("-near.network", "/interfaces.d/ordain"))


def test_a_gateway_that_no_member_of_a_vrf_reaches_is_a_problem() -> None:
    routes = [{"to": "default", "via": "203.0.113.1"}]

    _, problems = compiled(VRF | {"vrfs": {"red": {"table": 9, "interfaces": ["near", "far"], "routes": routes}}})

    (only,) = (problem for problem in problems if problem.code == "Network")
    assert only.what == "no member of red has an address that reaches 203.0.113.1"


@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager"])
def test_other_users_cannot_read_a_key(renderer: str) -> None:
    key = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
    made, _ = compiled({"renderer": renderer, "tunnels": {"wg0": {"mode": "wireguard", "key": key}}})

    assert made is not None
    holders = [artifact for artifact in files(made) if key in artifact.content]
    assert holders
    assert all(artifact.mode & 0o007 == 0 for artifact in holders)
    assert all(artifact.mode & 0o070 == 0 or artifact.group == "systemd-network" for artifact in holders)


def test_a_list_replaces_that_of_a_lower_layer_and_remembers_it() -> None:
    text = """\
ordain: v1
kind: Layer
name: base
network: {ethernets: {eth0: {routes: [{to: 10.0.0.0/8, via: 192.0.2.1}]}}}
---
ordain: v1
kind: Layer
name: role
tier: role
match: {os: debian}
network: {ethernets: {eth0: {routes: [{to: 10.1.0.0/16, via: 192.0.2.1}]}}}
"""
    documents, wrong = read("x.yaml", text.encode())
    assert wrong == ()
    made = compile(documents, facts_for("debian-13"), shipped=shipped())

    leaf = made.resolved.tree.branch("network").branch("ethernets").branch("eth0").leaf("routes")
    assert leaf is not None
    assert (leaf.layer, [old.layer for old in leaf.overrode]) == ("role", ["base"])
    (content,) = (artifact.content for artifact in files(made))
    assert "# x.yaml:11 role network/ethernets/eth0/routes/0\nDestination=10.1.0.0/16" in content
    assert "10.0.0.0/8" not in content

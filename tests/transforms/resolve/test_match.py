"""Layers match machines more or less closely (docs/design/documents.md, rules 4, 5 and 7)."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.document.formats.conditions import FACTS, in_range, range_error
from ordain.transforms.errors import NOWHERE
from ordain.transforms.model import Branch, Document, Facts, Kind, MatchCondition
from ordain.transforms.resolve.match import Match, match_layer

SHARED = {"rocky": "rhel"}

Wanted = str | list[str | None] | dict[str, str | list[str | None] | None] | None


def condition(wanted: Wanted) -> MatchCondition:
    if isinstance(wanted, dict):
        return replace(condition(wanted["not"]), negated=True)
    return MatchCondition(values=tuple(wanted) if isinstance(wanted, list) else (wanted,))


def on(facts: Facts, match: Mapping[str, Wanted]) -> Match:
    """Return the match of a layer with these entries, which are written as in a document."""
    layer = Document(
        kind=Kind.LAYER,
        name="layer",
        tier="default",
        weight=0,
        match={name: condition(wanted) for name, wanted in match.items()},
        sections=Branch(),
        where=NOWHERE,
    )
    return match_layer(layer, facts, SHARED)


WEB = Facts(
    id="debian",
    version="12",
    systemd=252,
    virtualization="kvm",
    hostname="web-3.example.org",
    machine_id="0123456789abcdef0123456789abcdef",
    mac=("52:54:00:00:00:01", "52:54:00:00:00:02"),
    labels={"role": ("web", "cache"), "rack": ("12",)},
)


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        pytest.param({}, True, id="no match is every machine"),
        pytest.param({"id": "debian"}, True, id="a scalar"),
        pytest.param({"id": ["fedora", "debian"]}, True, id="any of a list"),
        pytest.param({"id": "debian", "arch": "arm64"}, False, id="every entry must hold"),
        pytest.param({"id": {"not": "debian"}}, False, id="not a scalar"),
        pytest.param({"id": {"not": ["fedora", "arch"]}}, True, id="not any of a list"),
        pytest.param({"role": "cache"}, True, id="a label with several values: any one"),
        pytest.param({"role": {"not": "cache"}}, False, id="and not excludes each of them"),
        pytest.param({"pool": "east"}, False, id="a label that is not set matches no value"),
        pytest.param({"pool": {"not": "east"}}, True, id="a label that is not set matches a negated value"),
        pytest.param({"pool": None}, True, id="null is a label that is not set"),
        pytest.param({"role": None}, False, id="a set label is not null"),
        pytest.param({"pool": [None, "east"]}, True, id="null as one of several"),
        pytest.param({"role": {"not": None}}, True, id="not null is set"),
        pytest.param({"role": []}, False, id="an empty list is met by nothing"),
        pytest.param({"hostname": "web-*"}, True, id="a host name takes globs"),
        pytest.param({"hostname": "WEB-*"}, False, id="which know upper from lower case"),
        pytest.param({"rack": "1*"}, False, id="a label does not"),
        pytest.param({"mac": "52-54-00-00-00-02"}, True, id="any address, however written"),
        pytest.param({"mac": "52:54:00:00:00:0F"}, False, id="another address"),
        pytest.param({"machine-id": "01234567-89AB-cdef-0123-456789abcdef"}, True, id="a machine-id as a UUID"),
        pytest.param({"systemd": ">=250 <255"}, True, id="a range of systemd"),
        pytest.param({"systemd": "257"}, False, id="another systemd"),
        pytest.param({"root": "disk", "virtualization": "kvm"}, True, id="root and virtualization"),
    ],
)
def test_an_entry_matches(match: Mapping[str, Wanted], holds: bool) -> None:
    assert on(WEB, match).holds is holds


def test_an_unset_machine_id_matches_nothing_but_null() -> None:
    blank = replace(WEB, machine_id="")
    assert on(blank, {"machine-id": None}).holds
    assert not on(blank, {"machine-id": ""}).holds
    assert not on(blank, {"machine-id": "0123456789abcdef0123456789abcdef"}).holds


@pytest.mark.parametrize(
    ("version", "text", "holds"),
    [
        ("12", "12", True),
        ("9.4", "9", True),
        ("9.4", "9.4", True),
        ("9", "9.0", True),
        ("9.10", "9.1", False),
        ("9.10", ">9.9", True),
        ("9.4", ">9", False),
        ("9.4", "<=9", True),
        ("9.4", ">=9 <10", True),
        ("10.0", ">=9 <10", False),
        ("10", ">=9", True),
        ("22.04", ">=22.04 <24.04", True),
        ("22.04", "22.4", True),
        ("24.04", "= 24.04", True),
        ("20250101", ">=16", True),
        ("", ">=9", True),
        ("", "<10", False),
        ("", "12", False),
        ("rawhide", ">=40", True),
        ("15-SP6", "15", True),
        ("9" * 5000, ">=12", True),
        ("12", "twelve", False),
    ],
)
def test_a_version_is_in_a_range(version: str, text: str, holds: bool) -> None:
    assert in_range(version, text) is holds


@pytest.mark.parametrize("text", ["12", ">=9 <10", ">= 9", "=12", "22.04", " 12 "])
def test_a_valid_range_is_accepted(text: str) -> None:
    assert range_error(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", ">=", "12,13", "v12", "12.", "~12", ">=9<10", "!=9", "9 || 10", "9" * 19, "١٢"]
)
def test_an_invalid_range_is_refused(text: str) -> None:
    assert range_error(text)


@pytest.mark.parametrize(
    ("os", "match", "holds"),
    [
        pytest.param("ubuntu-24.04", {"os": "debian"}, True, id="os is any of ID_LIKE"),
        pytest.param("ubuntu-24.04", {"id": "debian"}, False, id="id is not"),
        pytest.param("rocky-9", {"os": "rhel", "version": "9"}, True, id="rocky counts as rhel does"),
        pytest.param("rocky-9", {"os": "rhel", "version": ">=10"}, False, id="and compares as rhel would"),
        pytest.param("rocky-9", {"os": "fedora", "version": "<40"}, False, id="but not as fedora does"),
        pytest.param("rocky-9", {"os": ["fedora", "rhel"], "version": "9"}, True, id="one of several shares"),
        pytest.param("ubuntu-24.04", {"os": "debian", "version": ">=12"}, False, id="ubuntu counts for itself"),
        pytest.param("ubuntu-24.04", {"os": "ubuntu", "version": ">=22.04"}, True, id="its own version"),
        pytest.param("ubuntu-24.04", {"version": ">=22.04"}, True, id="without os it is the machine's own"),
        pytest.param("ubuntu-24.04", {"os": {"not": "debian"}, "version": "24.04"}, False, id="not os, by like"),
        pytest.param("fedora-42", {"os": {"not": "debian"}, "version": "42"}, True, id="not os says no version"),
        pytest.param("debian-sid", {"os": "debian", "version": ">=12"}, True, id="sid is newer than all"),
        pytest.param("arch", {"os": "arch", "version": None}, True, id="a rolling system has none"),
    ],
)
def test_a_version_only_matches_the_system_it_belongs_to(os: str, match: Mapping[str, Wanted], holds: bool) -> None:
    assert on(facts_for(os), match).holds is holds


def test_a_layer_that_names_the_system_more_closely_has_a_higher_rank() -> None:
    rocky = facts_for("rocky-9")
    upwards: list[Mapping[str, Wanted]] = [
        {"role": {"not": "web"}},
        {"version": ">=9"},
        {"os": "fedora"},
        {"os": "centos"},
        {"os": ["fedora", "rhel"]},
        {"os": "rhel", "version": "9"},
        {"os": "rocky"},
        {"id": "rocky"},
        {"id": "rocky", "version": "9"},
    ]
    results = [on(rocky, match) for match in upwards]
    assert all(result.holds for result in results)
    ranks = [result.closeness for result in results]
    assert ranks == sorted(set(ranks))


def test_a_negated_entry_does_not_make_a_layer_closer() -> None:
    assert on(WEB, {"os": {"not": "fedora"}}).closeness == on(WEB, {}).closeness


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        ({"os": "fedora"}, "os: expected fedora, but this machine is debian"),
        ({"role": ["db", "mail"]}, "role: expected db or mail, but this machine is web, cache"),
        ({"pool": "east"}, "pool: expected east, but this machine has none"),
        ({"role": {"not": "web"}}, "role: expected not web, but this machine is web, cache"),
        ({"role": None}, "role: expected unset, but this machine is web, cache"),
        ({"version": ">=13"}, "version: expected >=13, but this machine is 12"),
    ],
)
def test_the_reason_names_the_expected_and_the_actual_value(match: Mapping[str, Wanted], reason: str) -> None:
    result = on(WEB, {"arch": "x86-64", **match})
    assert result.reasons == ("arch: is x86-64", reason)
    assert result.mismatches == (reason,)


def test_the_reason_names_the_system_that_the_version_belongs_to() -> None:
    result = on(facts_for("ubuntu-24.04"), {"os": "debian", "version": ">=12"})
    assert result.mismatches == ("version: expected >=12, but the version of this machine is a version of ubuntu",)


def test_the_facts_are_those_of_the_design() -> None:
    assert list(FACTS) == [
        "id", "os", "version", "systemd", "arch", "virtualization", "hostname", "machine-id", "mac", "root",
        "system-firmware", "system-uuid", "system-serial-number", "system-manufacturer", "system-product-name",
    ]  # fmt: skip


STORAGE = replace(
    WEB,
    labels={**WEB.labels, "gpu": ("old-label",)},
    details={
        "cpus": ("16",),
        "memory": (str(64 << 30),),
        "kernel": ("6.12.41+deb13-amd64",),
        "pci": ("10de:20b0", "8086:1572"),
        "gpu": ("nvidia",),
        "cloud": (),
        "facts.rack": ("r12",),
        "facts.row": ("7",),
    },
    unknown=frozenset(("facts.slot", "gpu")),
)


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        pytest.param({"cpus": "16"}, True, id="a number"),
        pytest.param({"cpus": ">=8 <16"}, False, id="all terms of a range must hold"),
        pytest.param({"cpus": ["4", ">=16"]}, True, id="any of a list of ranges"),
        pytest.param({"memory": ">=64G"}, True, id="a size"),
        pytest.param({"memory": ">64G"}, False, id="the bound itself is not more"),
        pytest.param({"memory": "<0.1T"}, True, id="a fraction"),
        pytest.param({"memory": {"not": ">=64G"}}, False, id="not a size"),
        pytest.param({"kernel": ">=6.1 <6.13"}, True, id="a version"),
        pytest.param({"pci": "10de:*"}, True, id="a pattern of any device"),
        pytest.param({"pci": {"not": "10de:*"}}, False, id="and not excludes each device"),
        pytest.param({"cloud": None}, True, id="null is a fact without a value"),
        pytest.param({"facts.rack": "r1*"}, True, id="a fact of the site takes patterns"),
        pytest.param({"facts.row": ">=7"}, True, id="and ranges, if it is a number"),
        pytest.param({"facts.rack": ">=7"}, False, id="which a text is not"),
        pytest.param({"facts.none": "x"}, False, id="a fact of the site that there is not"),
        pytest.param({"facts.none": {"not": "x"}}, True, id="which is not set"),
        pytest.param({"facts.slot": {"not": "x"}}, False, id="a fact that nobody knows yet matches nothing"),
        pytest.param({"facts.slot": None}, False, id="nor is it known to be unset"),
        pytest.param({"gpu": "old-label"}, True, id="a label overrides the fact of its name"),
        pytest.param({"gpu": "old-*"}, False, id="and is compared as a label"),
        pytest.param({"gpu": "nvidia"}, False, id="so the fact does not count"),
        pytest.param({"memory": "lots"}, False, id="an invalid range matches nothing"),
    ],
)
def test_a_further_fact_matches(match: Mapping[str, Wanted], holds: bool) -> None:
    assert on(STORAGE, match).holds is holds


def test_a_reason_names_no_more_than_ten_values() -> None:
    facts = replace(WEB, details={"package": tuple(f"p{i:02}" for i in range(30))})

    assert on(facts, {"package": "nginx"}).reasons[0].endswith("p08, p09 and 20 more")

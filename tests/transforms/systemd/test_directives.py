"""The directives and values that each version of systemd knows."""

from __future__ import annotations

import pytest

from ordain.transforms.systemd import directives
from ordain.transforms.systemd.directives import IgnoreReason, check
from ordain.transforms.systemd.unit_name import TYPES


@pytest.mark.parametrize(
    ("section", "key", "systemd", "fault"),
    [
        ("Service", "ExecStart", 252, None),
        ("Install", "WantedBy", 252, None),
        ("Install", "UpheldBy", 252, IgnoreReason.TOO_NEW),
        ("Unit", "Description", 100, None),
        ("Service", "PrivatePIDs", 256, IgnoreReason.TOO_NEW),
        ("Service", "PrivatePIDs", 257, None),
        ("Service", "ControlGroup", 204, None),
        ("Service", "ControlGroup", 205, IgnoreReason.GONE),
        ("Service", "ExecStrat", 252, IgnoreReason.UNKNOWN),
        ("service", "ExecStart", 252, IgnoreReason.UNKNOWN),
        ("Service", "execstart", 252, IgnoreReason.UNKNOWN),
        ("Service", "X-Ordain-Item", 252, None),
        ("X-Ordain", "Anything", 252, None),
    ],
)
def test_a_key_is_known_from_the_version_that_brought_it(
    section: str, key: str, systemd: int, fault: IgnoreReason | None
) -> None:
    finding = check(section, key, systemd)
    assert (finding and finding.reason) == fault


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("Unit", "ExecStart", "belongs in [Service]"),
        ("Service", "Description", "belongs in [Unit]"),
        ("Service", "ExecStrat", "ExecStart"),
        ("service", "ExecStart", "Service"),
    ],
)
def test_an_unknown_key_comes_with_a_hint(section: str, key: str, hint: str) -> None:
    finding = check(section, key, 252)
    assert finding is not None
    assert hint in finding.hint


def test_a_hardening_key_that_is_too_new_is_marked_as_hardening() -> None:
    private_pids, restart_mode = check("Service", "PrivatePIDs", 252), check("Service", "RestartMode", 252)
    assert private_pids is not None
    assert private_pids.hardening
    assert restart_mode is not None
    assert not restart_mode.hardening


def test_every_hardening_key_exists() -> None:
    assert {x.key for x in directives.all_directives()} >= directives.HARDENING


def test_every_key_whose_name_says_that_it_restricts_is_hardening() -> None:
    """The exceptions say why they are not hardening."""
    families = ("Protect", "Private", "Restrict", "NoExec", "Inaccessible", "ReadOnly", "SystemCall")
    not_hardening = {
        "SystemCallErrorNumber",  # the way in which a refused call fails
        "SystemCallLog",  # logs only
    }
    found = {x.key for x in directives.all_directives() if x.key.startswith(families)}
    assert found - directives.HARDENING == not_hardening


def test_every_type_of_unit_has_its_sections() -> None:
    assert set(directives.SECTIONS) == set(TYPES)
    known = {x.section for x in directives.all_directives() if x.gone_after is None}
    assert {section for sections in directives.SECTIONS.values() for section in sections} == known


@pytest.mark.parametrize(
    ("key", "value", "systemd", "fault"),
    [
        ("PrivateTmp", "disconnected", 252, IgnoreReason.TOO_NEW),
        ("PrivateTmp", "disconnected", 257, None),
        ("PrivateTmp", "yes", 252, None),
        ("Type", "notify-reload", 252, IgnoreReason.TOO_NEW),
        ("Type", "notify-reload", 253, None),
    ],
)
def test_a_value_is_known_from_the_version_that_brought_it(
    key: str, value: str, systemd: int, fault: IgnoreReason | None
) -> None:
    finding = directives.check_value("Service", key, value, systemd)
    assert (finding and finding.reason) == fault


@pytest.mark.parametrize(
    ("kind", "section", "key", "systemd", "fault"),
    [
        ("network", "Network", "KeepConfiguration", 252, None),
        ("network", "IPv6AcceptRA", "UseGateway", 249, IgnoreReason.TOO_NEW),
        ("netdev", "WireGuard", "FirewallMark", 242, IgnoreReason.TOO_NEW),
        ("netdev", "Network", "DHCP", 252, IgnoreReason.UNKNOWN),
        ("link", "Link", "WakeOnLan", 252, None),
        ("link", "Link", "WakeOnLn", 252, IgnoreReason.UNKNOWN),
        ("unit", "Link", "WakeOnLan", 252, IgnoreReason.UNKNOWN),
    ],
)
def test_networkd_and_udev_have_tables_of_their_own(
    kind: str, section: str, key: str, systemd: int, fault: IgnoreReason | None
) -> None:
    found = check(section, key, systemd, kind)

    assert (found.reason if found else None) is fault

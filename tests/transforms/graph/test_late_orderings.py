"""A service of the main phase that is ordered before a unit that the boot starts earlier causes a warning."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit, Link

LINK = "/etc/systemd/system/multi-user.target.wants/nginx.service"
ENABLED = Installed(
    units={
        name: InstalledUnit(name=name, path=f"/usr/lib/systemd/system/{name}", sections={"Unit": ()})
        for name in ("nginx.service", "other.service", "multi-user.target")
    },
    links=(Link(target="multi-user.target", kind="wants", name="nginx.service", path=LINK),),
)


def warnings(prep: str, more: str = "", installed: Installed | None = None) -> list[str]:
    """Return the warnings about a document with a service ``prep`` that has these keys."""
    text = f"ordain: v1\nkind: Layer\nname: d\nservices:\n  prep: {{command: [/bin/true], {prep}}}\n{more}"
    documents, problems = read("d.yaml", text.encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), installed, shipped=shipped())
    return [p.what.partition(":")[0] for p in compiled.problems if p.code == "TooLate"]


@pytest.mark.parametrize("milestone", ["network-pre", "network", "sysinit", "basic", "time-set", "local-fs-pre"])
def test_a_milestone_of_the_early_boot_is_reached_before_any_service(milestone: str) -> None:
    (warning,) = warnings(f"before: [{milestone}]")

    assert warning.startswith("prep.service cannot start before ")


def test_an_early_service_may_be_ordered_so() -> None:
    assert warnings("phase: early, before: [network-pre]") == []


def test_a_service_that_the_distribution_enables_is_started_by_the_boot() -> None:
    assert warnings("before: [nginx.service]", installed=ENABLED) == ["prep.service cannot start before nginx.service"]
    assert warnings("before: [other.service]", installed=ENABLED) == []


def test_a_drop_in_that_orders_such_a_service_after_ours_is_warned_about_as_well() -> None:
    drop_in = "units: {nginx.service.d: {Unit: {After: prep.service}}}\n"

    assert warnings("state: running", drop_in, ENABLED) == ["prep.service cannot start before nginx.service"]


def test_services_of_the_documents_are_ordered_freely() -> None:
    assert warnings("before: [web]", "  web: {command: [/bin/true]}\n", ENABLED) == []


@pytest.mark.parametrize("milestone", ["multi-user", "shutdown"])
def test_a_target_that_is_reached_later_causes_no_warning(milestone: str) -> None:
    assert warnings(f"before: [{milestone}]", installed=ENABLED) == []


def test_units_of_the_documents_that_the_boot_starts_are_ordered_freely() -> None:
    wanted = "Install: {WantedBy: multi-user.target}"
    units = f"units: {{a.service: {{Service: {{ExecStart: /bin/true}}, Unit: {{Before: b.service}}, {wanted}}},\n"
    units += f"  b.service: {{Service: {{ExecStart: /bin/true}}, {wanted}}}}}\n"

    assert warnings("state: running", units, ENABLED) == []


@pytest.mark.parametrize("unit", ["cron.service", "ssh", "nginx"])
def test_a_service_of_the_system_is_warned_about_where_no_machine_is_known(unit: str) -> None:
    (warning,) = warnings(f"before: [{unit}]")

    assert warning.endswith(".service where the distribution enables it")
    assert warnings(f"before: [{unit}], phase: early") == []


@pytest.mark.parametrize("unit", ["systemd-user-sessions.service", "getty@tty1.service", "dbus.socket"])
def test_a_unit_that_every_boot_starts_is_warned_about_without_a_machine(unit: str) -> None:
    assert warnings(f"before: [{unit}]") == [f"prep.service cannot start before {unit}"]

"""Units that start without a link are reported, and must be masked to stay stopped (rule 12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.machine.activation_sources import read_activation_sources
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Compiled

BUS = "usr/share/dbus-1/system-services/org.example.Asked.service"
RULES = "usr/lib/udev/rules.d/90-card.rules"
TEXTS = {
    BUS: "[D-BUS Service]\nName=org.example.Asked\nExec=/bin/false\nSystemdService=asked.service\n",
    RULES: 'ACTION=="add", ENV{SYSTEMD_WANTS}+="card.service reader@$env{ID}.service"\n'
    '# ENV{SYSTEMD_WANTS}="not.service"\nENV{SYSTEMD_USER_WANTS}+="users.service"\n',
    "usr/lib/systemd/system/asked.service": "[Service]\nExecStart=/bin/true\n",
    "usr/lib/systemd/system/card.service": "[Service]\nExecStart=/bin/true\n",
    "usr/lib/systemd/system/reader@.service": "[Service]\nExecStart=/bin/true\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in TEXTS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def wanted(root: Path, unit: str, state: str) -> Compiled:
    text = f"ordain: v1\nkind: Layer\nname: d\nservices: {{it: {{unit: {unit}, state: {state}}}}}\n"
    documents, problems = read("d.yaml", text.encode())
    assert problems == ()
    return compile(documents, facts_for("debian-12"), read_installed(root), shipped=shipped())


@pytest.mark.parametrize(
    ("unit", "who"),
    [
        ("asked.service", f"D-Bus starts it for org.example.Asked (/{BUS}), even with `state: stopped`"),
        ("card.service", f"udev starts it for a device (/{RULES}), even with `state: stopped`"),
        ("reader@one.service", f"udev starts it for a device (/{RULES}), even with `state: stopped`"),
    ],
)
def test_a_unit_that_starts_without_a_link_must_be_masked(root: Path, unit: str, who: str) -> None:
    (problem,) = wanted(root, unit, "stopped").problems

    assert (problem.code, problem.what, problem.hint) == ("PulledIn", who, "set `state: masked`")
    assert wanted(root, unit, "masked").problems == ()


def test_a_bus_name_in_the_unit_and_in_the_bus_service_is_reported_once(root: Path) -> None:
    (root / "usr/lib/systemd/system/asked.service").write_text("[Service]\nType=dbus\nBusName=org.example.Asked\n")

    assert len(wanted(root, "asked.service", "stopped").problems) == 1


def test_a_file_of_the_administrator_replaces_one_of_the_same_name(root: Path) -> None:
    for path in (RULES, BUS):
        (root / path.replace("usr/lib/", "etc/").replace("usr/share/", "etc/")).parent.mkdir(parents=True)
    (root / "etc/udev/rules.d/90-card.rules").symlink_to("/dev/null")
    (root / "etc/dbus-1/system-services/org.example.Asked.service").write_text("")

    assert read_activation_sources(root) == {}

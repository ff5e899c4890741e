"""The units of a plain Debian are imported into a document, and are rendered unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Facts, Installed
from ordain.transforms.systemd import unit_file, unit_name
from ordain.transforms.systemd.system_units import STARTED_BEFORE_SERVICES
from rig import debian_roots
from support.importing.import_round_trips import RoundTrip, differences, round_trip

pytestmark = pytest.mark.integration

NORMAL = "\n[Install]\nWantedBy=multi-user.target\n"
DESCRIPTION = {("Unit", "Description"), ("Unit", "Documentation")}
"""Settings of a timer that are rendered from the description of its service."""


@pytest.fixture
def root(rig: None, suite: str) -> Path:
    return debian_roots.plain_root(suite)[-1]


@pytest.fixture
def facts(suite: str) -> Facts:
    return facts_for({"bookworm": "debian-12", "trixie": "debian-13"}[suite])


def files(root: Path, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each unit file of the distribution."""
    for path in sorted((root / "usr/lib/systemd/system").iterdir()):
        if path.is_file() and not path.is_symlink() and unit_name.is_valid(path.name) and path.name.endswith(suffix):
            yield path.name, path.read_text()


def before(text: str) -> set[str]:
    """Return the units that a unit file orders its unit before."""
    return {word for _, key, value in unit_file.parse(text) if key == "Before" for word in value.split()}


def enabled(installed: Installed) -> set[str]:
    return {installed.aliases.get(link.name, link.name) for link in installed.links}


def vital(done: RoundTrip) -> set[str]:
    """Return the units that are blocked because they would take sockets and directories of the system, or end it."""
    items = {problem.item.partition("/")[2] for problem in done.compiled.problems if problem.code == "Vital"}
    units = {item if "." in item else f"{item}.service" for item in items}
    assert all(re.match("copy-(systemd-|dbus.socket|initrd-udevadm-)", unit) for unit in units)
    return units


def test_enabled_units_are_rendered_unchanged(root: Path, facts: Facts) -> None:
    """The units get new names: a document can neither replace a unit of the system nor use a name twice (Alias=)."""
    wanted = {unit_name.template_of(name) or name for name in enabled(read_installed(root))}
    texts = {f"copy-{name}": re.sub("(?m)^Alias=.*\n?", "", text) for name, text in files(root) if name in wanted}
    # The name of a mount is its path.
    texts = {name: re.sub("(?m)^Where=/", "Where=/copy/", text) for name, text in texts.items()}

    done = round_trip((InputFile(path=f"/etc/{name}", data=text.encode()) for name, text in texts.items()), facts)

    made = done.rendered()
    assert made.keys() == texts.keys() - vital(done)
    changed = {name: settings for name, text in made.items() if (settings := differences(texts[name], text))}
    print(f"{len(texts)} units, {len(changed)} differ: {changed}")
    assert {place for settings in changed.values() for place in settings} <= DESCRIPTION
    assert all(name.endswith(".timer") for name in changed)
    lost = [problem.what for problem in done.draft.problems]
    assert all("Also=" in what or "of a template" in what for what in lost)


def test_every_service_can_be_written_as_a_document(root: Path, facts: Facts) -> None:
    """Each service of the distribution is imported as one that an administrator wrote and enabled."""
    texts = {f"copy-{n}": t.partition("\n[Install]")[0] + NORMAL for n, t in files(root, ".service") if "@" not in n}

    done = round_trip((InputFile(path=f"/etc/{name}", data=text.encode()) for name, text in texts.items()), facts)

    made = done.rendered()
    print(f"{len(texts)} services, {len(done.draft.sections['services'])} in `services`")
    assert made.keys() == texts.keys() - vital(done)
    assert {name: settings for name, text in made.items() if (settings := differences(texts[name], text))} == {}
    late = [name for name, text in texts.items() if not STARTED_BEFORE_SERVICES & before(text)]
    assert len(done.draft.sections["services"]) > 0.85 * len(late)
    assert done.draft.problems == []

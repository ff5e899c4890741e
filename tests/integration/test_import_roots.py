"""The units of a stock Debian go through a document and come out as they were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.importing.document_draft import InputFile
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Facts, Installed
from ordain.transforms.systemd import unit_name
from rig import debian_roots
from support.import_round_trips import differences, round_trip

pytestmark = pytest.mark.integration

NORMAL = "\n[Install]\nWantedBy=multi-user.target\n"
DESCRIPTION = {("Unit", "Description"), ("Unit", "Documentation")}
"""What a timer that a service brings says for people is made from the service."""


@pytest.fixture
def root(rig: None, suite: str) -> Path:
    return debian_roots.plain_root(suite)[-1]


@pytest.fixture
def facts(suite: str) -> Facts:
    return facts_for({"bookworm": "debian-12", "trixie": "debian-13"}[suite])


def files(root: Path, suffix: str = "") -> Iterator[tuple[str, str]]:
    """The unit files of the distribution, by name."""
    for path in sorted((root / "usr/lib/systemd/system").iterdir()):
        if path.is_file() and not path.is_symlink() and unit_name.is_valid(path.name) and path.name.endswith(suffix):
            yield path.name, path.read_text()


def enabled(installed: Installed) -> set[str]:
    return {installed.aliases.get(link.name, link.name) for link in installed.links}


def test_enabled_units_come_out_as_they_were(root: Path, facts: Facts) -> None:
    """Under names of their own: no document may replace what the machine depends on, nor take a name twice (Alias=)."""
    wanted = {unit_name.template_of(name) or name for name in enabled(read_installed(root))}
    texts = {f"copy-{name}": re.sub("(?m)^Alias=.*\n?", "", text) for name, text in files(root) if name in wanted}

    done = round_trip((InputFile(path=f"/etc/{name}", data=text.encode()) for name, text in texts.items()), facts)

    made = done.rendered()
    changed = {name: found for name, text in texts.items() if (found := differences(text, made[name]))}
    print(f"{len(texts)} units, {len(changed)} differ: {changed}")
    assert {place for found in changed.values() for place in found} <= DESCRIPTION
    assert all(name.endswith(".timer") for name in changed)
    lost = [problem.what for problem in done.draft.problems]
    assert all("Also=" in what or "of a template" in what for what in lost)


def test_every_service_can_be_one_of_ours(root: Path, facts: Facts) -> None:
    """All services of the distribution, each as a service that an administrator wrote and enabled."""
    texts = {f"copy-{n}": t.partition("\n[Install]")[0] + NORMAL for n, t in files(root, ".service") if "@" not in n}

    done = round_trip((InputFile(path=f"/etc/{name}", data=text.encode()) for name, text in texts.items()), facts)

    made = done.rendered()
    print(f"{len(texts)} services, {len(done.draft.sections['services'])} in `services`")
    assert made.keys() == texts.keys()
    assert {name: found for name, text in texts.items() if (found := differences(text, made[name]))} == {}
    assert len(done.draft.sections["services"]) > 0.9 * len(texts)
    assert done.draft.problems == []

"""Units of other generators count as installed, and those of Ordain's generator do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.machine.generated_units import unit_made_from
from ordain.transforms.machine.installed_units import DIRECTORIES_NOW, read_installed
from ordain.transforms.model import Installed, Link
from ordain.transforms.render.cause_comments import MADE_BY

GENERATOR = "run/systemd/generator"
LATE = "run/systemd/generator.late"
USR = "usr/lib/systemd/system"
RUN = "[Service]\nExecStart=/bin/true\n"


def _installed(root: Path, files: dict[str, str], links: dict[str, str] | None = None) -> Installed:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    for name, target in (links or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return read_installed(root)


def test_a_unit_of_another_generator_is_installed_with_its_aliases_and_links(tmp_path: Path) -> None:
    installed = _installed(
        tmp_path,
        {
            f"{GENERATOR}/web.service": RUN,
            f"{LATE}/old@.service": RUN,
            f"{GENERATOR}/ours.service": f"# {MADE_BY}\n{RUN}",
            f"{GENERATOR}/ssh.service": "[Service]\nExecStart=/bin/false\n",
            f"{USR}/ssh.service": RUN,
        },
        {
            f"{GENERATOR}/default.target.wants/web.service": "../web.service",
            f"{GENERATOR}/default.target.wants/ours.service": "../ours.service",
            f"{GENERATOR}/ordain-services.target.wants/web.service": "../web.service",
            f"{LATE}/multi-user.target.wants/old@a.service": "../old@.service",
            f"{GENERATOR}/site.service": "web.service",
            f"{GENERATOR}/mine.service": "ours.service",
        },
    )
    assert sorted(installed.units) == ["old@.service", "old@a.service", "ssh.service", "web.service"]
    assert installed.units["web.service"].path == f"/{GENERATOR}/web.service"
    assert installed.units["ssh.service"].path == f"/{USR}/ssh.service"
    assert installed.aliases == {"site.service": "web.service"}
    links = {(link.target, link.name) for link in installed.links}
    assert links == {("default.target", "web.service"), ("multi-user.target", "old@a.service")}


def test_a_dependency_that_ordain_holds_back_is_still_known(tmp_path: Path) -> None:
    link = f"{GENERATOR}/default.target.wants/web.service"
    held = "run/systemd/generator.early/default.target.wants/web.service"
    installed = _installed(tmp_path, {f"{GENERATOR}/web.service": RUN}, {link: "../web.service", held: "/dev/null"})
    assert installed.links == (Link(target="default.target", kind="wants", name="web.service", path=f"/{link}"),)


def test_units_of_ordain_are_read_with_the_directories_of_generators(tmp_path: Path) -> None:
    _installed(tmp_path, {f"{GENERATOR}/ours.service": f"# {MADE_BY}\n{RUN}"})
    assert list(read_installed(tmp_path, DIRECTORIES_NOW).units) == ["ours.service"]


@pytest.mark.parametrize(
    ("path", "content", "unit"),
    [
        ("/etc/containers/systemd/web.container", "[Container]\n", "web.service"),
        ("/etc/containers/systemd/apps/web@.container", "[Container]\n", "web@.service"),
        ("/etc/containers/systemd/web.container", "[Container]\nServiceName=site\n", "site.service"),
        ("/usr/share/containers/systemd/lan.network", "", "lan-network.service"),
        ("/run/containers/systemd/app.pod", "", "app-pod.service"),
        ("/etc/containers/systemd/README", "", ""),
        ("/etc/systemd/network/lan.network", "", ""),
    ],
)
def test_the_service_of_a_quadlet_is_known(path: str, content: str, unit: str) -> None:
    assert unit_made_from(path, content) == unit

"""The files by which an administrator changes or hides units of ours are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.apply.admin_overrides import administrator_files, hiding_files
from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.model import Member, Wanted

NOW = Generation(
    artifacts=(
        UnitFile(path="normal/web.service", content="[Service]\n"),
        UnitFile(path="normal/work@.service", content="[Service]\n"),
        UnitFile(path="normal/ssh.service.d/00-ordain.conf", content="[Service]\n"),
    ),
    members=(Member(unit="work@a.service", item="services/work", wanted=Wanted.RUNNING, ours=True),),
)


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("etc/systemd/system/web.service", {"web.service"}),
        ("run/systemd/system/web.service", {"web.service"}),
        ("run/systemd/transient/web.service", {"web.service"}),
        ("etc/systemd/system.attached/web.service", {"web.service"}),
        ("etc/systemd/system/work@.service", {"work@.service", "work@a.service"}),
        ("usr/lib/systemd/system/web.service", set()),
        ("etc/systemd/system/ssh.service", set()),
        ("etc/systemd/system/other.service", set()),
    ],
)
def test_a_unit_file_that_hides_ours_is_found(tmp_path: Path, path: str, hidden: set[str]) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("[Service]\n")

    assert hiding_files(tmp_path, NOW) == dict.fromkeys(hidden, f"/{path}")


@pytest.mark.parametrize("mask", ["link", "empty"])
def test_a_mask_is_not_a_unit_file(tmp_path: Path, mask: str) -> None:
    path = tmp_path / "etc/systemd/system/web.service"
    path.parent.mkdir(parents=True)
    (path.symlink_to if mask == "link" else path.write_text)("/dev/null" if mask == "link" else "")

    assert hiding_files(tmp_path, NOW) == {}


def test_files_of_an_administrator_are_found_at_every_level(tmp_path: Path) -> None:
    for path in (
        "etc/systemd/system/web-a.service.d/x.conf",
        "etc/systemd/system/web-.service.d/y.conf",
        "etc/systemd/system/t@.service.d/z.conf",
        "etc/systemd/system.control/web-a.service.d/50-MemoryMax.conf",
        "run/systemd/system/other.service.d/x.conf",
        "etc/systemd/system/own.service",
        "etc/systemd/system/web-a.service.d/README",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "etc/systemd/system/alias.service").symlink_to("/usr/lib/systemd/system/real.service")

    found = administrator_files(
        tmp_path, ["web-a.service", "t@1.service", "own.service", "alias.service", "free.service"]
    )

    assert found == {
        "web-a.service": (
            "/etc/systemd/system.control/web-a.service.d/50-MemoryMax.conf",
            "/etc/systemd/system/web-a.service.d/x.conf",
            "/etc/systemd/system/web-.service.d/y.conf",
        ),
        "t@1.service": ("/etc/systemd/system/t@.service.d/z.conf",),
        "own.service": ("/etc/systemd/system/own.service",),
    }

"""The files by which an administrator changes or hides units of ours are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.apply.deviations.administrator_overrides import administrator_files, hiding_files, overridden_values
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


OURS = """[Unit]
After=a.service
[Service]
# /etc/ordain/documents/web.yaml:7 services/web/limits/memory
MemoryMax=100M
Environment=A=1
ExecStart=/bin/serve
"""


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("etc/systemd/system.control/web.service.d/50-MemoryMax.conf", "[Service]\nMemoryMax=52428800\n", "52428800"),
        ("run/systemd/system.control/web.service.d/50-MemoryMax.conf", "[Service]\nMemoryMax=52428800\n", "52428800"),
        ("etc/systemd/system/web.service.d/x.conf", "[Service]\nMemoryMax=104857600\n", ""),
        ("etc/systemd/system/web.service.d/x.conf", "[Service]\nMemoryHigh=1\n[Unit]\nAfter=b.service\n", ""),
        ("etc/systemd/system/web.service.d/x.conf", "[Service]\nEnvironment=A=2\n", "A=1 A=2"),
        ("etc/systemd/system/web.service.d/x.conf", "[Service]\nEnvironment=\n", "not set"),
        ("etc/systemd/system/web.service.d/x.conf", "[Service]\nExecStart=\nExecStart=/bin/x\n", "/bin/x"),
    ],
)
def test_a_value_that_an_administrator_overrides_is_named_with_both_values(
    tmp_path: Path, path: str, content: str, told: str
) -> None:
    now = Generation(
        artifacts=(UnitFile(path="normal/web.service", content=OURS, item="services/web"),),
        members=(Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True),),
    )
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(content)

    found = list(overridden_values(tmp_path, now, administrator_files(tmp_path, ["web.service"])))

    assert [(c.code, c.fault, f" is {told}, not " in c.what, f"/{path}" in c.what) for c in found] == (
        [("OverriddenValue", False, True, True)] if told else []
    )
    assert not any(told in condition.public.replace(path, "") for condition in found)
    restarts = ["Memory" not in content] if told else []
    assert ["then `systemctl restart web.service`" in condition.hint for condition in found] == restarts


def test_the_place_of_an_overridden_value_is_that_in_the_documents(tmp_path: Path) -> None:
    now = Generation(artifacts=(UnitFile(path="normal/web.service", content=OURS, item="services/web"),))
    path = "etc/systemd/system/web.service.d/x.conf"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("[Service]\nMemoryMax=1G\n")

    (found,) = overridden_values(tmp_path, now, {"web.service": (f"/{path}",)}, {"web.service"})

    assert found.what == (
        "/etc/ordain/documents/web.yaml:7: web.service: [Service] MemoryMax will be, after `systemctl daemon-reload`, "
        "1G, not 100M: /etc/systemd/system/web.service.d/x.conf overrides the documents"
    )


def test_our_drop_in_is_overridden_only_by_those_that_are_read_after_it(tmp_path: Path) -> None:
    drop_in = UnitFile(path="normal/ssh.service.d/00-ordain.conf", content="[Service]\nMemoryMax=100M\n")
    for name, size in (("00-a.conf", "1G"), ("x.conf", "2G")):
        path = tmp_path / "etc/systemd/system/ssh.service.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[Service]\nMemoryMax={size}\n")

        found = list(
            overridden_values(
                tmp_path, Generation(artifacts=(drop_in,)), administrator_files(tmp_path, ["ssh.service"])
            )
        )

        assert [" is 2G, not 100M" in condition.what for condition in found] == [True] * (name == "x.conf")

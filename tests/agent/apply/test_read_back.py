"""Values of the machine that are not as a generation sets them are found, with their place and remedy."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.read_back import (
    Difference,
    ReadBack,
    accounts,
    host_name,
    kernel_parameters,
    network_devices,
    other_flags,
    unbound,
)
from ordain.agent.model import Generation, Observed, UnitState
from ordain.agent.plan.planner import plan
from ordain.generator.files import FilePlacement
from ordain.transforms.artifacts import AbsentFile, PlacedFile, RegularFile, SymbolicLink, UnitFile
from ordain.transforms.model import Member, OnChange, Wanted

PLACE = {"layer": "a", "path": "/etc/ordain/documents/a.yaml", "line": 7}


def generation(**document: Any) -> Generation:
    names = [f"{section}/{name}" for section, words in document.items() for name in words]
    return Generation(number=1, hash="1", document=document, provenance=dict.fromkeys(names, PLACE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "proc/sys/net/ipv4/ip_forward": "0\n",
        "proc/sys/net/ipv4/conf/all/rp_filter": "2\n",
        "proc/sys/net/ipv4/ping_group_range": "0\t2147483647\n",
        "proc/sys/kernel/hostname": "vm\n",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:1003:1003::/:/bin/sh\n",
        "etc/group": "root:x:0:\nweb:x:1003:\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "sys/class/net/br0").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "code", "fault"),
    [
        ("net.ipv4.ip_forward", "0", "", False),
        ("net.ipv4.ip_forward", "1", "KernelParameter", True),
        ("net/ipv4/ip_forward", "1", "KernelParameter", True),
        ("net.ipv4.ip_forwrd", "1", "KernelParameter", True),
        ("net.ipv4.conf.all.rp_filter", "0x2", "", False),
        ("net.ipv4.ping_group_range", "0 2147483647", "", False),
        ("net.ipv4.conf.dm0/100.rp_filter", "2", "InterfaceMissing", False),
        ("net.ipv4.conf.dm0.100.rp_filter", "2", "InterfaceMissing", False),
        ("net.ipv4.conf.all.rp_filtr", "2", "KernelParameter", True),
        ("net.ipv4.conf.*.rp_filter", "1", "", False),
    ],
)
def test_a_kernel_parameter_is_read_back(root: Path, name: str, value: str, code: str, fault: bool) -> None:
    found = list(kernel_parameters(generation(sysctl={name: value}), root))

    assert [(d.condition.code, d.condition.fault) for d in found] == ([(code, fault)] if code else [])
    assert all("a.yaml:7: " in d.condition.what and name in d.condition.what for d in found if "/" not in name)


@pytest.mark.parametrize(
    ("section", "words", "what"),
    [
        ("users", {"web": {"uid": 1003}}, ""),
        ("users", {"web": {}}, ""),
        ("users", {"web": {"uid": 1100}}, "the user web has the uid 1003, not 1100"),
        ("users", {"db": {}}, "the user db does not exist"),
        ("users", {"db": {"state": "absent"}}, ""),
        ("groups", {"web": {"gid": 1100}}, "the group web has the gid 1003, not 1100"),
        ("groups", {"db": {}}, "the group db does not exist"),
    ],
)
def test_an_account_is_read_back(root: Path, section: str, words: dict[str, Any], what: str) -> None:
    found = list(accounts(generation(**{section: words}), root))

    assert [d.condition.what.rpartition(": ")[2] for d in found] == ([what] if what else [])


def test_the_host_name_and_virtual_devices_are_read_back(root: Path) -> None:
    network = {"bridges": {"br0": {}, "br1": {}}, "ethernets": {"eth7": {}}, "renderer": "networkd"}

    assert [d.condition.code for d in host_name(generation(host={"hostname": "bee"}), root)] == ["HostName"]
    assert list(host_name(generation(host={"hostname": "vm"}), root)) == []
    assert [d.condition.item for d in network_devices(generation(network=network), root)] == ["network/bridges/br1"]


@pytest.mark.parametrize(
    ("asked", "mounted", "wrong"),
    [
        (["noexec", "nosuid"], ["rw", "noexec", "nosuid", "relatime"], []),
        (["noexec"], ["rw", "relatime"], ["noexec"]),
        (["ro"], ["rw"], ["ro"]),
        (["rw"], ["ro"], ["rw"]),
        ([""], ["rw", "nosuid"], []),
    ],
)
def test_a_flag_that_a_mount_lacks_is_found(asked: list[str], mounted: list[str], wrong: list[str]) -> None:
    assert other_flags(asked, mounted) == wrong


def test_an_address_that_systemd_ignored_is_named() -> None:
    assert unbound(["[fe80::1%host9]:8053", "127.0.0.1:8053"], ["127.0.0.1:8053"]) == ["[fe80::1%host9]:8053"]
    assert unbound(["8080"], ["[::]:8080"]) == []


FILES: tuple[PlacedFile, ...] = (
    RegularFile(path="/etc/app.conf", content="a\n", item="files/~1etc~1app.conf"),
    SymbolicLink(path="/etc/link", target="app.conf"),
    AbsentFile(path="/etc/gone"),
)


def _edit(root: Path, change: str) -> None:
    path = root / "etc/app.conf"
    match change:
        case "edited":
            path.write_text("b\n")
        case "deleted":
            path.unlink()
        case "chmod":
            path.chmod(0o600)
        case "renamed over":
            (root / "etc/other").write_text("c\n")
            (root / "etc/other").rename(path)
        case "a link":
            path.unlink()
            path.symlink_to("passwd")
        case "a directory":
            path.unlink()
            path.mkdir()
        case "another target":
            (root / "etc/link").unlink()
            (root / "etc/link").symlink_to("passwd")
        case "exists again":
            (root / "etc/gone").touch()


@pytest.mark.parametrize(
    "change",
    ["edited", "deleted", "chmod", "renamed over", "a link", "a directory", "another target", "exists again"],
)
def test_a_placed_file_that_somebody_changed_is_found_and_planned_again(root: Path, change: str) -> None:
    member = Member(
        unit="app.service",
        item="services/app",
        wanted=Wanted.RUNNING,
        ours=True,
        uses=(("/etc/", OnChange.RESTART),),
    )
    unit = UnitFile(path="normal/app.service", content="[Service]\nExecStart=/bin/app\n")
    now = Generation(number=1, hash="1", artifacts=(unit, *FILES), members=(member,))
    assert FilePlacement(root, "main").run(FILES).problems == {}
    read_back = ReadBack(None, root)  # type: ignore[arg-type]
    assert asyncio.run(read_back.differences(now, Observed())) == ()

    _edit(root, change)
    (found,) = asyncio.run(read_back.differences(now, Observed()))

    assert (found.condition.code, found.condition.fault) == ("FileChanged", True)
    running = UnitState(name="app.service", load_state="loaded", active_state="active", sub_state="running")
    observed = Observed(
        units={"app.service": running},
        waits={"app.service": found.changes},
        displaced=frozenset({found.path}),
    )
    planned = plan(now, now, observed)
    assert [file.path for file in planned.files] == [found.path]
    assert [f"{job.verb} {job.unit}" for job in planned.jobs] == ["restart app.service"]

    if change == "a directory":
        shutil.rmtree(root / "etc/app.conf")
    assert FilePlacement(root, "main").run(FILES).problems == {}
    assert asyncio.run(read_back.differences(now, Observed())) == ()


def test_a_socket_and_a_mount_are_read_back() -> None:
    class Answers:
        async def property(self, unit: str, name: str) -> Any:
            return [("Stream", "127.0.0.1:80")] if name == "Listen" else "rw,nosuid,relatime"

    listen = "[Socket]\nListenStream=127.0.0.1:80\nListenStream=[fe80::1%eth9]:80\n"
    units = {"web.socket": listen, "srv.mount": "[Mount]\nWhat=tmpfs\nWhere=/srv\nOptions=noexec,nosuid\n"}
    now = Generation(
        number=1,
        hash="1",
        artifacts=tuple(UnitFile(path=f"normal/{name}", content=text) for name, text in units.items()),
        members=tuple(Member(unit=name, item=name, wanted=Wanted.RUNNING, ours=True) for name in units),
    )
    states = {name: UnitState(name=name, load_state="loaded", active_state="active") for name in units}

    found: tuple[Difference, ...] = asyncio.run(
        ReadBack(Answers(), Path("/nonexistent")).differences(now, Observed(units=states))  # type: ignore[arg-type]
    )

    assert [d.condition.code for d in found] == ["NotListening", "MountOptions"]
    assert "[fe80::1%eth9]:80" in found[0].condition.what
    assert json.dumps([change.effect for change in found[1].changes]) == '["reload"]'

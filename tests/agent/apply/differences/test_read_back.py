"""Values of the machine that are not as a generation sets them are found, with their place and remedy."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.apply_steps import futile_corrections
from ordain.agent.apply.differences.difference import Difference
from ordain.agent.apply.differences.host_differences import (
    SYSCTL_READER,
    accounts,
    host_name,
    kernel_modules,
    kernel_parameters,
    keymap,
    locale,
    open_files,
    time_zone,
)
from ordain.agent.apply.differences.placed_file_differences import is_mended
from ordain.agent.apply.differences.read_back import ReadBack, other_flags, unbound
from ordain.agent.apply.observe import Observer
from ordain.agent.generation import generation as as_generation
from ordain.agent.model import Generation, Hold, Job, Observed, Outcome, UnitState, UnitVerdict, Verb
from ordain.agent.plan.planner import plan
from ordain.agent.state.futile_corrections import add_futile_corrections
from ordain.agent.system.dbus.bus import BusError
from ordain.generator.files import FilePlacement
from ordain.transforms.artifacts import AbsentFile, PlacedFile, RegularFile, SymbolicLink, UnitFile
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Drift, Facts, Member, OnChange, Wanted

PLACE = {"layer": "a", "path": "/etc/ordain/documents/a.yaml", "line": 7}


class PidOne:
    """A PID 1 that does not tell when it read the unit files."""

    async def units_read_usec(self) -> tuple[int, int]:
        raise BusError("org.freedesktop.DBus.Error.UnknownProperty", "")


def _replace_by_file(path: Path) -> None:
    path.unlink()
    path.write_text("")


def generation(**document: Any) -> Generation:
    names = [f"{section}/{name}" for section, words in document.items() for name in words]
    return Generation(number=1, hash="1", document=document, provenance=dict.fromkeys(names, PLACE))


def compiled(text: str, before: str = "") -> Generation:
    """Return the generation of a layer with the sections of ``text``, which begin in line 5 of /a.yaml."""
    document = f"ordain: v1\nkind: Layer\nname: a\n# sections\n{text}\n"
    documents = read("/a.yaml", document.encode())[0] + read("/t.yaml", before.encode())[0]
    return as_generation(compile(documents, Facts(id="debian", version="12", systemd=252)), 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "proc/sys/net/ipv4/ip_forward": "0\n",
        "proc/sys/net/ipv4/conf/all/rp_filter": "2\n",
        "proc/sys/net/ipv4/ping_group_range": "0\t2147483647\n",
        "proc/sys/kernel/hostname": "vm\n",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:1003:1003::/:/bin/sh\nold:x:1004:1003::/:/bin/sh\n",
        "etc/group": "root:x:0:\nweb:x:1003:\nadm:x:4:web\n",
        "etc/shadow": "root:*:::::::\nweb:!:19000::::::\nold:!:19000:::::1:\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
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
    ("files", "by"),
    [
        ({"etc/sysctl.d/zz.conf": "net.ipv4.ip_forward = 0\n"}, "/etc/sysctl.d/zz.conf"),
        ({"usr/lib/sysctl.d/zz.conf": "# a\n-net/ipv4/ip_forward=0\n"}, "/usr/lib/sysctl.d/zz.conf"),
        (
            {"etc/sysctl.d/99-sysctl.conf": "net.ipv4.ip_forward=0", "run/sysctl.d/zz.conf": ""},
            "/etc/sysctl.d/99-sysctl.conf",
        ),
        ({"usr/lib/sysctl.d/zz.conf": "net.ipv4.ip_forward=0", "etc/sysctl.d/zz.conf": ""}, ""),
        ({"etc/sysctl.d/10-a.conf": "net.ipv4.ip_forward=0"}, ""),
        ({"etc/sysctl.d/zz.conf": "net.ipv4.*=0\n#net.ipv4.ip_forward=0\nnet.ipv6.x=0\n"}, ""),
        ({"etc/sysctl.d/zz.txt": "net.ipv4.ip_forward=0"}, ""),
    ],
)
def test_a_file_that_overrides_a_kernel_parameter_is_named_and_no_apply_promised(
    root: Path, files: dict[str, str], by: str
) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    (found,) = kernel_parameters(generation(sysctl={"net.ipv4.ip_forward": "1"}), root)

    assert found.condition.fault
    assert bool(found.changes) is not bool(by)
    assert ("`ordainctl apply` corrects it" in found.condition.hint) is not bool(by)
    assert by in found.condition.what


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("users: {web: {uid: 1003}}", ""),
        ("users: {web: {home: /, shell: /bin/sh, groups: [adm]}}", ""),
        ("users: {web: {uid: 1100}}", "the user web has the uid 1003, not 1100"),
        ("users: {web: {gid: 1100}}", "the user web has the gid 1003, not 1100"),
        ("users: {web: {group: adm}}", "the user web has the main group web, not adm"),
        ("users: {web: {home: /srv/web}}", "the user web has the home /, not /srv/web"),
        ("users: {web: {shell: /bin/bash}}", "the user web has the shell /bin/sh, not /bin/bash"),
        ("users: {web: {groups: [adm, dialout]}}", "the user web is not in the group dialout"),
        ("users: {db: {}}", "the user db does not exist"),
        ("users: {db: {state: absent}}", ""),
        ("users: {web: {state: absent}}", "the user web is not locked"),
        ("users: {old: {state: absent}}", ""),
        ("groups: {web: {gid: 1003}}", ""),
        ("groups: {web: {gid: 1100}}", "the group web has the gid 1003, not 1100"),
        ("groups: {db: {}}", "the group db does not exist"),
    ],
)
def test_an_account_is_read_back(root: Path, text: str, code: str) -> None:
    found = list(accounts(compiled(text), root))

    assert [d.condition.what for d in found] == ([f"/a.yaml:5: {code}"] if code else [])
    assert [bool(d.path) for d in found] == ["id" not in code and "main group" not in code] * len(found)


def test_all_that_differs_in_one_account_is_in_the_plan(root: Path) -> None:
    now = compiled("users: {web: {home: /srv/web, shell: /bin/bash, groups: [dialout]}}")

    class Store:
        def read_applied(self) -> None:
            return None

    observer = Observer(systemd=None, root=root, store=Store())  # type: ignore[arg-type]
    observed, _ = asyncio.run(observer.with_differences(Observed(), now))

    (file,) = plan(now, now, observed).files
    assert [change.key for change in file.changes] == ["home", "shell", "groups dialout"]


def test_an_account_is_read_back_under_its_name_on_this_system(root: Path) -> None:
    row = "ordain: v1\nkind: Transform\nname: t\nusers: {webmaster: web}\n---\n"
    assert list(accounts(compiled("users: {webmaster: {uid: 1003}}", before=row), root)) == []


@pytest.mark.parametrize(
    ("words", "what", "fault"),
    [
        ({}, "the kernel module nbd is not loaded", True),
        ({"blacklist": True}, "", False),
    ],
)
def test_a_missing_kernel_module_is_found(root: Path, words: dict[str, Any], what: str, fault: bool) -> None:
    found = list(kernel_modules(generation(modules={"nbd": words}), root))

    assert [(d.condition.what.rpartition(": ")[2], d.condition.fault) for d in found] == (
        [(what, fault)] if what else []
    )


def test_a_kernel_module_that_is_loaded_or_built_in_is_there(root: Path) -> None:
    (root / "sys/module/nf_nat").mkdir(parents=True)
    builtin = root / "lib/modules/6.1.0/modules.builtin"
    builtin.parent.mkdir(parents=True)
    builtin.write_text("kernel/drivers/block/loop.ko\nkernel/fs/ext4/ext4.ko.xz\n")
    (root / "proc/sys/kernel/osrelease").write_text("6.1.0\n")
    names: dict[str, dict[str, Any]] = {"nf-nat": {}, "loop": {}, "ext4": {}}

    assert list(kernel_modules(generation(modules=names), root)) == []
    forbidden = list(kernel_modules(generation(modules={"nf_nat": {"blacklist": True}}), root))
    assert [(d.condition.code, d.condition.fault) for d in forbidden] == [("KernelModule", False)]


def test_a_container_cannot_load_kernel_modules(root: Path) -> None:
    (root / "run/systemd").mkdir(parents=True)
    (root / "run/systemd/container").write_text("systemd-nspawn")
    (found,) = kernel_modules(generation(modules={"nbd": {}}), root)

    assert (found.condition.fault, found.changes) == (False, ())


def test_a_locale_that_the_machine_lacks_or_pid_1_does_not_pass_on_is_found(root: Path) -> None:
    wanted = generation(host={"locale": "de_DE.UTF-8"})

    def found(*environment: str) -> list[tuple[str, str, bool]]:
        differences = locale(wanted, root, environment)
        return [(d.condition.code, d.actual, d.condition.fault) for d in differences]

    assert found("LANG=de_DE.UTF-8") == [], "a machine without any locales cannot be judged"
    (root / "usr/lib/locale/C.utf8").mkdir(parents=True)
    assert found("LANG=de_DE.UTF-8") == [("Locale", "missing", True)]
    (root / "usr/lib/locale/locale-archive").write_bytes(
        struct.pack("=5I", 0xDE020109, 0, 20, 1, 2) + struct.pack("=6I", 0, 0, 0, 7, 44, 99) + b"de_DE.utf8\0"
    )
    assert found("PATH=/bin", "LANG=de_DE.utf8") == []
    assert found("PATH=/bin") == [("Locale", "not set", False)]
    assert found("LANG=C.UTF-8") == [("Locale", "C.UTF-8", False)]
    assert list(locale(wanted, root, None)) == []
    assert list(locale(generation(), root, ["LANG=C"])) == []
    (root / "usr/lib/locale/locale-archive").write_bytes(b"damaged")
    assert found("LANG=de_DE.UTF-8") == [("Locale", "missing", True)]


def test_a_time_zone_that_the_machine_does_not_know_is_found(root: Path) -> None:
    (root / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (root / "usr/share/zoneinfo/Europe/Berlin").touch()

    assert list(time_zone(generation(host={"timezone": "Europe/Berlin"}), root)) == []
    assert [d.condition.code for d in time_zone(generation(host={"timezone": "Europe/Berlyn"}), root)] == ["TimeZone"]


@pytest.mark.parametrize(
    ("load_state", "contained", "faults"),
    [("loaded", False, []), ("not-found", False, [True]), ("not-found", True, [False])],
)
def test_a_keymap_that_nothing_loads_is_found(root: Path, load_state: str, contained: bool, faults: list[bool]) -> None:
    if contained:
        (root / "run/systemd").mkdir(parents=True)
        (root / "run/systemd/container").write_text("lxc")
    setup = "console-setup.service"
    now = replace(
        generation(host={"keymap": "de"}), members=(Member(unit=setup, item="host", ours=False, wanted=Wanted.PRESENT),)
    )
    observed = Observed(units={setup: UnitState(name=setup, load_state=load_state)})

    found = list(keymap(now, observed, root))

    assert [difference.condition.fault for difference in found] == faults
    assert all(setup in difference.condition.what for difference in found)


@pytest.mark.parametrize(
    ("limit", "actual"),
    [("65536", []), ("1048577", ["at most 1048576"]), ("infinity", []), ("1024:2000000", ["at most 1048576"])],
)
def test_a_limit_of_open_files_that_the_kernel_does_not_give_is_found(
    root: Path, limit: str, actual: list[str]
) -> None:
    (root / "proc/sys/fs").mkdir()
    (root / "proc/sys/fs/nr_open").write_text("1048576\n")
    now = compiled(f"services: {{x: {{command: /bin/x, systemd: {{Service: {{LimitNOFILE: '{limit}'}}}}}}}}")

    found = list(open_files(now, root))

    assert [difference.actual for difference in found] == actual
    assert all(difference.pointer == "services/x/systemd/Service/LimitNOFILE" for difference in found)
    assert all(difference.condition.what.startswith("/a.yaml:5: ") for difference in found)


def test_the_host_name_is_read_back(root: Path) -> None:
    assert [d.condition.code for d in host_name(generation(host={"hostname": "bee"}), root)] == ["HostName"]
    assert list(host_name(generation(host={"hostname": "vm"}), root)) == []


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
    read_back = ReadBack(PidOne(), root)  # type: ignore[arg-type]
    assert asyncio.run(read_back.differences(now, Observed())) == ()

    _edit(root, change)
    (found,) = asyncio.run(read_back.differences(now, Observed()))

    assert (found.condition.code, found.condition.fault) == ("FileChanged", True)
    running = UnitState(name="app.service", load_state="loaded", active_state="active", sub_state="running")
    observed = Observed(
        units={"app.service": running},
        waits={"app.service": found.changes},
        displaced={found.path: found.file_changes},
    )
    planned = plan(now, now, observed)
    assert [file.path for file in planned.files] == [found.path]
    assert [f"{job.verb} {job.unit}" for job in planned.jobs] == ["restart app.service"]

    if change == "a directory":
        shutil.rmtree(root / "etc/app.conf")
    assert FilePlacement(root, "main").run(FILES).problems == {}
    assert asyncio.run(read_back.differences(now, Observed())) == ()


@pytest.fixture
def placed(root: Path) -> Path:
    """Return a machine on which `FILES` are placed."""
    assert FilePlacement(root, "main").run(FILES).problems == {}
    return root


def user_of_files(**fields: Any) -> Generation:
    """Return a generation with `FILES`, and a service that uses those in /etc."""
    member = Member(
        unit="app.service", item="services/app", wanted=Wanted.RUNNING, ours=True, uses=(("/etc/", OnChange.AUTO),)
    )
    return Generation(number=1, hash="1", artifacts=FILES, members=(replace(member, **fields),))


UNHELD = Observed()


def the_difference(root: Path, now: Generation, observed: Observed = UNHELD) -> Difference:
    """Return the one difference of a machine from ``now``."""
    (found,) = asyncio.run(ReadBack(PidOne(), root).differences(now, observed))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("edited", "content (line 1)"),
        ("deleted", "type file → missing"),
        ("chmod", "mode 0644 → 0600"),
        ("a link", "type file → link"),
        ("a directory", "type file → directory"),
        ("another target", "target app.conf → passwd"),
        ("exists again", "type missing → file"),
    ],
)
def test_a_changed_file_is_reported_with_its_old_and_new_state(placed: Path, change: str, words: str) -> None:
    _edit(placed, change)
    assert the_difference(placed, user_of_files()).condition.what.endswith(f" was changed by somebody else: {words}")


def test_the_plan_shows_the_lines_that_it_brings_back(placed: Path) -> None:
    _edit(placed, "edited")
    (change,) = the_difference(placed, user_of_files()).file_changes

    assert (change.key, change.old, change.new) == ("line 1", ("b",), ("a",))


def test_the_lines_of_a_file_that_not_everybody_may_read_are_not_shown(root: Path) -> None:
    secret = (RegularFile(path="/etc/secret", content="password 1\n", mode=0o600),)
    FilePlacement(root, "main").run(secret)
    (root / "etc/secret").write_text("password 2\n")

    found = the_difference(root, replace(user_of_files(), artifacts=secret))

    assert found.file_changes
    assert "password" not in repr(found)


def test_the_lines_that_an_administrator_has_hidden_are_not_shown(placed: Path) -> None:
    _edit(placed, "edited")
    _edit(placed, "chmod")

    assert "'b'" not in repr(the_difference(placed, user_of_files()))


def test_a_file_of_a_held_service_stays_as_the_administrator_left_it(placed: Path) -> None:
    _edit(placed, "edited")
    found = the_difference(placed, user_of_files(), Observed(holds={"app.service": Hold()}))

    assert (found.condition.fault, found.path, found.changes) == (False, "", ())
    assert "kept, because app.service is held" in found.condition.what


@pytest.mark.parametrize(
    ("member", "document", "enforced"),
    [
        ({}, {}, False),
        ({"drift": Drift.ENFORCE}, {}, True),
        ({}, {"files": {"/etc/app.conf": {"drift": "enforce"}}}, True),
        ({}, {"files": {"/etc/other": {"drift": "enforce"}}}, False),
    ],
)
def test_a_file_is_enforced_by_itself_or_by_the_service_that_uses_it(
    placed: Path, member: dict[str, Any], document: dict[str, Any], enforced: bool
) -> None:
    _edit(placed, "edited")
    now = replace(user_of_files(**member), document=document)

    assert the_difference(placed, now).condition.enforced is enforced
    assert is_mended("/etc/app.conf", now, frozenset()) is enforced
    assert is_mended("/etc/app.conf", now, frozenset({"app.service"}))


def test_a_socket_and_a_mount_are_read_back() -> None:
    class Answers(PidOne):
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


SOCKET = """
services:
  k1:
    command: /bin/k1
    listen: {stream: /run/k1.sock, mode: "0660", user: web}
"""
GROUP, OWNER = 4, 1003
"""The numbers of adm and web on the machine `root`."""


def socket_differences(root: Path, text: str, listen: list[tuple[str, str]]) -> tuple[Difference, ...]:
    """Return what is read back of a socket that PID 1 calls active, and says that it listens on ``listen``."""

    class Answers(PidOne):
        async def property(self, unit: str, name: str) -> Any:
            return listen

    now = compiled(text)
    states = {m.unit: UnitState(name=m.unit, load_state="loaded", active_state="active") for m in now.members}
    answers: Any = Answers()
    return asyncio.run(ReadBack(answers, root).differences(now, Observed(units=states)))


@pytest.mark.skipif(os.geteuid() != 0, reason="the file of a socket gets an owner")
@pytest.mark.parametrize(
    ("act", "key", "old", "new", "words"),
    [
        (lambda path: None, "", "", "", ""),
        (lambda path: path.unlink(), "ListenStream", "missing", "/run/k1.sock", "was removed by somebody else"),
        (lambda path: shutil.rmtree(path.parent), "ListenStream", "missing", "/run/k1.sock", "was removed"),
        (_replace_by_file, "ListenStream", "something else", "/run/k1.sock", "something else is at /run/k1.sock"),
        (lambda path: path.chmod(0o666), "SocketMode", "0666", "0660", "has the mode 0666, not 0660"),
        (lambda path: os.chown(path, 0, GROUP), "SocketUser", "root", "web", "has the owner root, not web"),
    ],
)  # fmt: skip
def test_the_file_of_a_socket_is_read_back_and_the_socket_is_bound_again(
    root: Path, act: Callable[[Path], object], key: str, old: str, new: str, words: str
) -> None:
    path = root / "run/k1.sock"
    path.parent.mkdir()
    os.mknod(path, stat.S_IFSOCK)
    os.chown(path, OWNER, GROUP)
    path.chmod(0o660)
    act(path)

    found = socket_differences(root, SOCKET, [("Stream", "/run/k1.sock")])

    changes = [(change.unit, change.key, change.old, change.new) for d in found for change in d.changes]
    assert changes == [("k1.socket", key, (old,), (new,))] * bool(key)
    assert all(d.condition.fault and d.condition.code == "SocketChanged" for d in found)
    assert all(d.condition.what.startswith("/a.yaml:9: ") and words in d.condition.what for d in found)


@pytest.mark.parametrize(
    ("section", "listen"),
    [
        ("ListenStream: /tmp/x", ("Stream", "/tmp/x")),
        ("ListenStream: /dev/x", ("Stream", "/dev/x")),
        ("ListenStream: '@x'", ("Stream", "@x")),
        ("ListenMessageQueue: /x", ("MessageQueue", "/x")),
        ("ListenSpecial: /proc/x", ("Special", "/proc/x")),
    ],
)
def test_an_address_without_a_file_that_the_agent_sees_is_not_looked_for(
    root: Path, section: str, listen: tuple[str, str]
) -> None:
    text = f"""
units:
  k.socket: {{Socket: {{{section}}}, Install: {{WantedBy: sockets.target}}}}
  k.service: {{Service: {{ExecStart: /bin/k}}}}
"""
    assert compiled(text).members
    assert socket_differences(root, text, [listen]) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="the file of a pipe gets a group")
def test_a_pipe_is_read_back_and_a_mode_that_the_documents_do_not_set_is_not(root: Path) -> None:
    text = """
units:
  k.socket: {Socket: {ListenFIFO: /run/k, SocketGroup: root}, Install: {WantedBy: sockets.target}}
  k.service: {Service: {ExecStart: /bin/k}}
"""
    path = root / "run/k"
    path.parent.mkdir()
    os.mkfifo(path, 0o600)

    assert socket_differences(root, text, [("FIFO", "/run/k")]) == ()
    os.chown(path, 0, GROUP)
    assert [d.actual for d in socket_differences(root, text, [("FIFO", "/run/k")])] == ["adm"]
    path.unlink()
    assert [d.actual for d in socket_differences(root, text, [("FIFO", "/run/k")])] == ["missing"]


def test_a_value_that_an_apply_could_not_change_is_not_tried_again(root: Path) -> None:
    class Store:
        def read_applied(self) -> None:
            return None

    now = compiled("sysctl: {net.ipv4.ip_forward: '1 # more'}")
    observer = Observer(systemd=None, root=root, store=Store())  # type: ignore[arg-type]
    reader = UnitState(
        name=SYSCTL_READER, load_state="loaded", active_state="active", sub_state="exited", invocation_id="1"
    )
    machine = Observed(units={SYSCTL_READER: reader})

    observed, (before,) = asyncio.run(observer.with_differences(machine, now))
    tried = plan(now, now, observed)
    verdicts = (UnitVerdict(unit=SYSCTL_READER, ok=True, what="active"),)
    done = Outcome(generation=1, hash="1", plan=tried, verdicts=verdicts)
    assert not futile_corrections(replace(done, verdicts=()), observed)
    assert not futile_corrections(done, machine)
    first = replace(tried, jobs=(Job(unit=SYSCTL_READER, verb=Verb.RESTART, reason="its file is new"),))
    assert futile_corrections(replace(done, plan=first), observed)
    add_futile_corrections(root, futile_corrections(done, observed))
    again, (after,) = asyncio.run(observer.with_differences(machine, now))

    assert [job.unit for job in tried.jobs] == [SYSCTL_READER]
    assert plan(now, now, again).jobs == ()
    assert before.condition.hint == "`ordainctl apply` corrects it"
    assert after.condition.hint == (
        f"an apply did not change it; see `journalctl -b -u {SYSCTL_READER}`, and correct the documents"
    )
    assert (after.condition.what, after.condition.fault) == (before.condition.what, True)

    (root / "proc/sys/net/ipv4/ip_forward").write_text("2\n")
    observed, _ = asyncio.run(observer.with_differences(machine, now))
    assert [job.unit for job in plan(now, now, observed).jobs] == [SYSCTL_READER]


HOME = """
users:
  web:
    uid: 1003
    home: /home/web
    keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl web]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a home gets an owner")
@pytest.mark.parametrize(
    ("path", "change", "shown", "corrected"),
    [
        ("home/web", lambda path: path.chmod(0o777), "mode 0700 → 0777", True),
        ("home/web", lambda path: os.chown(path, 0, 0), "owner web → root", True),
        ("home/web", lambda path: path.chmod(0o750), "", True),
        ("home/web/.ssh", lambda path: path.chmod(0o777), "mode 0700 → 0777", False),
        ("home/web/.ssh", lambda path: os.chown(path, 0, 0), "owner web → root", False),
        ("home/web/.ssh", lambda path: path.chmod(0o0), "mode 0700 → 0000", False),
        ("home/web/.ssh", lambda path: path.chmod(0o755), "", False),
    ],
)
def test_a_home_that_does_not_serve_its_user_is_found_and_corrected_where_no_user_can_replace_it(
    root: Path, path: str, change: Callable[[Path], None], shown: str, corrected: bool
) -> None:
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text().replace("web:x:1003:1003::/:", "web:x:1003:1003::/home/web:"))
    now = compiled(HOME)
    wanted = [file for file in now.artifacts if isinstance(file, PlacedFile) and file.path.startswith("/home")]
    read_back = ReadBack(PidOne(), root)  # type: ignore[arg-type]

    def found() -> list[Difference]:
        differences = asyncio.run(read_back.file_differences(now, Observed()))
        return [d for d in differences if not d.condition.what.partition(": ")[2].startswith("/home/web/.ssh/")]

    assert FilePlacement(root, "main").run(wanted).problems == {}
    assert found() == []
    change(root / path)
    differences = found()
    FilePlacement(root, "main").run(wanted)

    assert [d.condition.code for d in differences] == (["FileChanged"] if shown else [])
    for difference in differences:
        assert difference.condition.fault
        assert f"/{path} was changed by somebody else: " in difference.condition.what
        assert shown in difference.condition.what
        assert bool(difference.path) is corrected
        assert ("`ordainctl apply`" in difference.condition.hint) is corrected
        assert (f"`chown web:web /{path}` and `chmod 0700 /{path}`" in difference.condition.hint) is not corrected
    assert bool(found()) is (bool(shown) and not corrected)


@pytest.mark.skipif(os.geteuid() != 0, reason="a home gets an owner")
def test_an_empty_home_stays_when_its_keys_are_removed(root: Path) -> None:
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text().replace("web:x:1003:1003::/:", "web:x:1003:1003::/home/web:"))
    wanted = [a for a in compiled(HOME).artifacts if isinstance(a, PlacedFile) and a.path.startswith("/home")]

    FilePlacement(root, "main").run(wanted)
    FilePlacement(root, "main").run([file for file in wanted if "/.ssh" not in file.path])

    assert (root / "home/web").is_dir()
    assert not (root / "home/web/.ssh").exists()

"""Installations to real disks in files: partition tables, file systems, and a power cut before every step."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.install import installer
from ordain.agent.install.disk_content import BEGUN, BEGUN_AT, Verdict, judge, probe, read_content
from ordain.agent.install.disks import Disk
from ordain.agent.install.installer import InstallOutcome, InstallSource, install
from ordain.agent.install.start_file import Installation, read_start
from ordain.agent.install.tools import Tools
from ordain.transforms.netboot.disk_plan import (
    ALWAYS,
    MIB,
    DiskPlan,
    InstallOrder,
    PartitionPlan,
    install_words,
    parse_words,
)
from support.machines.loop_disks import LoopDisk, LoopTools, missing_for_disks

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(bool(missing_for_disks()), reason=missing_for_disks() or "-"),
]
SIZE = 512 * MIB
BIOS, ESP, ROOT = ALWAYS
# Many kernels that run tests cannot mount vfat, as that of firmware must be.
SMALL_ESP = replace(ESP, format="ext4", size_min=40 * MIB, size_max=40 * MIB)
ROOTS = [replace(ROOT, name=name, size_max=64 * MIB) for name in ("root", "root-b")]
DATA = PartitionPlan(
    name="data", type="linux-generic", format="ext4", size_min=64 * MIB, size_max=64 * MIB, mount="/srv"
)
SWAP = PartitionPlan(name="swap", type="swap", format="swap", size_min=16 * MIB, size_max=16 * MIB)
ONE = DiskPlan(policy="follow", partitions=(BIOS, SMALL_ESP, SWAP, ROOTS[0], DATA))
TWO = replace(ONE, partitions=(*ONE.partitions, ROOTS[1]))


class PowerCut(Exception):
    """The power is cut before a program runs."""


class Machine:
    """A machine with one disk and an image; `boot` is a boot that installs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "image"
        for name, text in {"boot/vmlinuz-6": "kernel", "boot/initrd.img-6": "initrd", "etc/fstab": "# none\n"}.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.file = home / "disk"
        self.said: list[str] = []
        self.commands: list[str] = []
        self.unlocked: list[int] = []

    @contextmanager
    def disk(self) -> Iterator[tuple[LoopDisk, LoopTools]]:
        """Yield the disk and the programs, until the power is cut."""
        disk = LoopDisk(self.file, SIZE)
        tools = LoopTools(disk)
        try:
            yield disk, tools
        finally:
            tools.cut_power()
            disk.close()

    def boot(self, plan: DiskPlan, text: str = "1", cut_at: int = -1) -> InstallOutcome:
        """Install an image with ``text`` in a file of it; with ``cut_at``, until that program would run."""
        (self.root / "etc/proof").write_text(text)
        order = order_of(plan, text)
        with self.disk() as (disk, tools):
            if cut_at >= 0:
                tools.run = cutting(tools.run, cut_at)  # type: ignore[method-assign]
            found = Disk(path=disk.device, size=SIZE)
            outcome = install(order, self.source(), (found,), tools, self.said.append)
            self.commands, self.unlocked = tools.commands, tools.unlocked
            return outcome

    def source(self) -> InstallSource:
        """Return the image of this machine, and its boot."""
        (self.home / "handed").mkdir(exist_ok=True)
        (self.home / "handed/web.yaml").write_text("document")
        return InstallSource(
            root=self.root,
            handed=self.home / "handed",
            work=self.home / "work",
            release="6",
            firmware="bios",
            words=("quiet",),
        )

    def state(self) -> Installation:
        """Return what the disk says that it has."""
        with self.disk() as (disk, tools), mounted(disk, tools, "esp", self.home / "mount") as where:
            return read_start(where)

    def read(self, partition: str, name: str) -> str:
        """Return the text of a file on a partition."""
        with self.disk() as (disk, tools), mounted(disk, tools, partition, self.home / "mount") as where:
            return (where / name).read_text(errors="replace")

    def write(self, partition: str, name: str, text: str) -> None:
        """Write a file on a partition."""
        with self.disk() as (disk, tools), mounted(disk, tools, partition, self.home / "mount") as where:
            (where / name).write_text(text)

    def started(self) -> str:
        """Return the text in the system that the disk would start, "" if it starts none."""
        state = self.state()
        if not state.id:
            return ""
        with self.disk() as (disk, tools):
            entries = read_content(disk.device, tools).entries
        (name,) = [entry.name.removeprefix("ordain-") for entry in entries if entry.uuid == state.partition]
        assert "boot; fi" in self.read("esp", "grub/grub.cfg")
        return self.read(name, "etc/proof")


@contextmanager
def mounted(disk: LoopDisk, tools: LoopTools, partition: str, where: Path) -> Iterator[Path]:
    """Mount a partition by its name."""
    (entry,) = [e for e in read_content(disk.device, tools).entries if e.name == f"ordain-{partition}"]
    tools.mount(disk.partition(entry.offset, 0), where)
    try:
        yield where
    finally:
        tools.unmount(where)


def order_of(plan: DiskPlan, text: str) -> InstallOrder:
    """Return the order to install an image with ``text``."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    words = ["ordain.root=http://server/files/images/x/1/root", f"ordain.root.sha256={digest}"]
    return parse_words([*install_words(plan, [digest]), *words, "ordain.root.memory=1000000"])


def cutting(run: Callable[..., str], at: int) -> Callable[..., str]:
    """Return ``run`` that cuts the power before the program number ``at``."""
    left = [at]

    def cut(*words: str | Path, allowed: Sequence[int] = (0,)) -> str:
        if not left[0]:
            raise PowerCut
        left[0] -= 1
        return run(*words, allowed=allowed)

    return cut


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(installer, "require_loader", lambda root, firmware: None)
    monkeypatch.setattr(installer, "least_root", lambda memory: 32 * MIB)
    return Machine(tmp_path)


def test_an_empty_disk_gets_the_system_and_all_that_a_disk_needs(machine: Machine) -> None:
    outcome = machine.boot(ONE)

    assert outcome.changed
    assert machine.state().id == outcome.id
    assert machine.started() == "1"
    table = machine.read("root", "etc/fstab").splitlines()
    assert table[0] == "# none"
    assert [line.split()[1:4] for line in table[1:]] == [
        ["/", "ext4", "defaults"],
        ["/srv", "ext4", "nofail,x-systemd.before=local-fs.target"],
        ["none", "swap", "sw,nofail"],
    ]
    assert "ordain/web.yaml" in machine.read("root", "boot/ordain-handed.cpio")
    start = machine.read("esp", "grub/grub.cfg")
    assert f"systemd.machine_id={machine.state().machine_id}" in start
    assert "ordain.installed=http://server/files/images/x/1/root" in start
    assert machine.file.read_bytes()[BEGUN_AT : BEGUN_AT + len(BEGUN)] == bytes(len(BEGUN))


@pytest.mark.parametrize("more", [ONE, TWO])
def test_udev_cannot_take_a_partition_away_while_file_systems_are_read_and_made(
    machine: Machine, more: DiskPlan
) -> None:
    for plan, text in ((ONE, "1"), (more, "2")):
        machine.boot(plan, text)

        written = next(number for number, command in enumerate(machine.commands) if "--dry-run=no" in command)
        later = machine.commands[written + 1 :]
        assert [command for command in later if command.startswith(("mkfs", "mkswap"))]
        assert max(machine.unlocked) <= written


def test_a_device_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="this device is gone"):
        probe(tmp_path / "gone", Tools())


def test_a_complete_installation_is_left_alone(machine: Machine) -> None:
    first = machine.boot(ONE)
    before = digest(machine.file)

    for again in (machine.boot(ONE), machine.boot(replace(ONE, policy="once"), "2")):
        assert again == replace(first, disk=again.disk, changed=False), "it may have another name in each boot"
    assert digest(machine.file) == before


def test_another_image_replaces_the_root_and_keeps_data_and_machine_id(machine: Machine) -> None:
    machine.boot(ONE)
    before = machine.state()
    machine.write("data", "kept", "data")
    machine.write("root", "etc/gone", "x")

    machine.boot(ONE, "2")

    assert machine.started() == "2"
    assert machine.read("data", "kept") == "data"
    assert machine.state().machine_id == before.machine_id
    assert [command for command in machine.commands if command.startswith(("mkfs", "mkswap", "grub"))] == [
        next(command for command in machine.commands if command.startswith("mkfs.ext4"))
    ]
    with pytest.raises(FileNotFoundError):
        machine.read("root", "etc/gone")


def test_new_partitions_are_added_without_a_new_root(machine: Machine) -> None:
    machine.boot(ONE)
    machine.write("root", "etc/kept", "kept")
    more = replace(ONE, partitions=(*ONE.partitions, replace(DATA, name="a-data", mount="/var/a #data")))

    machine.boot(more)

    assert machine.read("root", "etc/kept") == "kept"
    assert [line.split()[1] for line in machine.read("root", "etc/fstab").splitlines()[1:]] == [
        *("/", "/srv", r"/var/a\040\043data", "none")
    ]


def foreign_file_system(machine: Machine) -> None:
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", machine.file], check=True)


def foreign_table(machine: Machine) -> None:
    (machine.home / "defs").mkdir()
    (machine.home / "defs/1.conf").write_text("[Partition]\nType=linux-generic\nLabel=family photos\n")
    with machine.disk() as (disk, tools):
        tools.run("systemd-repart", f"--definitions={machine.home}/defs", "--empty=force", "--dry-run=no", disk.device)


def bytes_of_nobody(machine: Machine) -> None:
    with machine.file.open("r+b") as file:
        file.seek(4096)
        file.write(b"something")


@pytest.mark.parametrize("fill", [foreign_file_system, foreign_table, bytes_of_nobody])
def test_a_foreign_disk_is_refused_until_its_content_is_named(
    machine: Machine, fill: Callable[[Machine], None]
) -> None:
    with machine.disk():
        pass
    fill(machine)
    before = digest(machine.file)

    with pytest.raises(
        Failure, match=r"is not empty: it holds .*; nothing was written; .* to netboot\.disk\.wipe"
    ) as no:
        machine.boot(ONE)

    assert digest(machine.file) == before
    name = str(no.value).rpartition("add ")[2].partition(" ")[0]
    with pytest.raises(Failure, match="is not empty"):
        machine.boot(replace(ONE, wipe=(f"{name}0", "gpt-1")))
    assert digest(machine.file) == before
    machine.boot(replace(ONE, wipe=(name,)))
    assert machine.started() == "1"


def test_a_partition_with_another_content_is_refused(machine: Machine) -> None:
    machine.boot(ONE)
    before = machine.read("root", "etc/proof")

    with pytest.raises(
        Failure, match=r"the partition data holds ext4, and netboot\.disk says xfs; its content is kept"
    ):
        machine.boot(replace(ONE, partitions=(*ONE.partitions[:4], replace(DATA, format="xfs"))), "2")

    assert machine.started() == before


def test_a_partition_is_never_taken_for_another(machine: Machine) -> None:
    machine.boot(ONE)

    with pytest.raises(Failure, match="the partition ordain-data on the disk would become other"):
        machine.boot(replace(ONE, partitions=(*ONE.partitions[:4], replace(DATA, name="other"))), "2")

    assert machine.started() == "1"


def test_a_torn_first_table_is_ours_but_a_later_foreign_one_is_not(machine: Machine) -> None:
    with pytest.raises(PowerCut):
        machine.boot(ONE, cut_at=2)  # before systemd-repart
    with machine.file.open("r+b") as file:
        file.seek(SIZE - 512)
        file.write(b"EFI PART")  # the header at the end is written first
    with machine.disk() as (disk, tools):
        assert judge(read_content(disk.device, tools)) is Verdict.EMPTY
    foreign_table(machine)
    with machine.disk() as (disk, tools):
        assert judge(read_content(disk.device, tools)) is Verdict.FOREIGN


def test_a_power_cut_before_any_program_is_followed_by_a_whole_installation(machine: Machine) -> None:
    machine.boot(ONE)
    programs = len(machine.commands)
    machine.file.unlink()

    for at in range(programs):
        with pytest.raises(PowerCut):
            machine.boot(ONE, cut_at=at)
    machine.boot(ONE)

    assert machine.started() == "1"


def test_with_one_root_a_power_cut_never_leaves_a_half_system_that_starts(machine: Machine) -> None:
    machine.boot(ONE)
    machine.write("data", "kept", "data")

    started = started_after_each_cut(machine, ONE, "2")

    assert [text for text, _ in groupby(started)] == ["1", "", "2"]
    assert machine.read("data", "kept") == "data"


def test_with_two_roots_the_earlier_system_starts_until_the_new_one_does(machine: Machine) -> None:
    machine.boot(TWO)

    for text, before in (("2", "1"), ("3", "2")):
        started = started_after_each_cut(machine, TWO, text)

        assert [text for text, _ in groupby(started)] == [before, text]


def started_after_each_cut(machine: Machine, plan: DiskPlan, text: str) -> Iterator[str]:
    """Yield the text in the system that the disk starts after a power cut before each program, one after another."""
    at = 0
    while True:
        try:
            machine.boot(plan, text, cut_at=at)
            break
        except PowerCut:
            yield machine.started()
            at += 1
    yield machine.started()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

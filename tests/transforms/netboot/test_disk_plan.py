"""A disk to install to, from documents to the arguments of a kernel and back."""

from __future__ import annotations

import pytest

from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_image import BootImage, ImageFile
from ordain.transforms.netboot.boot_target import BootTarget, netboot_documents, resolve_netboot
from ordain.transforms.netboot.disk_plan import (
    ALWAYS,
    DiskPlan,
    PartitionPlan,
    install_of,
    install_words,
    parse_words,
)
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM

GIB = 1 << 30
DOCUMENT = "ordain: v1\nkind: Layer\nname: base\nnetboot: {image: proof, root: disk, disk: {%s}}\n"
IMAGE = BootImage(
    os="debian-13",
    release="6.12",
    generation="",
    memory=1000,
    kernel=ImageFile(sha256="1" * 64, size=10),
    initrd=ImageFile(sha256="2" * 64, size=20),
    root=ImageFile(sha256="3" * 64, size=300),
)
MORE = ("ordain.root=http://h/root", f"ordain.root.sha256={'3' * 64}", "ordain.root.memory=1030")


def resolved(disk: str) -> tuple[BootTarget | None, tuple[Problem, ...]]:
    documents, problems = read("boot.yaml", (DOCUMENT % disk).encode())
    assert problems == ()
    return resolve_netboot(netboot_documents(documents), BEFORE_ANY_SYSTEM)


def plan_of(disk: str) -> DiskPlan:
    target, problems = resolved(disk)
    assert problems == ()
    assert target is not None
    assert target.disk is not None
    return target.disk


def test_a_disk_has_partitions_for_both_firmwares_and_a_root_without_a_word() -> None:
    assert plan_of("") == DiskPlan(policy="once", partitions=ALWAYS)


def test_partitions_of_documents_are_added_in_the_order_of_their_types() -> None:
    plan = plan_of(
        "install: follow, device: {serial: S3Z*, size-min: 100G}, wipe: [gpt-1],"
        "partitions: {root: {size-min: 8G, size-max: 20G, format: xfs}, root-b: {type: root}, home: {},"
        "swap: {size-max: 1G}, data: {mount: /srv/my data}}"
    )

    assert plan == DiskPlan(
        policy="follow",
        device={"serial": "S3Z*", "size-min": "100G"},
        wipe=("gpt-1",),
        partitions=(
            ALWAYS[0],
            ALWAYS[1],
            PartitionPlan(name="swap", type="swap", format="swap", size_max=GIB),
            PartitionPlan(name="root", type="root", format="xfs", size_min=8 * GIB, size_max=20 * GIB),
            PartitionPlan(name="root-b", type="root", format="ext4"),
            PartitionPlan(name="home", type="home", format="ext4"),
            PartitionPlan(name="data", type="linux-generic", format="ext4", mount="/srv/my data"),
        ),
    )
    assert parse_words([*install_words(plan), *MORE]).plan == plan


@pytest.mark.parametrize(
    ("disk", "place", "what"),
    [
        ("partitions: {root: {format: vfat}}", "netboot/disk/partitions/root/format", "a system cannot be on vfat"),
        ("partitions: {esp: {type: root}}", "netboot/disk/partitions/esp/type", "which cannot change"),
        ("partitions: {efi: {type: esp}}", "netboot/disk/partitions/efi/type", "one partition of the type esp"),
        ("partitions: {a: {format: swap}}", "netboot/disk/partitions/a/format", "cannot hold swap"),
        ("partitions: {esp: {format: ext4}}", "netboot/disk/partitions/esp/format", "firmware does not read ext4"),
        ("partitions: {swap: {mount: /x}}", "netboot/disk/partitions/swap/mount", "no mount point of its own"),
        (
            "partitions: {a: {mount: {template: '/srv/../{{ facts.system_serial_number }}'}}}",
            "netboot/disk/partitions/a/mount",
            "cannot be a mount point",
        ),
        ("partitions: {a: {mount: /x}, b: {mount: /x}}", "netboot/disk/partitions/b/mount", "the same mount point"),
        (
            "partitions: {root: {size-min: 9G, size-max: 8G}}",
            "netboot/disk/partitions/root/size-max",
            "is less than its size-min",
        ),
    ],
)
def test_a_partition_that_cannot_be_is_a_problem_at_its_place(disk: str, place: str, what: str) -> None:
    target, problems = resolved(disk)

    assert target is None
    assert [(problem.where.pointer, problem.code) for problem in problems] == [(place, "Netboot")]
    assert what in problems[0].what


def test_only_an_image_can_be_installed() -> None:
    text = "ordain: v1\nkind: Layer\nname: base\nnetboot: {kernel: vmlinuz, root: disk}\n"
    documents, _ = read("boot.yaml", text.encode())

    target, problems = resolve_netboot(netboot_documents(documents), BEFORE_ANY_SYSTEM)

    assert target is None
    assert [problem.what for problem in problems] == ["only an image can be installed to a disk"]


def test_a_script_that_installs_has_the_plan_and_all_digests() -> None:
    target, _ = resolved("wipe: [ext4-9]")
    assert target is not None

    script = ipxe_script.answer(target, IMAGE, "images/proof/1")

    (line,) = [line for line in script.splitlines() if line.startswith("kernel ")]
    order = parse_words(line.split())
    assert (order.plan, order.root_sha256, order.memory) == (target.disk, "3" * 64, 1030)
    assert f" ordain.install.kernel={'1' * 64} ordain.install.initrd={'2' * 64} " in line
    assert ipxe_script.installation_of(script) == ("once", order.id)


def test_the_identity_is_that_of_the_disk_afterwards() -> None:
    def identity(plan: DiskPlan, *more: str) -> str:
        return str((install_of(install_words(plan, more)) or ("", ""))[1])

    plan = DiskPlan(partitions=ALWAYS)

    same = identity(plan, "quiet")
    assert identity(DiskPlan(partitions=ALWAYS, wipe=("gpt-1",), policy="follow"), "quiet") == same
    assert identity(plan, "debug") != same
    assert identity(DiskPlan(partitions=ALWAYS, device={"serial": "1"}), "quiet") != same


@pytest.mark.parametrize(
    "words",
    [
        ["ordain.install=maybe"],
        ["ordain.install=once"],
        ["ordain.install=once", "ordain.install.id=1", "ordain.root.memory=1"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=root,type=root"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=x,min=-1"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=../x,type=root"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.device=colour:red"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=x,type=srv,mount=/srv/../etc"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=x,type=srv,mount=/a%0Ab"],
        [*install_words(DiskPlan(partitions=ALWAYS)), *MORE, "ordain.install.partition=x,type=srv,mount=srv"],
    ],
)
def test_wrong_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"ordain\.install"):
        parse_words(words)

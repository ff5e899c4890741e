"""The one disk that documents mean is chosen by its facts; a doubtful choice is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.install.disks import Disk, choose_disk, list_disks

FIRST = Disk(
    path=Path("/dev/sda"), size=500 * 10**9, serial="S1", model="Samsung SSD 870", links=("/dev/disk/by-id/a",)
)
SECOND = Disk(path=Path("/dev/sdb"), size=2000 * 10**9, serial="S2", model="WDC WD20", wwn="0x5001")


@pytest.mark.parametrize(
    ("wanted", "disk"),
    [
        ({"serial": "S1"}, FIRST),
        ({"model": "WDC*"}, SECOND),
        ({"wwn": "0x5001"}, SECOND),
        ({"path": "/dev/disk/by-id/*"}, FIRST),
        ({"path": "/dev/sdb"}, SECOND),
        ({"size-min": "1T"}, SECOND),
        ({"size-max": "1T"}, FIRST),
    ],
)
def test_a_disk_is_chosen_by_each_fact(wanted: dict[str, str], disk: Disk) -> None:
    assert choose_disk([FIRST, SECOND], wanted) == disk


def test_the_only_disk_needs_no_fact() -> None:
    assert choose_disk([FIRST], {}) == FIRST


@pytest.mark.parametrize(
    ("disks", "wanted", "reason"),
    [
        (
            [FIRST, SECOND],
            {},
            r"2 disks are in this machine: /dev/sda \(Samsung SSD 870, serial S1, 500\.0 GB\), /dev/sdb",
        ),
        ([FIRST, SECOND], {"serial": "S*"}, r"2 disks have serial S\*: .*name one of them"),
        ([FIRST], {"serial": "S3"}, r"no disk has serial S3; this machine has: /dev/sda"),
        ([], {}, "this machine has no disk that can be written"),
    ],
)
def test_none_or_several_disks_are_refused(disks: list[Disk], wanted: dict[str, str], reason: str) -> None:
    with pytest.raises(Failure, match=reason):
        choose_disk(disks, wanted)


def test_disks_are_read_from_the_kernel_and_udev(tmp_path: Path) -> None:
    files = {
        "sys/class/block/vda/size": "2048\n",
        "sys/class/block/vda/ro": "0\n",
        "sys/class/block/vda/dev": "254:0\n",
        "sys/class/block/vda/serial": "PROOF1\n",
        "sys/class/block/sda/size": "4096\n",
        "sys/class/block/sda/dev": "8:0\n",
        "sys/class/block/sda/device/model": "QEMU HARDDISK   \n",
        "run/udev/data/b8:0": "S:disk/by-id/ata-QEMU\nE:ID_SERIAL_SHORT=QM1\nE:ID_WWN=0x5002\n",
        "sys/class/block/sda1/partition": "1\n",
        "sys/class/block/sda1/size": "10\n",
        "sys/class/block/loop0/size": "10\n",
        "sys/class/block/sr0/size": "10\n",
        "sys/class/block/sdb/size": "0\n",
        "sys/class/block/sdc/size": "10\n",
        "sys/class/block/sdc/ro": "1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert list_disks(tmp_path) == (
        Disk(
            path=Path("/dev/sda"),
            size=4096 * 512,
            serial="QM1",
            model="QEMU HARDDISK",
            wwn="0x5002",
            links=("/dev/disk/by-id/ata-QEMU",),
        ),
        Disk(path=Path("/dev/vda"), size=2048 * 512, serial="PROOF1"),
    )

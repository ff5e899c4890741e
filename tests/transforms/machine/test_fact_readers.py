"""The further facts are read from trees of files, only when they are asked for, and within bounds."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.formats.fact_table import FACT_TABLE, MAX_TEXT
from ordain.transforms.machine.fact_readers import OBSERVED, READERS, read_details, read_now, unknown_details
from ordain.transforms.machine.observed_facts import PATH, ObservedFacts, encode_observed
from ordain.transforms.resolve.used_facts import further_facts

GPU = "sys/bus/pci/devices/0000:17:00.0"
BMC = "sys/bus/pci/devices/0000:03:00.0"
CPU = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7713\nflags\t\t: avx fpu\n\n"
SERVER: Mapping[str, str] = {
    "sys/devices/system/cpu/present": "0-15,32\n",
    "sys/devices/system/cpu/cpu0/topology/physical_package_id": "0\n",
    "sys/devices/system/cpu/cpu1/topology/physical_package_id": "1\n",
    "sys/devices/system/cpu/cpufreq/x": "",
    "sys/devices/system/node/node0/cpulist": "0-15\n",
    "sys/devices/system/node/node1/cpulist": "32\n",
    "sys/devices/system/node/possible": "0-1\n",
    "sys/devices/system/memory/block_size_bytes": "8000000\n",
    "sys/devices/system/memory/memory0/state": "online\n",
    "sys/devices/system/memory/memory1/state": "online\n",
    "sys/devices/system/memory/soft_offline_page": "",
    "proc/meminfo": "MemTotal:         123456 kB\nMemFree: 1 kB\n",
    "proc/cpuinfo": CPU + "processor\t: 1\nvendor_id\t: Other\n",
    "proc/sys/kernel/osrelease": "6.12.41+deb13-amd64\n",
    f"{GPU}/class": "0x030200\n",
    f"{GPU}/vendor": "0x10de\n",
    f"{GPU}/device": "0x20B0\n",
    f"{BMC}/class": "0x030000\n",
    f"{BMC}/vendor": "0x1a03\n",
    f"{BMC}/device": "0x2000\n",
    "sys/class/dmi/id/sys_vendor": "Hetzner\n",
    "sys/class/dmi/id/chassis_type": "17\n",
    "sys/class/dmi/id/board_name": "H12SSL-i\n",
    "sys/class/dmi/id/bios_version": "2.4\n",
    "sys/class/dmi/id/chassis_asset_tag": "INV-1\n",
    "var/lib/dpkg/status": "Package: nginx\nStatus: install ok installed\n\nPackage: gone\n"
    "Status: deinstall ok config-files\n",
    "usr/lib/systemd/system/ssh.service": "",
    "usr/lib/systemd/system/ssh.service.d/x.conf": "",
    "etc/systemd/system/own.timer": "",
}
FACTS_OF_SERVER: Mapping[str, tuple[str, ...]] = {
    "cpus": ("17",),
    "cpu-sockets": ("2",),
    "numa-nodes": ("2",),
    "cpu-vendor": ("AuthenticAMD",),
    "cpu-model": ("AMD EPYC 7713",),
    "cpu-flag": ("avx", "fpu"),
    "memory": (str(256 << 20),),
    "kernel": ("6.12.41+deb13-amd64",),
    "pci": ("10de:20b0", "1a03:2000"),
    "pci-class": ("0300", "0302"),
    "gpu": ("nvidia",),
    "gpus": ("1",),
    "cloud": ("hetzner",),
    "chassis": ("server",),
    "board-name": ("H12SSL-i",),
    "bios-version": ("2.4",),
    "chassis-asset-tag": ("INV-1",),
    "package": ("nginx",),
    "unit": ("own.timer", "ssh.service"),
}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return plant(tmp_path, SERVER)


def test_every_fact_of_a_server_is_read(server: Path) -> None:
    assert read_now(server, FACT_TABLE.keys() - OBSERVED) == FACTS_OF_SERVER


def test_only_facts_that_are_asked_for_are_read(server: Path) -> None:
    assert read_details(server, ["cpus", "role", "facts.rack"]) == {"cpus": ("17",)}


def test_every_row_has_a_reader_and_an_example_that_is_valid() -> None:
    from ordain.transforms.document.formats.fact_table import value_error

    assert READERS.keys() == FACT_TABLE.keys()
    assert [name for name, row in FACT_TABLE.items() if value_error(name, row.example)] == []


def test_the_shipped_transforms_use_no_further_fact() -> None:
    assert further_facts(shipped()) == frozenset()


def test_a_machine_without_files_has_no_facts(tmp_path: Path) -> None:
    assert set(read_now(tmp_path, FACT_TABLE.keys() - {"disks"}).values()) == {()}


def test_a_container_has_no_hardware_but_the_cpus_and_the_memory_of_its_host(server: Path) -> None:
    plant(server, {"run/systemd/container": "systemd-nspawn\n"})

    facts = read_now(server, FACT_TABLE.keys() - OBSERVED)

    assert {name for name, values in facts.items() if values} == {
        name for name, row in FACT_TABLE.items() if row.in_container and name not in OBSERVED
    }


@pytest.mark.parametrize(
    ("files", "fact", "values"),
    [
        ({"sys/devices/system/cpu/present": "0-\n"}, "cpus", ()),
        ({"sys/devices/system/cpu/present": "9-3\n"}, "cpus", ()),
        ({"sys/devices/system/memory/block_size_bytes": "xyz\n"}, "memory", (str(123456 * 1024),)),
        ({"proc/cpuinfo": CPU.replace("AMD EPYC 7713", "x" * (MAX_TEXT + 1))}, "cpu-model", ()),
        ({"proc/cpuinfo": CPU.replace("AMD EPYC", "\x1b[31m")}, "cpu-model", ()),
        ({"sys/class/dmi/id/board_name": "x" * (2 << 20)}, "board-name", ()),
        ({"sys/class/dmi/id/chassis_type": "99"}, "chassis", ()),
        ({"var/lib/dpkg/status": "", "var/lib/pacman/local/gcc-libs-14.1-1/desc": ""}, "package", ("gcc-libs",)),
    ],
)
def test_a_damaged_file_costs_its_own_fact(
    server: Path, files: Mapping[str, str], fact: str, values: tuple[str, ...]
) -> None:
    plant(server, files)

    assert read_now(server, FACT_TABLE.keys() - OBSERVED) == {**FACTS_OF_SERVER, fact: values}


def test_packages_of_rpm_are_read_from_its_database(tmp_path: Path) -> None:
    path = tmp_path / "usr/lib/sysimage/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE 'Name' (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
        database.executemany("INSERT INTO Name VALUES (?, ?, 0)", [("bash", 1), ("kernel-core", 2), ("kernel-core", 3)])
    database.close()

    assert read_details(tmp_path, ["package"]) == {"package": ("bash", "kernel-core")}


def test_a_database_that_is_not_one_costs_no_more_than_the_packages(tmp_path: Path) -> None:
    plant(tmp_path, {"usr/lib/sysimage/rpm/rpmdb.sqlite": "not a database, but long enough for a header of SQLite" * 9})

    assert read_details(tmp_path, ["package"]) == {"package": ()}


DEVICES: Mapping[str, str] = {
    "sys/class/block/nvme0n1/device/model": "SAMSUNG  MZ1\n",
    "sys/class/block/nvme0n1/size": "2000000000\n",
    "sys/class/block/nvme0n1p1/partition": "1\n",
    "sys/class/block/nvme0n1p1/device/x": "",
    "sys/class/block/nvme0n1p1/size": "5\n",
    "sys/class/block/sda/device/model": "STICK\n",
    "sys/class/block/sda/removable": "1\n",
    "sys/class/block/sda/size": "5\n",
    "sys/class/block/sdb/device/model": "ST16\n",
    "sys/class/block/sdb/queue/rotational": "1\n",
    "sys/class/block/sdb/size": "100\n",
    "sys/class/block/loop0/size": "100\n",
    "sys/class/net/eno1/device/vendor": "0x8086\n",
    "sys/class/net/lo/address": "",
    "sys/class/infiniband/mlx5_0/node_type": "",
    "proc/net/route": "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eno1\t00000000\t0100010A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eno1\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "eno1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "damaged line\n",
    "proc/net/if_inet6": "20010db8000000000000000000000001 02 40 00 80     eno1\n"
    "fe800000000000000000000000000001 02 40 20 80     eno1\n"
    "00000000000000000000000000000001 01 80 10 80       lo\n",
}


@pytest.mark.skipif(sys.byteorder != "little", reason="/proc/net/route has the order of the machine")
def test_devices_and_networks_are_read(tmp_path: Path) -> None:
    assert read_now(plant(tmp_path, DEVICES), OBSERVED) == {
        "disk": ("nvme0n1", "sdb"),
        "disks": ("2",),
        "disk-size": ("51200", "1024000000000"),
        "disk-type": ("hdd", "nvme"),
        "disk-model": ("SAMSUNG MZ1", "ST16"),
        "nic": ("eno1",),
        "nic-driver": (),
        "infiniband": ("mlx5_0",),
        "subnet": ("10.1.0.0/16", "2001:db8::/64"),
        "gateway": ("10.1.0.1",),
    }


def test_facts_of_devices_are_unknown_until_the_agent_has_looked(tmp_path: Path) -> None:
    plant(tmp_path, {**DEVICES, "etc/machine-id": "0" * 32})
    names = ["disk", "cpus", "facts.rack"]
    assert unknown_details(tmp_path, names) == {"disk", "facts.rack"}
    assert read_details(tmp_path, names) == {"cpus": ()}

    facts = ObservedFacts(values=read_now(tmp_path, OBSERVED), failed=frozenset(["site"]))
    plant(tmp_path, {PATH: encode_observed(tmp_path, facts).decode()})

    assert unknown_details(tmp_path, [*names, "facts.site", "facts.site-row", "facts.sites"]) == {
        "facts.site",
        "facts.site-row",
    }
    assert read_details(tmp_path, names) == {"cpus": (), "disk": ("nvme0n1", "sdb")}

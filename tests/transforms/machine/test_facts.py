"""The facts of a machine are read from trees of files, correct and damaged ones."""

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.errors import Refused, Severity
from ordain.transforms.machine import os_release, rootfs
from ordain.transforms.machine.facts import ARCHITECTURES, elf_architecture, read_facts, survey
from ordain.transforms.model import Facts

DEBIAN_13 = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n'
FEDORA_42 = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42 (Server Edition)"\n'
ROCKY_9 = 'NAME="Rocky Linux"\nVERSION="9.4 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
QEMU = {
    "sys/class/dmi/id/sys_vendor": "QEMU\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n",
}


def elf(machine: int, *, wide: bool = True, little: bool = True) -> bytes:
    """Return the head of a program."""
    order = "<" if little else ">"
    return b"\x7fELF" + bytes([1 + wide, 2 - little, 1]) + bytes(9) + struct.pack(f"{order}HH", 3, machine) + bytes(40)


def plant(root: Path, files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None) -> Path:
    """Write ``files`` and ``links`` below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name, target in (links or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return root


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """Return the root of a virtual machine with Debian 13."""
    files: dict[str, str | bytes] = {
        "usr/lib/os-release": DEBIAN_13,
        "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so": "",
        "usr/lib/systemd/systemd": elf(62),
        "etc/hostname": "# ours\nweb-1\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "proc/1/mountinfo": "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
        "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet\n",
        "sys/devices/pci/net/ens3/address": "52:54:00:AB:CD:EF\n",
        "sys/devices/virtual/net/lo/address": "00:00:00:00:00:00\n",
        **QEMU,
    }
    links = {
        "etc/os-release": "../usr/lib/os-release",
        "sys/class/net/ens3": "../../devices/pci/net/ens3",
        "sys/class/net/lo": "../../devices/virtual/net/lo",
        "sys/devices/pci/net/ens3/device": "../../../pci",
    }
    return plant(tmp_path, files, links)


def test_the_facts_of_debian_13_in_a_virtual_machine(debian: Path) -> None:
    assert survey(debian) == (
        Facts(
            id="debian",
            version="13",
            systemd=257,
            arch="x86-64",
            virtualization="qemu",
            hostname="web-1",
            machine_id="0123456789abcdef0123456789abcdef",
            mac=("52:54:00:ab:cd:ef",),
            root="disk",
            system_firmware="bios",
            system_manufacturer="QEMU",
        ),
        (),
    )


def test_smbios_names_the_hardware_of_a_machine_but_not_of_a_container(debian: Path) -> None:
    files = {
        "sys/class/dmi/id/product_uuid": "4C4C4544-0042-3510-8052-B4C04F4D3332\n",
        "sys/class/dmi/id/product_serial": " 5R42CV5 \n",
        "sys/class/dmi/id/product_name": "PowerEdge R640\n",
        "sys/firmware/efi/fw_platform_size": "64\n",
    }
    plant(debian, files)
    facts = read_facts(debian)
    assert facts.system_uuid == "4c4c4544-0042-3510-8052-b4c04f4d3332"
    assert (facts.system_serial_number, facts.system_product_name) == ("5R42CV5", "PowerEdge R640")
    assert facts.system_firmware == "uefi"

    plant(debian, {"run/systemd/container": "lxc\n"})
    assert read_facts(debian).system_uuid == ""


def test_the_facts_of_debian_12_with_a_separate_lib(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
            "lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so": "",
            "lib/systemd/systemd": elf(62),
        },
    )
    facts, problems = survey(tmp_path)
    assert (facts.version, facts.systemd, facts.arch, facts.hostname) == ("12", 252, "x86-64", "localhost")
    assert problems == ()


@pytest.mark.parametrize(
    ("release", "library", "facts"),
    [
        (FEDORA_42, "usr/lib/systemd/libsystemd-shared-257.5-6.fc42.so", ("fedora", (), "42", 257)),
        (
            ROCKY_9,
            "usr/lib/systemd/libsystemd-shared-252-32.el9_4.so",
            ("rocky", ("rhel", "centos", "fedora"), "9.4", 252),
        ),
        ("ID=arch\nBUILD_ID=rolling\n", "usr/lib/systemd/libsystemd-shared-257.9-1.so", ("arch", (), "", 257)),
        (
            'ID="sles"\nID_LIKE="suse"\nVERSION_ID="15.6"\n',
            "usr/lib64/systemd/libsystemd-shared-254.so",
            ("sles", ("suse",), "15.6", 254),
        ),
    ],
)
def test_the_facts_of_other_systems(tmp_path: Path, release: str, library: str, facts: tuple[object, ...]) -> None:
    plant(tmp_path, {"etc/os-release": release, library: "", "usr/lib/systemd/systemd": elf(183)})
    found, problems = survey(tmp_path)
    assert (found.id, found.like, found.version, found.systemd) == facts
    assert found.arch == "arm64"
    assert problems == ()


def test_during_an_upgrade_the_newer_systemd_counts(debian: Path) -> None:
    plant(debian, {"usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-9.so": ""})
    assert read_facts(debian).systemd == 257


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        ({"run/host/container-manager": "podman\n", "run/systemd/container": "oci"}, "podman"),
        ({"proc/1/environ": "TERM=linux\0container=lxc\0"}, "lxc"),
        ({"proc/1/environ": "container=oci\0", "run/.containerenv": ""}, "podman"),
        ({"proc/1/environ": "container=theirs\0"}, "container-other"),
        ({".dockerenv": ""}, "docker"),
        ({"proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, "wsl"),
        ({}, "qemu"),
        ({"sys/devices/system/clocksource/clocksource0/available_clocksource": "kvm-clock tsc acpi_pm\n"}, "kvm"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, "amazon"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "m5.metal\n"}, "none"),
        (
            {"sys/class/dmi/id/sys_vendor": "Google\n", "sys/class/dmi/id/product_name": "Google Compute Engine\n"},
            "google",
        ),
        ({"sys/class/dmi/id/sys_vendor": "Unheard of\n"}, "vm-other"),
        ({"sys/class/dmi/id/sys_vendor": "Dell Inc.\n", "proc/cpuinfo": "flags : fpu vmx\n"}, "none"),
        ({"sys/hypervisor/type": "xen\n"}, "xen"),
        ({"sys/hypervisor/type": "xen\n", "proc/xen/capabilities": "control_d\n"}, "none"),
        ({"proc/cpuinfo": "vendor_id\t: User Mode Linux\n", "sys/class/dmi/id/sys_vendor": ""}, "uml"),
    ],
)
def test_virtualization_has_the_name_that_systemd_gives_it(debian: Path, files: Mapping[str, str], name: str) -> None:
    assert read_facts(plant(debian, files)).virtualization == name


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ("1 1 0:2 / / rw - rootfs rootfs rw\n", "ram"),
        ("1 1 0:2 / / rw - rootfs rootfs rw\n25 1 0:30 / / rw shared:1 - tmpfs tmpfs rw\n", "ram"),
        ("1 1 0:2 / / rw - rootfs rootfs rw\n25 1 254:1 / / rw shared:1 master:2 - xfs /dev/vda1 rw\n", "disk"),
        ("25 1 254:1 / / rw - ext4 /dev/vda1 rw\n26 25 0:30 / /run rw - tmpfs tmpfs rw\n", "disk"),
        (
            "1 1 0:2 / / rw - tmpfs tmpfs rw\n"
            "26 1 0:30 / /media/ann/x\u2028a\u2003b\u2003c\u2003d\u2003/\u2003e rw - fuse.x x rw\n",  # of ann
            "ram",
        ),
        ("nonsense\n - \n", "disk"),
        ("", "disk"),
    ],
)
def test_a_root_in_memory_is_ram(debian: Path, mounts: str, kind: str) -> None:
    assert read_facts(plant(debian, {"proc/1/mountinfo": mounts})).root == kind


def test_labels_of_the_kernel_command_line_override_others(debian: Path) -> None:
    plant(
        debian,
        {
            "etc/ordain/agent.yaml": "labels:\n  role: [web, cache]\n  rack: 012\n  pool: west\n  live: true\n",
            "proc/cmdline": 'quiet ordain.labels=pool=east,role=db ordain.labels=role=mail "ordain.labels=note=a b"\n',
        },
    )
    facts, problems = survey(debian)
    assert facts.labels == {
        "role": ("db", "mail"),
        "rack": ("012",),
        "pool": ("east",),
        "live": ("true",),
        "note": ("a b",),
    }
    assert facts.pinned == {"role", "pool", "note"}
    assert problems == ()


def test_a_container_has_the_command_line_of_its_init(debian: Path) -> None:
    plant(
        debian,
        {
            "run/systemd/container": "systemd-nspawn\n",
            "proc/cmdline": "ordain.labels=role=host\n",
            "proc/1/cmdline": "/sbin/init\0ordain.labels=role=guest\0",
        },
    )
    assert read_facts(debian).labels == {"role": ("guest",)}


def test_a_link_stays_below_the_root(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "hostname"
    outside.write_text("intruder\n")
    (debian / "etc/hostname").unlink()
    plant(debian, {}, {"etc/hostname": str(outside)})
    assert read_facts(debian).hostname == "localhost"
    (debian / "etc/hostname").unlink()
    plant(debian, {"srv/name": "inside\n"}, {"etc/hostname": "/../../srv/name"})
    assert read_facts(debian).hostname == "inside"


CONTENTS = {
    "bytes that are not text": bytes(range(256)) * 9,
    "an empty file": b"",
    "NUL": b"\0" * 64,
    "long lines": b"=" * 100_000 + b"\n[{" * 1000,
    "deep nesting": b"labels: " + b"[" * 5000,
}
NO_FILES = ("a huge file", "a directory", "a pipe", "a circle of links", "a dangling link")


def damage(file: Path, how: str) -> None:
    """Damage ``file``."""
    if how in CONTENTS:
        file.write_bytes(CONTENTS[how])
        return
    file.unlink()
    match how:
        case "a huge file":
            file.touch()
            os.truncate(file, 1 << 40)
        case "a directory":
            file.mkdir()
        case "a pipe":
            os.mkfifo(file)
        case "a circle of links":
            file.symlink_to(file.name)
        case "a dangling link":
            file.symlink_to("/nowhere")


FILES = (
    "usr/lib/os-release",
    "usr/lib/systemd/systemd",
    "etc/hostname",
    "etc/machine-id",
    "etc/ordain/agent.yaml",
    "proc/1/mountinfo",
    "proc/1/environ",
    "proc/cmdline",
    "proc/cpuinfo",
    "run/systemd/container",
    "sys/class/dmi/id/sys_vendor",
    "sys/devices/pci/net/ens3/address",
)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("how", [*CONTENTS, *NO_FILES])
def test_a_damaged_file_only_affects_its_own_fact(debian: Path, path: str, how: str) -> None:
    plant(debian, {"etc/ordain/agent.yaml": "labels: {}\n", "proc/1/environ": "", "run/systemd/container": ""})
    damage(debian / path, how)
    facts, problems = survey(debian)
    assert facts.systemd == 257
    assert facts.mac == (() if path.endswith("address") else ("52:54:00:ab:cd:ef",))
    assert {problem.severity for problem in problems} <= {Severity.WARNING}
    if how in ("a huge file", "a directory", "a pipe") and path in ("usr/lib/os-release", "etc/machine-id"):
        assert any("cannot be read" in problem.what for problem in problems)


@pytest.mark.parametrize(
    ("files", "warning"),
    [
        ({"usr/lib/os-release": "ID=debian\nwhat\n"}, "/etc/os-release:2: warning: not an assignment NAME=value"),
        (
            {"usr/lib/os-release": 'ID=debian\nNAME="open\n'},
            "/etc/os-release:2: warning: the quotes of NAME are wrong",
        ),
        ({"usr/lib/os-release": "ID=../etc\n"}, '/etc/os-release: warning: invalid ID "../etc"'),
        ({"etc/machine-id": "0123\n"}, "/etc/machine-id: warning: not 32 hexadecimal digits"),
        ({"etc/hostname": "a b\n"}, '/etc/hostname: warning: "a b" is not a host name'),
        ({"usr/lib/systemd/systemd": "#!/bin/sh\n"}, "/usr/lib/systemd/systemd: warning: not a program"),
        ({"proc/cmdline": "ordain.labels=web"}, '/proc/cmdline: warning: "web" in ordain.labels is not a label'),
        (
            {"proc/cmdline": "ordain.labels=os=arch"},
            "/proc/cmdline: warning: a label cannot have the name of a fact: os",
        ),
        (
            {"etc/ordain/agent.yaml": "labels:\n  id: x\n"},
            "/etc/ordain/agent.yaml:2: warning: labels/id: a label cannot have the name of a fact",
        ),
        ({"etc/ordain/agent.yaml": "labels: [web]\n"}, "/etc/ordain/agent.yaml:1: warning: labels: expected a map"),
        (
            {"etc/ordain/agent.yaml": "labels:\n  role: {a: b}\n"},
            "/etc/ordain/agent.yaml:2: warning: labels/role: expected a value",
        ),
        ({"etc/ordain/agent.yaml": "labels:\n\t- x\n"}, "/etc/ordain/agent.yaml:2: warning: "),
    ],
)
def test_a_warning_names_the_place_and_the_fault(debian: Path, files: Mapping[str, str], warning: str) -> None:
    facts, problems = survey(plant(debian, files))
    assert [str(p).startswith(warning) for p in problems] == [True], problems
    assert facts.labels == {}


def test_an_empty_root_has_default_facts(tmp_path: Path) -> None:
    facts, problems = survey(tmp_path)
    assert facts == Facts(id="linux", systemd=0, arch="unknown")
    assert [p.where.path for p in problems] == ["/etc/os-release", "/usr/lib/systemd"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A=", ""),
        ("A='$HOME `x` \\'", "$HOME `x` \\"),
        ('A="a \\"b\\" \\$c \\\\ \\n"', 'a "b" $c \\ \\n'),
        ("A=one\\ word", "one word"),
        ("A=\"two\"' three'", "two three"),
        ("  A=indented", "indented"),
    ],
)
def test_os_release_is_unquoted_as_in_a_shell(line: str, value: str) -> None:
    assert os_release.parse(f"# comment\n\n{line}\n") == ({"A": value}, ())


@pytest.mark.parametrize("line", ["A=two words", "A='open", 'A="open', "A=end\\", "1A=x", "A B=x"])
def test_a_line_that_a_shell_would_refuse_is_wrong(line: str) -> None:
    values, wrong = os_release.parse(f"{line}\nB=b\n")
    assert values == {"B": "b"}
    assert [number for number, _ in wrong] == [1]


def test_an_architecture_has_up_to_four_forms() -> None:
    assert elf_architecture(elf(8, wide=False, little=False)) == "mips"
    assert elf_architecture(elf(8, wide=False)) == "mips-le"
    assert elf_architecture(elf(22, little=False)) == "s390x"
    assert elf_architecture(elf(21)) == "ppc64-le"
    assert elf_architecture(elf(999)) == ""
    assert elf_architecture(elf(62)[:19]) == ""
    assert all(len(forms) in (1, 4) for forms in ARCHITECTURES.values())


def test_large_and_irregular_files_are_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"a": "12345"})
    assert rootfs.read(tmp_path, "a", limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        rootfs.read(tmp_path, "/a", limit=4)
    assert rootfs.read(tmp_path, "a/b") is None
    assert rootfs.head(tmp_path, "a", 2) == b"12"


@pytest.mark.parametrize("name", list(known_systems()))
def test_every_known_system_has_facts(name: str) -> None:
    facts = facts_for(name, labels={"role": ("web",)}, hostname="web")
    assert name.startswith(facts.id)
    assert 239 <= facts.systemd < 300
    assert (facts.hostname, facts.labels) == ("web", {"role": ("web",)})


def test_a_minor_release_has_the_facts_of_its_major_release() -> None:
    assert facts_for("rocky-9.6").version == "9.6"
    assert facts_for("rocky-9.6").systemd == 252
    assert facts_for("fedora-42", systemd=258).systemd == 258


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fedora-4", "fedora-4"), ("debain-12", "debian-12"), ("rhel-9.x", "rhel-9"), ("", "known systems")],
)
def test_an_unknown_system_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        facts_for(name)
    (problem,) = refused.value.problems
    assert problem.code == "UnknownSystem"
    assert hint in problem.hint

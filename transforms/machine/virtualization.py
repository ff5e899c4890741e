"""The container or virtual machine that a machine runs in, from files alone, in the words of systemd-detect-virt(1)."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from ordain.transforms.machine import rootfs

CONTAINERS = frozenset(
    ("docker", "lxc", "lxc-libvirt", "openvz", "podman", "pouch", "proot", "rkt", "systemd-nspawn", "wsl")
)
# Prefixes of DMI strings, in the order of systemd's src/basic/virt.c.
DMI = (
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
)
DMI_FILES = ("product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version")


def container(root: Path) -> str:
    """Return the type of container that the machine is, "" if it is not a container.

    systemd reads ``$container`` of PID 1. PID 1 writes it to run/systemd/container, which everybody can read. Source: https://systemd.io/CONTAINER_INTERFACE.
    """
    read = partial(_text, root)
    environment = dict(e.partition("=")[::2] for e in read("proc/1/environ").split("\0"))
    name = (
        read("run/host/container-manager").strip()
        or read("run/systemd/container").strip()
        or environment.get("container", "")
    )
    if name in CONTAINERS:
        return name
    release = read("proc/sys/kernel/osrelease")
    if "Microsoft" in release or "WSL" in release:
        return "wsl"
    if name in ("", "oci"):  # "oci" does not name the engine; two engines leave a file
        marked = {"podman": "run/.containerenv", "docker": ".dockerenv"}
        name = next((engine for engine, mark in marked.items() if rootfs.exists(root, mark)), name)
    return name if name in CONTAINERS or not name else "container-other"


def machine(root: Path) -> str:
    """Return the type of virtual machine that the machine is, ``none`` if it is physical.

    systemd asks the processor; this function only has files. A guest of KVM has kvm-clock. A guest that no DMI string
    names has the hypervisor flag (``vm-other``).
    """
    read = partial(_text, root)
    dmi = [read(f"sys/class/dmi/id/{name}").strip() for name in DMI_FILES]
    named = next((name for text in dmi for prefix, name in DMI if text.startswith(prefix)), "")
    if named == "amazon" and any(text.endswith(".metal") for text in dmi):
        return "none"
    if named in ("oracle", "xen", "amazon", "parallels", "google"):
        return named
    if read("sys/hypervisor/type").strip() == "xen":
        return "none" if "control_d" in read("proc/xen/capabilities") else "xen"
    if "kvm-clock" in read("sys/devices/system/clocksource/clocksource0/available_clocksource").split():
        return "kvm"
    processor = read("proc/cpuinfo")
    if re.search(r"^vendor_id\s*: User Mode Linux$", processor, re.MULTILINE):
        return "uml"
    guest = re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE)
    return named or ("vm-other" if guest else "none")


def _text(root: Path, path: str) -> str:
    """Return the text of a file, "" if it is missing or unreadable, as /proc/1/environ may be."""
    try:
        return (rootfs.read(root, path) or b"").decode("utf-8", "replace")
    except OSError:
        return ""

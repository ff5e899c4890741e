"""systemd's words for architectures and virtualization, which conditions compare."""

from __future__ import annotations

ARCHITECTURES = frozenset(
    """alpha arc arc-be arm arm-be arm64 arm64-be cris ia64 loongarch64 m68k mips mips-le mips64 mips64-le nios2 parisc
    parisc64 ppc ppc-le ppc64 ppc64-le riscv32 riscv64 s390 s390x sh sh64 sparc sparc64 tilegx x86 x86-64""".split()
)
"""The words of ConditionArchitecture= (systemd.unit(5)), without ``native``."""
ALIKE = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "arm64", "i686": "x86", "i386": "x86"}
"""Architectures in the words of others."""
VIRTUALIZATIONS = frozenset(
    """none kvm amazon qemu bochs xen uml vmware oracle microsoft zvm parallels bhyve qnx acrn powervm apple sre google
    vm-other systemd-nspawn lxc-libvirt lxc openvz docker podman rkt wsl proot pouch container-other""".split()
)
"""The words of systemd-detect-virt(1)."""
VIRTUAL = VIRTUALIZATIONS | {"vm", "container", "private-users"}
"""The words of ConditionVirtualization=, without those of a boolean."""
VIRTUAL_ALIKE = {
    "hyper-v": "microsoft", "hyperv": "microsoft", "virtualbox": "oracle", "vbox": "oracle", "esx": "vmware",
    "esxi": "vmware", "lxd": "lxc", "nspawn": "systemd-nspawn", "wsl2": "wsl", "physical": "none", "bare-metal": "none",
}  # fmt: skip
"""Words of others for virtualization."""

"""A disk in a file, for tests of installations: real partition tables and file systems, without a virtual machine.

The kernel of a test need not know partitions: each partition is a loop device of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ordain.agent.install.tools import Tools

PROGRAMS = ("losetup", "systemd-repart", "mkfs.ext4", "mkfs.vfat", "mkswap", "partx", "wipefs", "blkid")


def missing_for_disks() -> str:
    """Return the reason why no disks can be made here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    path = f"/usr/sbin:/sbin:{os.environ['PATH']}"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    probe = subprocess.run(["/usr/sbin/losetup", "--find"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "needs loop devices"


class LoopDisk:
    """A file of ``size`` bytes as a block device; `Tools` of it know its partitions."""

    def __init__(self, file: Path, size: int) -> None:
        if not file.exists():
            file.touch()
            os.truncate(file, size)
        self.file = file
        self.device = Path(_losetup("--find", "--show", str(file)))
        self._partitions: dict[tuple[int, int], Path] = {}

    def partition(self, offset: int, size: int) -> Path:
        """Return the device of a partition."""
        if (offset, size) not in self._partitions:
            limit = [f"--sizelimit={size}"] if size else []
            words = ["--find", "--show", f"--offset={offset}", *limit, str(self.device)]
            self._partitions[offset, size] = Path(_losetup(*words))
        return self._partitions[offset, size]

    def forget_partitions(self) -> None:
        """Detach the devices of the partitions."""
        for device in self._partitions.values():
            _losetup("--detach", str(device))
        self._partitions.clear()

    def close(self) -> None:
        """Detach everything, as a power cut does."""
        self.forget_partitions()
        _losetup("--detach", str(self.device))


def _losetup(*words: str) -> str:
    command = ["/usr/sbin/losetup", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class LoopTools(Tools):
    """The real programs, with the partitions of a `LoopDisk`."""

    def __init__(self, disk: LoopDisk) -> None:
        self.disk = disk
        self.commands: list[str] = []
        self.mounted: list[Path] = []
        self.unlocked: list[int] = []
        """The numbers of the commands that ran while udev could have looked at the disk."""

    def run(self, *words: str | Path, allowed: Sequence[int] = (0,)) -> str:
        """Run a program, or note that it would write a boot loader."""
        self.commands.append(" ".join(map(str, words)))
        with self.disk.device.open("rb", buffering=0) as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.unlocked.append(len(self.commands) - 1)
        if words[0] == "grub-install":
            return ""
        return super().run(*words, allowed=allowed)

    def mount(self, device: Path, where: Path, *, options: str = "") -> None:
        """Mount a file system, and know of it."""
        super().mount(device, where, options=options)
        self.mounted.append(where)

    def unmount(self, where: Path) -> None:
        """Unmount a file system."""
        super().unmount(where)
        self.mounted.remove(where)

    def cut_power(self) -> None:
        """Leave the disk as it is; the mounts end without a further write of this program."""
        while self.mounted:
            subprocess.run(["/usr/bin/umount", self.mounted.pop()], check=True)

    def partition_device(self, node: str, offset: int, size: int) -> Path:
        """Return the loop device of a partition."""
        return self.disk.partition(offset, size)

    def existing_partition(self, disk: Path, number: int, offset: int) -> Path:
        """Return the loop device of a partition that was there before."""
        return self.disk.partition(offset, 0)

"""The programs of the image that change a disk, and the mounts that they need: all effects of an installation."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ordain.agent.errors import Failure

DEVICE_WAIT_SEC = 20.0
_PAUSE_SEC = 0.05


class Tools:
    """Runs programs in this root; tests replace the parts that need a real machine."""

    _locked = -1

    def run(self, *words: str | Path, allowed: Sequence[int] = (0,)) -> str:
        """Return the output of a program. Raises `Failure` with its first error if it is missing or fails."""
        command = [os.fspath(word) for word in words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
                check=False,
            )
        except FileNotFoundError:
            raise Failure(f"{command[0]} is not in this image; {_remedy(command[0])}") from None
        if done.returncode not in allowed:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "dmesg(1)" not in line]
            raise Failure(f"{command[0]} {command[-1]}: {lines[-1] if lines else f'exit status {done.returncode}'}")
        return done.stdout

    def mount(self, device: Path, where: Path, *, options: str = "") -> None:
        """Mount a file system. Raises `Failure`."""
        where.mkdir(parents=True, exist_ok=True)
        self.run("mount", *(("-o", options) if options else ()), device, where)

    def unmount(self, where: Path) -> None:
        """Write everything to the file system, and unmount it. Raises `Failure`."""
        self.run("umount", where)

    def lock(self, disk: Path) -> None:
        """Keep udev off ``disk`` until `unlock`. Raises `Failure`.

        Whenever a program has written to a disk, udev has the kernel read its table again, and the partitions are gone
        for a moment: a partition with data would seem to be empty. It does that to no disk that is locked (see
        https://systemd.io/BLOCK_DEVICE_LOCKING).
        """
        self.unlock()
        self._locked = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
        end = time.monotonic() + DEVICE_WAIT_SEC
        while True:
            try:
                fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Failure(f"{disk}: another program has locked this disk; boot the machine again") from None
                time.sleep(_PAUSE_SEC)
            else:
                return

    def unlock(self) -> None:
        """Let udev look at the disk."""
        if self._locked >= 0:
            os.close(self._locked)
            self._locked = -1

    def partition_device(self, node: str, offset: int, size: int) -> Path:
        """Return the device of a new partition, which the kernel makes in its own time. Raises `Failure`."""
        device = Path(node)
        end = time.monotonic() + DEVICE_WAIT_SEC
        while not device.exists():
            if time.monotonic() > end:
                raise Failure(f"{device}: the kernel does not make this device of a partition; boot the machine again")
            time.sleep(_PAUSE_SEC)
        return device

    def existing_partition(self, disk: Path, number: int, offset: int) -> Path:
        """Return the device of a partition that was on the disk before. Raises `Failure`."""
        separator = "p" if disk.name[-1].isdigit() else ""
        return self.partition_device(f"{disk}{separator}{number}", offset, 0)


PACKAGES = {
    "systemd-repart": "systemd-repart (Debian 12: systemd)",
    "grub-install": "grub2-common and grub-pc-bin or grub-efi-amd64-bin",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.vfat": "dosfstools",
}
"""The packages of Debian with the programs that an image may lack."""


def _remedy(program: str) -> str:
    package = PACKAGES.get(program, "the package that has it")
    return f"install {package} in the tree, and make the image again"

"""A whole machine, emulated by qemu: a kernel, an initrd of several archives, disks, and a shell on a serial port.

    layers ─ram_root▶ initrd ─┐
                 cpio archives ┼─Qemu▶ run() … wait_boot() … poweroff()
    layers ─disk_image▶ disk ─┘

It is emulated because KVM is not available everywhere; a boot takes a minute, and half a second under systemd-nspawn.
The machine's clock counts its instructions (`CLOCK`). So a time of 20 s in the machine means the same whatever else the
host does; a busy host only makes everything take longer.
The guest needs `SHELL`, which puts a shell on its second serial port.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import MachineError

CLOCK = ("-accel", "tcg,thread=single", "-icount", "shift=1")
"""2^1 ns for each instruction: 500 million in a second, as on a small machine twenty years ago."""
KERNEL = ("linux-image-cloud-amd64", "zstd", "kmod")
PACKAGES = (*KERNEL, "initramfs-tools", "busybox")
"""The packages that a root needs to be such a machine."""
_INSTALLING = ("e2fsprogs", "dosfstools", "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin")
INSTALLING = {"bookworm": _INSTALLING, "trixie": ("systemd-repart", *_INSTALLING)}
"""The further packages of an image that installs itself to a disk, by suite."""
TOOLS = ("qemu-system-x86_64", "zstd", "mkfs.ext4")
CONSOLE = "console=ttyS0 panic=-1 systemd.log_target=console systemd.show_status=true"
"""Arguments of the kernel with which the first serial port shows the boot."""
SHELL = """\
[Unit]
DefaultDependencies=no
After=sysinit.target
[Service]
ExecStart=/bin/sh -c 'stty -echo -onlcr -icanon; echo READY; exec sh'
StandardInput=tty-force
StandardOutput=tty
TTYPath=/dev/ttyS1
Restart=always
KillMode=process
"""
LEFT_OUT = re.compile(
    r"(boot|usr/lib/modules|usr/share/(doc|man|locale|info)|var/cache|var/lib/apt|proc|sys|dev|run)/."
)
"""Directories whose content a machine in RAM does not need."""


def missing_tools() -> str:
    """Return the reason why no machine can run here, or ""."""
    absent = [tool for tool in TOOLS if shutil.which(tool, path=CLEAN_ENVIRONMENT["PATH"]) is None]
    return f"needs {', '.join(absent)}" if absent else ""


class Qemu:
    """One machine; ``initrds`` are concatenated, as a boot server does.

    Without a ``kernel``, the firmware boots from the network that ``options`` give it. ``within`` are the words of a
    command that runs qemu in another place, such as a network namespace.
    """

    def __init__(
        self,
        home: Path,
        *,
        kernel: Path | None,
        initrds: Sequence[bytes | Path] = (),
        cmdline: str = "",
        disks: Sequence[Path] = (),
        network: bool = False,
        options: Sequence[str] = (),
        memory_mb: int = 2048,
        within: Sequence[str] = (),
    ) -> None:
        self.home = home
        self._kernel, self._cmdline, self._memory_mb = kernel, cmdline, memory_mb
        self._initrds, self._disks, self._network, self._options = initrds, disks, network, options
        self._within = within
        self._command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._shell: socket.SocketIO | None = None

    def __enter__(self) -> Self:
        """Switch on."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "initrd").open("wb") as initrd:
            for part in self._initrds:
                initrd.write(part if isinstance(part, bytes) else part.read_bytes())
                initrd.write(bytes(-initrd.tell() % 512))
        words = f"{CONSOLE} {self._cmdline}"
        command = [*self._within, "qemu-system-x86_64", *CLOCK, "-cpu", "max", "-smp", "2"]
        command += ["-no-reboot", "-m", str(self._memory_mb), "-display", "none", "-nodefaults", "-no-user-config"]
        if self._kernel is not None:
            command += ["-kernel", os.fspath(self._kernel), "-initrd", os.fspath(self.home / "initrd")]
            command += ["-append", words]
        command += [
            "-serial",
            f"file:{self.home}/console",
            "-chardev",
            f"socket,id=shell,path={self.home}/shell,server=on,wait=off",
        ]
        command += ["-serial", "chardev:shell"]
        for number, disk in enumerate(self._disks):
            command += ["-drive", f"file={disk},format=raw,if=none,id=disk{number}"]
            command += ["-device", f"virtio-blk-pci,drive=disk{number}"]
        if self._network:
            command += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        self._command = [*command, *self._options]
        self._switch_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut the power."""
        if self._shell:
            self._shell.close()
        if self._process:
            self._process.kill()
            self._process.wait()

    def cut_power(self) -> None:
        """Cut the power at once; `switch_on` starts the machine again, with the same disks."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait_off(self, *, timeout: float = 600) -> None:
        """Wait until the machine reboots by itself, which ends it here; `switch_on` starts it again."""
        assert self._process is not None
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(f"no reboot within {timeout} s\n{self.console()[-3000:]}") from None

    def switch_on(self) -> None:
        """Start the machine again."""
        if self._shell:
            self._shell.close()
            self._shell = None
        self._switch_on()

    def _switch_on(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        _keep_priority(self._process.pid)

    def console(self) -> str:
        """Return the output on the first serial port."""
        path = self.home / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_boot(self, *, timeout: float = 600) -> str:
        """Wait for the shell, and then for the end of the boot; return the state that systemd reports."""
        self._connect(timeout)
        return self.run("systemctl is-system-running --wait", check=False, timeout=timeout).strip()

    def run(self, command: str, *, check: bool = True, timeout: float = 300) -> str:
        """Return the output of a command of sh; with ``check``, raise `MachineError` when it fails."""
        mark = f"END{time.monotonic_ns()}"
        quoted = base64.b64encode(command.encode()).decode()
        self._send(
            f"( echo {quoted} | base64 -d | sh ) </dev/null >/run/rig.out 2>&1; s=$?; base64 -w0 /run/rig.out; echo;"
            f" echo {mark} $s\n"
        )
        lines: list[str] = []
        for line in self._lines(timeout):
            if line.startswith(mark):
                out = base64.b64decode(lines[-1] if lines else "").decode(errors="replace")
                if check and line.split()[1] != "0":
                    raise MachineError(f"{command}: exit status {line.split()[1]}\n{out}")
                return out
            lines.append(line)
        raise MachineError(f"{command}: the shell has ended\n{self.console()[-3000:]}")

    def reboot(self, *, timeout: float = 600) -> str:
        """Reboot the machine and wait for that; return the state that systemd reports.

        This starts a new qemu: one that is only reset needs a minute more to unpack an initrd over translated code.
        """
        assert self._shell is not None
        assert self._process is not None
        self._send("systemctl reboot\n")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(f"no reboot within {timeout} s\n{self.console()[-3000:]}") from None
        self._shell.close()
        self._switch_on()
        return self.wait_boot(timeout=timeout)

    def _connect(self, timeout: float) -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + 20
        while True:
            try:
                end.connect(os.fspath(self.home / "shell"))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._shell = end.makefile("rwb", buffering=0)
        end.settimeout(timeout)
        for line in self._lines(timeout):
            if line.endswith("READY"):  # escape sequences of systemd may precede it
                return
        raise MachineError(f"no shell within {timeout} s\n{self.console()[-5000:]}")

    def _send(self, text: str) -> None:
        assert self._shell is not None
        self._shell.write(text.encode())

    def _lines(self, timeout: float) -> Iterator[str]:
        assert self._shell is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                line = self._shell.readline()
            except TimeoutError:
                break
            if not line:
                raise MachineError(f"{self.home.name} went off\n{self.console()[-5000:]}")
            yield line.decode(errors="replace").strip()
        raise MachineError(f"no answer within {timeout} s\n{self.console()[-5000:]}")


def _keep_priority(process: int) -> None:
    """Give a new session the priority of this one, by which the kernel shares the processors (sched(7), autogroup)."""
    with contextlib.suppress(OSError):  # the kernel shares them in another way, or we may not
        nice = Path("/proc/self/autogroup").read_text().split()[-1]
        Path(f"/proc/{process}/autogroup").write_text(nice)


# Archives and disks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One member of a cpio archive; ``device`` is major and minor."""

    path: str
    mode: int
    data: bytes = b""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)

    def bytes(self) -> bytes:
        """Return the member in the format "newc".

        See Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
        """
        name = os.fsencode(self.path) + b"\0"
        fields = (0, self.mode, self.uid, self.gid, 1, self.mtime, len(self.data), 0, 0, *self.device, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        return head + bytes(-len(head) % 4) + self.data + bytes(-len(self.data) % 4)


_END = _Member(path="TRAILER!!!", mode=0)


def cpio(files: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed archive of regular files of root, with the directories above them."""
    folders = {os.fspath(above) for path in files for above in Path(path).parents} - {"."}
    members = [
        *(_Member(path=folder, mode=stat.S_IFDIR | 0o755) for folder in sorted(folders)),
        *(_Member(path=path, mode=stat.S_IFREG | 0o644, data=data) for path, data in sorted(files.items())),
        _END,
    ]
    return b"".join(member.bytes() for member in members)


def ram_root(tree: Path, made: Path) -> None:
    """Write the file system ``tree``, without `LEFT_OUT`, to ``made`` as an initrd whose /init is systemd."""
    with (
        made.open("wb") as out,
        subprocess.Popen(["zstd", "-q", "-3"], stdin=subprocess.PIPE, stdout=out, env=CLEAN_ENVIRONMENT) as packer,
    ):
        assert packer.stdin is not None
        for member in _walk(tree):
            packer.stdin.write(member.bytes())
        init = _Member(path="init", mode=stat.S_IFLNK | 0o777, data=b"usr/lib/systemd/systemd")
        console = _Member(path="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1))
        packer.stdin.write(b"".join(member.bytes() for member in (init, console, _END)))
        packer.stdin.close()
    if packer.returncode:
        raise MachineError("zstd failed")


def disk_image(tree: Path, made: Path, *, label: str = "root", size_mb: int = 1024) -> None:
    """Write an ext4 file system of ``tree`` to ``made``."""
    command = ["mkfs.ext4", "-q", "-F", "-L", label, "-d", os.fspath(tree), os.fspath(made), f"{size_mb}M"]
    subprocess.run(command, check=True, env=CLEAN_ENVIRONMENT, stdout=subprocess.DEVNULL)


def _walk(tree: Path) -> Iterator[_Member]:
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted((*folders, *names)):
            full = Path(folder, name)
            path = os.fspath(full.relative_to(tree))
            if LEFT_OUT.match(path):
                if name in folders:
                    folders.remove(name)
                continue
            status = full.lstat()
            data = b""
            if stat.S_ISREG(status.st_mode):
                data = full.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                data = os.fsencode(full.readlink())
            elif not stat.S_ISDIR(status.st_mode):
                continue
            # Times are kept: Python ignores a compiled module whose source has another time.
            mtime, uid, gid = int(status.st_mtime), status.st_uid, status.st_gid
            yield _Member(path=path, mode=status.st_mode, data=data, uid=uid, gid=gid, mtime=mtime)

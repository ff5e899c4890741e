"""A machine: systemd as PID 1 under systemd-nspawn, on its own overlay, which keeps its content over power cuts.

    layers ─Machine▶ boot() … run() … power_cut() … boot() … poweroff()

Needs root. Several machines may run at once. Everything that a machine needs on the host lies below `STATE` and in its
own cgroups. Leaving the context removes it all; `sweep` does this for runs that were killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from rig.debian_roots import CLEAN_ENVIRONMENT, mount_overlay, mount_tmpfs

STATE = Path("/run/ordain-rig")
CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = f'mount -t cgroup2 none {CGROUPS} && exec "$@"'
IDLE_GENERATORS = (
    *("cryptsetup", "debug", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run", "ssh"),
    *("system-update", "tpm2", "veritysetup"),
)
"""Generators of systemd that make nothing in a machine of the rig; together they are half of the cost of a reload."""
IDLE_UNITS = frozenset(
    f"systemd-{name}.service"
    for name in (
        *("battery-check", "binfmt", "boot-random-seed", "bsod", "firstboot", "hibernate-clear", "hwdb-update"),
        *("journal-catalog-update", "machine-id-commit", "modules-load", "networkd-persistent-storage", "pcrmachine"),
        *("pcrphase", "pcrphase-sysinit", "pcrproduct", "pstore", "random-seed", "repart", "tpm2-setup"),
        *("tpm2-setup-early", "udev-load-credentials", "udev-trigger", "update-done", "update-utmp"),
    )
) | {
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount"),
    *("kmod-static-nodes.service", "ldconfig.service"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path"),
}
"""Units of systemd that do nothing in a machine of the rig; a reload without them takes a fifth less."""
T = TypeVar("T")


class MachineError(AssertionError):
    """A command failed in a machine, or something did not happen in time."""


class Machine:
    """One machine; ``layers`` are its read-only directories, the top one first, ``cmdline`` are arguments of PID 1.

    ``options`` are options of systemd-nspawn, and may change between boots. A ``complete`` machine, for figures, also
    runs the generators and the units of which `_save_time` knows that they change nothing.
    """

    def __init__(self, layers: Sequence[Path], *, cmdline: Sequence[str] = (), complete: bool = False) -> None:
        self.layers = tuple(layers)
        self.cmdline = tuple(cmdline)
        self.complete = complete
        self.options: tuple[str, ...] = ()
        self.name = f"ordain-{uuid.uuid4().hex[:8]}"
        self.home = STATE / self.name
        self.upper = self.home / "upper"
        self.tree = self.home / "tree"
        self._lock = -1
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Make the machine, switched off."""
        sweep()
        STATE.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(STATE / f"{self.name}.lock")
        try:
            self.home.mkdir()
            mount_tmpfs(self.home)
            for directory in (self.upper, self.home / "work", self.tree):
                directory.mkdir()
            mount_overlay(self.layers, self.upper, self.home / "work", self.tree)
            self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
            self.write("/etc/hostname", "machine\n")
            if not self.complete:
                self._save_time()
        except BaseException:
            self._remove()
            raise
        return self

    def _save_time(self) -> None:
        """Leave out work at boot and at reloads that changes nothing here."""
        generators = self.tree / "etc/systemd/system-generators"
        generators.mkdir(parents=True, exist_ok=True)
        for name in IDLE_GENERATORS:
            (generators / f"systemd-{name}-generator").symlink_to("/dev/null")
        for link in (self.tree / "usr/lib/systemd/system").glob("*.wants/*"):
            if link.name in IDLE_UNITS:
                link.unlink()
        # Caches of the linker and the journal are up to date (systemd-update-done.service(8)).
        updated = f"TIMESTAMP_NSEC={(self.tree / 'usr').stat().st_mtime_ns}\n"
        for directory in ("etc", "var"):
            self.write(f"/{directory}/.updated", updated)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut the power and remove everything."""
        self._remove()

    @property
    def running(self) -> bool:
        """Return whether the machine is on."""
        return self._nspawn is not None and self._nspawn.poll() is None

    @property
    def leader(self) -> int:
        """Return the host's process id of the machine's PID 1."""
        if not self.running:
            raise MachineError(f"{self.name} is off")
        return self._leader

    # Power

    def boot(self, *, wait: bool = True, timeout: float = 60) -> Self:
        """Switch on; with ``wait``, return when the boot has finished (running or degraded)."""
        if self.running:
            raise MachineError(f"{self.name} is on already")
        groups = [top / self.name / "cgroup.procs" for top in _hierarchies()]
        for group in groups:
            group.parent.mkdir(exist_ok=True)
        address = self.home / "notify"
        address.unlink(missing_ok=True)
        # Two systemds in one cgroup kill each other's processes, so the machine gets its own tree.
        join = 'while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'
        # nspawn gives a machine the same hierarchy of cgroups that it sees itself.
        nspawn = ["unshare", "--mount", "sh", "-c", UNIFIED, "sh"] if self._needs_unified() else []
        nspawn += ["systemd-nspawn", "--quiet", f"--directory={self.tree}", f"--machine={self.name}"]
        nspawn += ["--register=no", "--keep-unit", "--console=pipe", "--private-network"]
        nspawn += ["--resolv-conf=off", "--timezone=off", *self.options, "--boot", *self.cmdline]
        # Closed when the leader is known: nspawn would wait for room in a socket that nobody reads.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices, (self.home / "console").open("ab") as console:
            notices.bind(os.fspath(address))
            self._nspawn = subprocess.Popen(
                ["sh", "-c", join, "sh", *map(os.fspath, groups), "--", *nspawn],
                env={**CLEAN_ENVIRONMENT, "NOTIFY_SOCKET": os.fspath(address)},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            self._leader = self._wait_leader(notices, timeout)
        if wait:
            self.wait_running(timeout=timeout)
        return self

    def _needs_unified(self) -> bool:
        """Return whether its systemd (258 or later) refuses version 1 of cgroups, and the host has only that."""
        if (CGROUPS / "cgroup.procs").exists():
            return False
        libraries = self.tree.glob("usr/lib/*/systemd/libsystemd-shared-*.so")
        return any(int(path.stem.rpartition("-")[2]) >= 258 for path in libraries)

    def _wait_leader(self, notices: socket.socket, timeout: float) -> int:
        """Return the process id that nspawn announces when the machine's PID 1 has started (sd_notify(3))."""
        assert self._nspawn is not None
        notices.settimeout(0.1)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._nspawn.poll() is None:
            with contextlib.suppress(TimeoutError):
                for line in notices.recv(4096).decode().splitlines():
                    key, _, value = line.partition("=")
                    if key == "X_NSPAWN_LEADER_PID":
                        return int(value)
        raise MachineError(f"{self.name} does not start:\n{self.console()}")

    def wait_running(self, *, timeout: float = 60) -> str:
        """Wait for the end of the boot; return the state that systemd reports: ``running``, ``degraded``, …"""
        self.until("PID 1 listens", lambda: self.path("/run/systemd/private").exists(), timeout=timeout)
        wait = self.run("systemctl", "is-system-running", "--wait", check=False, timeout=timeout)
        return wait.stdout.strip()

    def poweroff(self, *, timeout: float = 60) -> None:
        """Shut down regularly."""
        self.run("systemctl", "poweroff", check=False)
        self._wait_off(timeout)

    def power_cut(self) -> None:
        """Kill PID 1 and, with it, all processes of the machine at once. The disk stays as it is."""
        if self.running:
            # Killing nspawn would not help: the machine would run on without it.
            os.kill(self.leader, signal.SIGKILL)
            self._wait_off(20)

    def reboot(self, *, timeout: float = 60) -> None:
        """Shut down regularly and boot again."""
        self.poweroff(timeout=timeout)
        self.boot(timeout=timeout)

    def _wait_off(self, timeout: float) -> None:
        assert self._nspawn is not None
        try:
            self._nspawn.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name} does not stop within {timeout} s:\n{self.console()}") from None

    # Commands and files

    def run(
        self, *argv: str, check: bool = True, timeout: float = 60, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine as root; with ``check``, raise `MachineError` when it fails."""
        command = ["nsenter", f"--target={self.leader}", "--all", "--root", "--wd", "--", *argv]
        with subprocess.Popen(
            command,
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                # The command is a child of nsenter and would outlive it, so the whole group is killed.
                os.killpg(process.pid, signal.SIGKILL)
                stdout, stderr = process.communicate()
                raise MachineError(f"{' '.join(argv)}: no end within {timeout} s\n{stdout}{stderr}") from None
        if check and process.returncode != 0:
            raise MachineError(f"{' '.join(argv)}: exit status {process.returncode}\n{stdout}{stderr}")
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def path(self, path: str) -> Path:
        """Return a path of the machine as the host sees it: with its mounts while it runs, else on its disk.

        Absolute symbolic links in the path lead to files of the host.
        """
        base = Path(f"/proc/{self._leader}/root") if self.running else self.tree
        return base / path.lstrip("/")

    def read(self, path: str) -> str:
        """Return the text of a file in the machine."""
        return self.path(path).read_text()

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the machine in one step, and make the directories above it."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.new")
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.chmod(mode)
        temporary.rename(target)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit as ``systemctl show`` prints them."""
        text = self.run("systemctl", "show", f"--property={','.join(properties)}", "--", unit).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def until(self, what: str, probe: Callable[[], T], *, timeout: float = 60, brief: bool = False) -> T:
        """Call ``probe`` until it returns a true value, and return that: for events that send no signal.

        It takes a tenth of the time at most, so that waiting does not slow down the event on a busy host; a quarter
        for a ``brief`` state, which passes by itself. The last call is after the end of the time.
        """
        pauses = 3 if brief else 9
        deadline = time.monotonic() + timeout
        begin = time.monotonic()
        while not (value := probe()):
            if not self.running:
                raise MachineError(f"{self.name} went off while waiting: {what}\n{self.console()}")
            now = time.monotonic()
            if now > deadline:
                raise MachineError(f"not within {timeout} s: {what}")
            time.sleep(max(0.05, min(2, pauses * (now - begin))))
            begin = time.monotonic()
        return value

    # Logs

    def journal(self, *arguments: str) -> str:
        """Return the journal, also of a machine that is off; ``arguments`` are options of journalctl."""
        if self.running:
            return self.run("journalctl", "--no-pager", "--output=short-monotonic", *arguments).stdout
        directory = f"--directory={self.tree}/var/log/journal"
        command = ["journalctl", directory, "--no-pager", "--output=short-monotonic", *arguments]
        return subprocess.run(command, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, check=False).stdout

    def console(self) -> str:
        """Return everything that was printed on the console."""
        return (self.home / "console").read_text(errors="replace")

    def _remove(self) -> None:
        _clear(self.name)
        if self._nspawn is not None:
            self._nspawn.wait(20)
        (STATE / f"{self.name}.lock").unlink()
        os.close(self._lock)


class Machines(Protocol):
    """The type of the fixture ``machines``: makes machines that end with the test."""

    def __call__(
        self, suite: str, *, cmdline: tuple[str, ...] = (), bare: bool = False, more: tuple[str, ...] = ()
    ) -> Machine:
        """Make a machine, switched off, with the package unless ``bare``, and with ``more`` packages of Debian."""
        ...


def _locked(path: Path) -> int:
    """Return a descriptor that holds the lock at ``path``.

    A `sweep` in another process may remove the file in between, so this tries again then.
    """
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


def sweep() -> None:
    """Remove the machines of killed runs: those whose lock nobody holds any more."""
    for lock in STATE.glob("ordain-*.lock"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(lock.stem)
            lock.unlink()


def _clear(name: str) -> None:
    """Kill the processes of machine ``name``; remove its cgroups and its directory."""
    trees = [top / name for top in _hierarchies()]
    deadline = time.monotonic() + 60
    while members := {process for tree in trees for process in _members(tree)}:
        if time.monotonic() > deadline:
            raise MachineError(f"{name}: processes {sorted(members)} cannot be killed")
        for process in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    for tree in trees:
        for directory, _, _ in os.walk(tree, topdown=False):
            with contextlib.suppress(FileNotFoundError):  # nspawn removes directories as well, until it ends
                Path(directory).rmdir()
    home = STATE / name
    if home.is_dir():
        if home.is_mount():
            subprocess.run(["umount", "--recursive", "--lazy", home], check=True, env=CLEAN_ENVIRONMENT)
        home.rmdir()


def _hierarchies() -> Iterator[Path]:
    """Yield the tops of the cgroup trees in which systemd keeps units: version 2, or the named one of version 1."""
    for top in (CGROUPS, CGROUPS / "systemd", CGROUPS / "unified"):
        if (top / "cgroup.procs").exists():
            yield top


def _members(tree: Path) -> Iterator[int]:
    """Yield the processes in a cgroup tree, which may change meanwhile: os.walk ignores vanished directories."""
    for directory, _, _ in os.walk(tree):
        with contextlib.suppress(OSError):
            yield from map(int, (Path(directory) / "cgroup.procs").read_text().split())

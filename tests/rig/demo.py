"""`make demo`: a real systemd boots from documents and follows them live; what is claimed on the way is checked.

The machine is a Debian 13 (``DEMO_SUITE=bookworm``: 12) with this tree's package, on an overlay that goes with it.
Exit status 0 when every step was what it says.
"""

from __future__ import annotations

import os
import sys
import time

from rig import debian_roots, package
from rig.machine import Machine, MachineError

DOCUMENTS = "/etc/ordain/documents"
EXAMPLES = package.TREE / "examples"
SERVICES = ("hello", "worker@large", "worker@small", "nginx", "ssh", "cron")


class Show:
    """What the audience sees: headings, commands and their output, checked claims, and the time that passed."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def heading(self, text: str) -> None:
        """A new act."""
        print(f"\n{self._colour('1;36', f'── {text} ')}{self._colour('36', '─' * max(2, 96 - len(text)))}", flush=True)

    def line(self, text: str) -> None:
        """One line with the time since the beginning."""
        stamp = f"{time.monotonic() - self.began:6.2f} s"
        print(f"{self._colour('2', stamp)}  {text}", flush=True)

    def text(self, text: str) -> None:
        """A document or a command's output."""
        for line in text.splitlines():
            print(f"          {self._colour('33', '│')} {line}", flush=True)

    def claim(self, what: str, holds: object) -> None:
        """Say ``what`` if it holds; else the demo has failed."""
        if not holds:
            raise MachineError(what)
        self.line(f"{self._colour('1;32', '✓')} {what}")

    def pause(self) -> None:
        """Time to read, for a person."""
        if self.terminal:
            time.sleep(5)

    def _colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.terminal else text


class Demo:
    """The machine on stage, one method per act."""

    def __init__(self, machine: Machine, show: Show) -> None:
        self.machine = machine
        self.show = show

    def acts(self) -> None:
        """All of it, in order."""
        self.boot()
        self.provenance()
        self.edit()
        self.mild()
        self.refuse()
        self.admin()
        self.reboot()

    def boot(self) -> None:
        """A first boot with nothing but documents."""
        self.show.heading("A few documents, and the power on")
        for example in sorted(EXAMPLES.glob("*.yaml")):
            self.machine.write(f"{DOCUMENTS}/{example.name}", example.read_bytes())
            self.show.line(f"{DOCUMENTS}/{example.name}")
            if example.stem in ("web", "nodes"):
                self.show.text(example.read_text())
        self.machine.write("/etc/hostname", "web-1\n")
        self.show.pause()
        self.show.line("systemd starts as PID 1, on a machine called web-1")
        self.machine.boot()
        self.machine.until("hello answers", lambda: self.answers(8080))
        self.settled()
        state = self.machine.wait_running()
        self.show.claim(f"booted; systemctl is-system-running: {state}", state == "running")
        self.command("journalctl", "--boot", "--unit=ordain-agent", "--output=cat")
        self.command("systemctl", "list-dependencies", "--plain", "ordain-services.target")
        self.command("curl", "--silent", "--head", "http://127.0.0.1:8080")
        self.show.claim("a service that only a document describes answers", self.answers(8080))
        said = self.command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7007; echo anyone there >&3; head -n 1 <&3")
        self.show.claim("another was started by this caller", said == "anyone there\n")
        self.command("findmnt", "--output=TARGET,FSTYPE,OPTIONS", "/srv/www")
        limit = self.machine.show("nginx.service", "LimitNOFILE")["LimitNOFILE"]
        self.show.claim("the distribution's nginx has its limit from base.yaml", limit == "65536")
        self.show.pause()

    def provenance(self) -> None:
        """Where each line came from."""
        self.show.heading("Ordinary units, and each line says where it came from")
        text = self.command("systemctl", "cat", "hello.service")
        self.show.claim(
            "systemctl cat names document and line", f"{DOCUMENTS}/nodes.yaml:{self.line_of('256M')}" in text
        )
        self.command("ordainctl", "explain", "services/hello/limits/memory")
        self.show.pause()

    def edit(self) -> None:
        """One value changes: one service restarts."""
        self.show.heading("An edit: exactly that service is reconfigured")
        before = self.processes()
        began = time.monotonic()
        self.replace("base.yaml", "port: 8080", "port: 8181")
        self.machine.until("hello answers on the new port", lambda: self.answers(8181))
        # PID 1's clock is the host's, so the show's own questions do not count.
        active = self.machine.show("hello.service", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
        seconds = int(active) / 1e6 - began
        # A second is the promise; a busy host is not the demo's to blame.
        self.show.claim(f"hello runs on its new port, {seconds:.2f} s after the edit", seconds < 10)
        self.changed(before, {"hello"})
        self.show.pause()

    def mild(self) -> None:
        """A limit changes: nothing restarts."""
        self.show.heading("Another edit, in the mildest way: a limit needs no restart")
        before = self.processes()
        self.replace("nodes.yaml", "memory: 256M", "memory: 384M")
        self.machine.until("hello has the new limit", lambda: self.limit() == 384 << 20)
        self.show.claim("hello has the new limit", True)
        self.changed(before, set())
        self.settled()
        self.command("ordainctl", "status")
        self.show.pause()

    def refuse(self) -> None:
        """A broken document changes nothing."""
        self.show.heading("A broken document is refused; everything runs on")
        before = self.processes()
        self.replace("nodes.yaml", "memory: 384M", "memroy: 512M")
        place = f"{DOCUMENTS}/nodes.yaml:{self.line_of('memroy')}:"
        said = self.command("ordainctl", "validate", DOCUMENTS, status=1)
        self.show.claim("file, line and column are named, and a remedy", place in said and "memory" in said)
        self.machine.until("the agent says so too", lambda: place in self.machine.journal("--unit=ordain-agent"))
        self.changed(before, set())
        self.show.claim("hello keeps its limit", self.limit() == 384 << 20)
        self.replace("nodes.yaml", "memroy: 512M", "memory: 384M")
        self.show.pause()

    def admin(self) -> None:
        """The hand of an administrator wins."""
        self.show.heading("An administrator's hand is respected")
        self.command("systemctl", "stop", "worker@small.service")
        before = self.processes()
        self.replace("nodes.yaml", "memory: 384M", "memory: 512M")
        self.machine.until("hello has the new limit", lambda: self.limit() == 512 << 20)
        self.settled()
        self.show.claim(
            "a document has changed, and worker@small stays stopped", self.state("worker@small") == "inactive"
        )
        self.changed(before, set())
        self.command("ordainctl", "status", "worker@small.service", status=None)
        self.show.pause()

    def reboot(self) -> None:
        """The generator brings the new state back by itself."""
        self.show.heading("Reboot, into the new state")
        self.machine.reboot()
        self.machine.until("hello answers", lambda: self.answers(8181))
        self.show.claim("up again, and hello is on its new port", self.machine.wait_running() == "running")
        self.show.claim("with its new limit", self.limit() == 512 << 20)
        self.show.claim("the worker stopped by hand is back", self.state("worker@small") == "active")
        placed = self.machine.show("hello.service", "FragmentPath")["FragmentPath"]
        self.show.claim(
            f"from {placed}, placed before any unit was loaded", placed.startswith("/run/systemd/generator")
        )

    # What the acts are made of

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a document, and show it."""
        path = f"{DOCUMENTS}/{name}"
        text = self.machine.read(path)
        assert old in text
        self.machine.write(path, text.replace(old, new))
        self.show.line(f"{path}: {old} → {new}")

    def line_of(self, text: str) -> int:
        """The line of nodes.yaml that holds ``text``."""
        before, found, _ = self.machine.read(f"{DOCUMENTS}/nodes.yaml").partition(text)
        assert found
        return before.count("\n") + 1

    def command(self, *argv: str, status: int | None = 0) -> str:
        """Run a command in the machine and show it with what it says; it must end with ``status``."""
        self.show.line(f"# {' '.join(argv)}")
        done = self.machine.run(*argv, check=False)
        self.show.text(done.stdout + done.stderr)
        if status is not None and done.returncode != status:
            raise MachineError(f"{' '.join(argv)}: exit status {done.returncode}, not {status}")
        return done.stdout + done.stderr

    def answers(self, port: int) -> bool:
        """Whether there is an HTTP server at ``port``."""
        return self.machine.run("curl", "--silent", "--head", f"http://127.0.0.1:{port}", check=False).returncode == 0

    def state(self, name: str) -> str:
        """ActiveState of a service."""
        return self.machine.show(f"{name}.service", "ActiveState")["ActiveState"]

    def limit(self) -> int:
        """MemoryMax of hello in bytes."""
        return int(self.machine.show("hello.service", "MemoryMax")["MemoryMax"])

    def settled(self) -> None:
        """Wait until the agent has nothing left to do."""
        self.machine.until(
            "the agent is done",
            lambda: self.machine.run("ordainctl", "plan", "--exit-code", check=False).returncode == 0,
        )

    def processes(self) -> dict[str, str]:
        """The process id of each service on stage."""
        return {name: self.machine.show(f"{name}.service", "MainPID")["MainPID"] for name in SERVICES}

    def changed(self, before: dict[str, str], expected: set[str]) -> None:
        """Show the process ids before and after; only those of ``expected`` may differ."""
        after = self.processes()
        for name in SERVICES:
            same = before[name] == after[name]
            self.show.text(f"{name:<12} PID {before[name]:>5}  {'unchanged' if same else f'→ {after[name]}'}")
        different = {name for name in SERVICES if before[name] != after[name]}
        self.show.claim(f"a new process: {', '.join(sorted(expected)) or 'none'}", different == expected)


def main() -> int:
    """Build, install, and play."""
    show = Show()
    if reason := debian_roots.missing_tools():
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    suite = os.environ.get("DEMO_SUITE", "trixie")
    if suite not in debian_roots.SUITES:
        print(f"demo: DEMO_SUITE is one of {', '.join(debian_roots.SUITES)}", file=sys.stderr)
        return 1
    show.heading("A package, and a Debian to put it in")
    deb = package.build()
    show.line(f"built {deb.name}")
    layers = debian_roots.with_package(suite, deb)
    show.line(f"apt installed it into {suite}")
    with Machine(layers) as machine:
        try:
            Demo(machine, show).acts()
        except MachineError as error:
            show.line(f"✗ {error}")
            if machine.running:
                print(machine.run("systemctl", "--failed", check=False).stdout, file=sys.stderr)
            machine.power_cut()
            print(machine.journal("--lines=60"), file=sys.stderr)
            return 1
    show.heading("That was all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

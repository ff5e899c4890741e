"""`make demo`: a real systemd boots from documents and follows them live; every claim in the output is checked.

The machine is a Debian 13 (``DEMO_SUITE=bookworm``: 12) with the package of this tree, on an overlay that is removed at
the end. The exit status is 0 if all claims were true.
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
    """The output: headings, commands and their output, checked claims, and the time that has passed."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def heading(self, text: str) -> None:
        """Print the heading of an act."""
        print(f"\n{self._colour('1;36', f'── {text} ')}{self._colour('36', '─' * max(2, 96 - len(text)))}", flush=True)

    def line(self, text: str) -> None:
        """Print one line with the time since the start."""
        stamp = f"{time.monotonic() - self.began:6.2f} s"
        print(f"{self._colour('2', stamp)}  {text}", flush=True)

    def text(self, text: str) -> None:
        """Print a document or the output of a command."""
        for line in text.splitlines():
            print(f"          {self._colour('33', '│')} {line}", flush=True)

    def claim(self, claim: str, is_true: object) -> None:
        """Print a claim if it is true; else fail."""
        if not is_true:
            raise MachineError(claim)
        self.line(f"{self._colour('1;32', '✓')} {claim}")

    def pause(self) -> None:
        """Give a person time to read."""
        if self.terminal:
            time.sleep(5)

    def _colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.terminal else text


class Demo:
    """The machine of the demo, with one method for each act."""

    def __init__(self, machine: Machine, show: Show) -> None:
        self.machine = machine
        self.show = show

    def acts(self) -> None:
        """Play all acts in order."""
        self.boot()
        self.provenance()
        self.edit()
        self.change_limit()
        self.refuse()
        self.override()
        self.reboot()

    def boot(self) -> None:
        """Show a first boot with nothing but documents."""
        self.show.heading("A first boot with a few documents")
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
        self.show.claim("another service was started by this connection", said == "anyone there\n")
        self.command("findmnt", "--output=TARGET,FSTYPE,OPTIONS", "/srv/www")
        limit = self.machine.show("nginx.service", "LimitNOFILE")["LimitNOFILE"]
        self.show.claim("the distribution's nginx has its limit from base.yaml", limit == "65536")
        self.show.pause()

    def provenance(self) -> None:
        """Show the origin of each line of a unit."""
        self.show.heading("Ordinary units, and each line names its origin")
        text = self.command("systemctl", "cat", "hello.service")
        self.show.claim(
            "systemctl cat names document and line", f"{DOCUMENTS}/nodes.yaml:{self.line_of('256M')}" in text
        )
        self.command("ordainctl", "explain", "services/hello/limits/memory")
        self.show.pause()

    def edit(self) -> None:
        """Show that a change of one value restarts one service."""
        self.show.heading("An edit: exactly that service is reconfigured")
        before = self.processes()
        began = time.monotonic()
        self.replace("base.yaml", "port: 8080", "port: 8181")
        self.machine.until("hello answers on the new port", lambda: self.answers(8181))
        # PID 1 uses the clock of the host, so the time of the demo's own requests does not count.
        active = self.machine.show("hello.service", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
        seconds = int(active) / 1e6 - began
        # Ordain promises one second; the limit here allows for a busy host.
        self.show.claim(f"hello runs on its new port, {seconds:.2f} s after the edit", seconds < 10)
        self.changed(before, {"hello"})
        self.show.pause()

    def change_limit(self) -> None:
        """Show that a change of a limit restarts nothing."""
        self.show.heading("Another edit: a new limit needs no restart")
        before = self.processes()
        self.replace("nodes.yaml", "memory: 256M", "memory: 384M")
        self.machine.until("hello has the new limit", lambda: self.limit() == 384 << 20)
        self.show.claim("hello has the new limit", True)
        self.changed(before, set())
        self.settled()
        self.command("ordainctl", "status")
        self.show.pause()

    def refuse(self) -> None:
        """Show that an invalid document changes nothing."""
        self.show.heading("An invalid document is refused; all services run on")
        before = self.processes()
        self.replace("nodes.yaml", "memory: 384M", "memroy: 512M")
        place = f"{DOCUMENTS}/nodes.yaml:{self.line_of('memroy')}:"
        said = self.command("ordainctl", "validate", DOCUMENTS, status=1)
        self.show.claim("the message names file, line and column, and a remedy", place in said and "memory" in said)
        self.machine.until("the agent reports it too", lambda: place in self.machine.journal("--unit=ordain-agent"))
        self.changed(before, set())
        self.show.claim("hello keeps its limit", self.limit() == 384 << 20)
        self.replace("nodes.yaml", "memroy: 512M", "memory: 384M")
        self.show.pause()

    def override(self) -> None:
        """Show that a manual change of an administrator is respected."""
        self.show.heading("A manual change of an administrator is respected")
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
        """Show that the generator starts the new state at boot."""
        self.show.heading("A reboot into the new state")
        self.machine.reboot()
        self.machine.until("hello answers", lambda: self.answers(8181))
        self.show.claim("up again, and hello is on its new port", self.machine.wait_running() == "running")
        self.show.claim("with its new limit", self.limit() == 512 << 20)
        self.show.claim("the worker that was stopped manually runs again", self.state("worker@small") == "active")
        placed = self.machine.show("hello.service", "FragmentPath")["FragmentPath"]
        self.show.claim(
            f"from {placed}, placed before any unit was loaded", placed.startswith("/run/systemd/generator")
        )

    # Parts of the acts

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a document, and show the change."""
        path = f"{DOCUMENTS}/{name}"
        text = self.machine.read(path)
        assert old in text
        self.machine.write(path, text.replace(old, new))
        self.show.line(f"{path}: {old} → {new}")

    def line_of(self, text: str) -> int:
        """Return the line of nodes.yaml that contains ``text``."""
        before, found, _ = self.machine.read(f"{DOCUMENTS}/nodes.yaml").partition(text)
        assert found
        return before.count("\n") + 1

    def command(self, *argv: str, status: int | None = 0) -> str:
        """Run a command in the machine, and show it with its output; require this exit status."""
        self.show.line(f"# {' '.join(argv)}")
        done = self.machine.run(*argv, check=False)
        self.show.text(done.stdout + done.stderr)
        if status is not None and done.returncode != status:
            raise MachineError(f"{' '.join(argv)}: exit status {done.returncode}, not {status}")
        return done.stdout + done.stderr

    def answers(self, port: int) -> bool:
        """Return whether an HTTP server answers at ``port``."""
        return self.machine.run("curl", "--silent", "--head", f"http://127.0.0.1:{port}", check=False).returncode == 0

    def state(self, name: str) -> str:
        """Return the ActiveState of a service."""
        return self.machine.show(f"{name}.service", "ActiveState")["ActiveState"]

    def limit(self) -> int:
        """Return MemoryMax of hello in bytes."""
        return int(self.machine.show("hello.service", "MemoryMax")["MemoryMax"])

    def settled(self) -> None:
        """Wait until the agent has nothing left to do."""
        self.machine.until(
            "the agent is done",
            lambda: self.machine.run("ordainctl", "plan", "--exit-code", check=False).returncode == 0,
        )

    def processes(self) -> dict[str, str]:
        """Return the process id of each service."""
        return {name: self.machine.show(f"{name}.service", "MainPID")["MainPID"] for name in SERVICES}

    def changed(self, before: dict[str, str], expected: set[str]) -> None:
        """Show the process ids before and after; require that only those of ``expected`` have changed."""
        after = self.processes()
        for name in SERVICES:
            same = before[name] == after[name]
            self.show.text(f"{name:<12} PID {before[name]:>5}  {'unchanged' if same else f'→ {after[name]}'}")
        different = {name for name in SERVICES if before[name] != after[name]}
        self.show.claim(f"a new process: {', '.join(sorted(expected)) or 'none'}", different == expected)


def main() -> int:
    """Build and install the package, and play the demo; return the exit status."""
    show = Show()
    if reason := debian_roots.missing_tools():
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    suite = os.environ.get("DEMO_SUITE", "trixie")
    if suite not in debian_roots.SUITES:
        print(f"demo: DEMO_SUITE is one of {', '.join(debian_roots.SUITES)}", file=sys.stderr)
        return 1
    show.heading("A package, and a Debian to install it in")
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
    show.heading("The end")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

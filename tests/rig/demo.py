"""`make demo`: a real systemd boots from documents and follows them live; what is claimed on the way is checked.

The machine is a Debian 13 (``DEMO_SUITE=bookworm``: 12) with this tree's package, on an overlay that goes with it.
Exit status 0 when every step was what it says.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from rig import package, roots
from rig.machine import Machine, MachineError

DOCUMENTS = "/etc/ordain/documents"
HELLO = """\
ordain: v1
kind: Layer
name: hello
services:
  hello:
    description: Says what it is told to say
    command:
      - /usr/bin/python3
      - -c
      - |
        import http.server, os
        class Hello(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(os.environ["GREETING"].encode())
        http.server.HTTPServer(("127.0.0.1", 8080), Hello).serve_forever()
    environment: {GREETING: "Hello, 100% of the world"}
    dynamic-user: true
    limits: {memory: 64M}
"""
WEB = """\
ordain: v1
kind: Layer
name: web
match: {os: debian}
services:
  nginx:                      # the distribution's own unit: it gets a drop-in
    limits: {memory: 256M}
  ssh: {nice: 5}
  tidy:
    command: [/usr/bin/find, /var/tmp, -mtime, "+30", -delete]
    schedule: {calendar: daily, persistent: true}
"""
SERVICES = ("hello", "nginx", "ssh", "cron")


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
        for line in text.rstrip("\n").split("\n"):
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
        self.show.heading("Two documents, and the power on")
        self.put("hello.yaml", HELLO)
        self.put("web.yaml", WEB)
        self.show.line("systemd starts as PID 1")
        self.machine.boot()
        self.show.claim("booted, and systemd is content", self.machine.wait_running() == "running")
        self.command("systemctl", "list-units", "--no-legend", "--plain", *self.units())
        answer = self.machine.until("hello answers", self.answer)
        self.show.claim("a service that only a document describes answers", answer == "Hello, 100% of the world")
        self.command("curl", "--silent", "http://127.0.0.1:8080")
        self.show.claim("the distribution's nginx got its limit", self.limit("nginx") == 256 << 20)

    def provenance(self) -> None:
        """Where each line came from."""
        self.show.heading("Ordinary units, and each line says where it came from")
        text = self.command("systemctl", "cat", "hello.service")
        self.show.claim("systemctl cat names the document and the line", "hello.yaml:20" in text)
        self.command("ordainctl", "explain", "services/hello/limits/memory")
        self.show.pause()

    def edit(self) -> None:
        """One value changes: one service restarts."""
        self.show.heading("An edit: exactly that service is reconfigured")
        before = self.processes()
        began = time.monotonic()
        self.put("hello.yaml", HELLO.replace("Hello, 100% of the world", "Good evening"), quiet=True)
        self.machine.until("the new answer", lambda: self.answer() == "Good evening")
        # PID 1's clock is the host's, so the show's own questions do not count.
        active = self.machine.show("hello.service", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
        seconds = int(active) / 1e6 - began
        self.show.line(f"GREETING is edited; {seconds:.2f} s later hello runs anew and answers: Good evening")
        self.show.claim("within a second", seconds < 1)
        self.changed(before, {"hello"})
        self.show.pause()

    def mild(self) -> None:
        """A limit changes: nothing restarts."""
        self.show.heading("Another edit, in the mildest way: a limit needs no restart")
        before = self.processes()
        self.put("web.yaml", WEB.replace("256M", "512M"), quiet=True)
        self.machine.until("nginx has the new limit", lambda: self.limit("nginx") == 512 << 20)
        self.show.line("nginx: MemoryMax is 512M now")
        self.changed(before, set())
        self.settled()
        self.command("ordainctl", "status")
        self.show.pause()

    def refuse(self) -> None:
        """A broken document changes nothing."""
        self.show.heading("A broken document is refused; everything runs on")
        before = self.processes()
        self.put("web.yaml", WEB.replace("limits: {memory: 256M}", "limts: {memory: lots}"), quiet=True)
        said = self.command("ordainctl", "validate", f"{DOCUMENTS}/web.yaml", status=1)
        self.show.claim("file, line and column are named", f"{DOCUMENTS}/web.yaml:7:" in said)
        self.machine.until("the agent says so too", lambda: "web.yaml:7:" in self.machine.journal("-u", "ordain-agent"))
        self.changed(before, set())
        self.show.claim("nginx keeps its limit", self.limit("nginx") == 512 << 20)
        self.put("web.yaml", WEB.replace("256M", "512M"), quiet=True)
        self.show.pause()

    def admin(self) -> None:
        """The hand of an administrator wins."""
        self.show.heading("An administrator's hand is respected")
        self.command("systemctl", "stop", "hello.service")
        before = self.processes()
        self.put("web.yaml", WEB.replace("256M", "384M"), quiet=True)
        self.machine.until("nginx has the new limit", lambda: self.limit("nginx") == 384 << 20)
        self.settled()
        self.show.claim("another document changed, and hello stays stopped", self.state("hello") == "inactive")
        self.changed(before, set())
        self.command("ordainctl", "status", "hello.service", status=None)
        self.show.pause()

    def reboot(self) -> None:
        """The generator brings the new state back by itself."""
        self.show.heading("Reboot, into the new state")
        self.machine.reboot()
        self.show.line("up again")
        self.machine.until("hello answers", lambda: self.answer() == "Good evening")
        self.show.claim("hello says what it was last told", True)
        self.show.claim("nginx has its last limit", self.limit("nginx") == 384 << 20)
        placed = self.machine.show("hello.service", "FragmentPath")["FragmentPath"]
        self.show.claim(f"placed before PID 1 loaded any unit: {placed}", placed.startswith("/run/systemd/generator"))

    # What the acts are made of

    def put(self, name: str, text: str, *, quiet: bool = False) -> None:
        """Save a document, and show it."""
        self.machine.write(f"{DOCUMENTS}/{name}", text)
        if not quiet:
            self.show.line(f"{DOCUMENTS}/{name}")
            self.show.text(text)

    def command(self, *argv: str, status: int | None = 0) -> str:
        """Run a command in the machine and show it with what it says; it must end with ``status``."""
        self.show.line(f"# {' '.join(argv)}")
        done = self.machine.run(*argv, check=False)
        self.show.text(done.stdout + done.stderr)
        if status is not None and done.returncode != status:
            raise MachineError(f"{' '.join(argv)}: exit status {done.returncode}, not {status}")
        return done.stdout + done.stderr

    def answer(self) -> str:
        """What hello answers; empty while it does not."""
        return self.machine.run("curl", "--silent", "http://127.0.0.1:8080", check=False).stdout

    def units(self) -> Iterator[str]:
        """The services on stage."""
        return (f"{name}.service" for name in SERVICES)

    def state(self, name: str) -> str:
        """ActiveState of a service."""
        return self.machine.show(f"{name}.service", "ActiveState")["ActiveState"]

    def limit(self, name: str) -> int:
        """MemoryMax of a service in bytes."""
        value = self.machine.show(f"{name}.service", "MemoryMax")["MemoryMax"]
        return -1 if value == "infinity" else int(value)

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
            self.show.text(f"{name:<8} PID {before[name]:>5}  {'unchanged' if same else f'→ {after[name]}'}")
        different = {name for name in SERVICES if before[name] != after[name]}
        self.show.claim(f"a new process: {', '.join(sorted(expected)) or 'none'}", different == expected)


def main() -> int:
    """Build, install, and play."""
    show = Show()
    if reason := roots.missing():
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    suite = os.environ.get("DEMO_SUITE", "trixie")
    if suite not in roots.SUITES:
        print(f"demo: DEMO_SUITE is one of {', '.join(roots.SUITES)}", file=sys.stderr)
        return 1
    show.heading("A package, and a Debian to put it in")
    deb = package.build()
    show.line(f"built {deb.name}")
    layers = roots.with_package(suite, deb)
    show.line(f"apt installed it into {suite}")
    with Machine(layers, hostname="demo") as machine:
        try:
            Demo(machine, show).acts()
        except MachineError as error:
            show.line(f"✗ {error}")
            machine.power_cut()
            print(machine.journal("--lines=60"), file=sys.stderr)
            return 1
    show.heading("That was all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

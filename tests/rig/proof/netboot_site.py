"""A site whose machines boot from the network: a network namespace with a wire, real dnsmasq and `ordainctl serve`.

    machine (qemu) ── tap ── namespace: dnsmasq (address, iPXE by TFTP, URL) and `ordainctl serve` (script, files)

`Site.stop_server` and `start_server` are a restart of the server; the machines see a connection that breaks. The site
may have relays of a store in place of the server: the first one at its address.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import MachineError

ADDRESS = "192.0.2.1"
PORT = 8081
LEASES = "192.0.2.100,192.0.2.200"
TAP = "wire"
ORDAINCTL = (
    sys.executable,
    "-B",
    "-c",
    "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))",
)


class Site:
    """The network of a site and its servers; ``files`` are the images, ``state`` the records of the server."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.files, self.documents, self.state = (home / name for name in ("files", "documents", "state"))
        self.log = home / "serve.log"
        self._name = f"ordain-{home.name[-8:]}"
        self.within = ("ip", "netns", "exec", self._name)
        self._server: subprocess.Popen[bytes] | None = None
        self._relays: dict[int, subprocess.Popen[bytes]] = {}
        self._dnsmasq: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Make the network, and start dnsmasq with the configuration that the server prints."""
        for directory in (self.home, self.files, self.documents, self.state):
            directory.mkdir(exist_ok=True)
        self._ip("netns", "add", self._name)
        inside = ("-n", self._name)
        self._ip(*inside, "link", "set", "lo", "up")
        self._ip(*inside, "tuntap", "add", "dev", TAP, "mode", "tap")
        self._ip(*inside, "address", "add", f"{ADDRESS}/24", "dev", TAP)
        self._ip(*inside, "link", "set", TAP, "up")
        configuration = self.home / "dnsmasq.conf"
        configuration.write_text(self.ordainctl(*self._serve(), "--print-dnsmasq", LEASES))
        command = [*self.within, "dnsmasq", "--no-daemon", f"--conf-file={configuration}", f"--interface={TAP}"]
        command += ["--user=root", f"--dhcp-leasefile={self.home}/leases", "--pid-file="]
        with (self.home / "dnsmasq.log").open("wb") as log:
            self._dnsmasq = subprocess.Popen(command, stdout=log, stderr=log, env=CLEAN_ENVIRONMENT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the servers, and remove the network."""
        self.stop_server()
        for number in tuple(self._relays):
            self.stop_relay(number)
        if self._dnsmasq:
            self._dnsmasq.kill()
            self._dnsmasq.wait()
        self._ip("netns", "delete", self._name)

    def _serve(self) -> list[str]:
        words = ["serve", str(self.documents), "--files", str(self.files), "--state", str(self.state)]
        return [*words, "--listen", f"{ADDRESS}:{PORT}"]

    def start_server(self) -> None:
        """Start `ordainctl serve`, and wait until it listens."""
        self._server = self._start(self._serve(), self.log, f"{ADDRESS}:{PORT}/")

    def start_relay(self, number: int, store: Path) -> None:
        """Start a relay of ``store``, the first one at the address of the server, and wait until it has a copy."""
        state = self.relay_state(number)
        words = ["serve", "--store", str(store), "--name", f"relay{number}", "--state", str(state)]
        words += ["--files", str(self.files), "--listen", f"{ADDRESS}:{PORT + number - 1}"]
        self._relays[number] = self._start(words, self.home / f"relay{number}.log", ": connected\n")

    def relay_state(self, number: int) -> Path:
        """Return the directory of a relay, with its records of machines."""
        return self.home / f"relay{number}"

    def stop_relay(self, number: int) -> None:
        """Kill a relay."""
        process = self._relays.pop(number)
        process.kill()
        process.wait()

    def _start(self, words: list[str], path: Path, wanted: str) -> subprocess.Popen[bytes]:
        """Start `ordainctl` in the network, and wait until its log says ``wanted``."""
        began = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            process = subprocess.Popen([*self.within, *ORDAINCTL, *words], stderr=log)
        end = time.monotonic() + 60
        while wanted not in path.read_text()[began:]:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                raise MachineError(f"the server does not start:\n{path.read_text()}")
            time.sleep(0.1)
        return process

    def script(self, mac: str, relay: int = 1) -> str:
        """Return the script that a relay has for a machine."""
        url = f"http://{ADDRESS}:{PORT + relay - 1}/boot.ipxe?mac={mac}"
        command = [*self.within, "curl", "--silent", "--show-error", "--fail", url]
        return subprocess.run(command, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, check=True).stdout

    def stop_server(self) -> None:
        """Stop the server in the middle of its answers."""
        if self._server:
            self._server.kill()
            self._server.wait()
            self._server = None

    def wait_logged(self, pattern: str, *, after: int = 0, timeout: float = 900) -> None:
        """Wait until the log of the server has ``pattern`` after its byte ``after``."""
        end = time.monotonic() + timeout
        while not re.search(pattern, self.log.read_text()[after:]):
            if time.monotonic() > end:
                raise MachineError(f"the server does not log {pattern}\n{self.log.read_text()}")
            time.sleep(0.05)

    def ordainctl(self, *words: str) -> str:
        """Return the output of a command of the administrator on the server."""
        done = subprocess.run([*ORDAINCTL, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"ordainctl {' '.join(words)}: exit status {done.returncode}\n{done.stderr}")
        return done.stdout

    def card(self, mac: str) -> list[str]:
        """Return the options of a machine whose network card is on the wire, and that boots from it."""
        wire = f"tap,id=net,ifname={TAP},script=no,downscript=no"
        return ["-netdev", wire, "-device", f"virtio-net-pci,netdev=net,mac={mac}", "-boot", "n"]

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], env=CLEAN_ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"ip {' '.join(words)}: {done.stderr.strip()}")

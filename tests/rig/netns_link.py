"""A network link between the host and a machine: the machine reaches servers of the host over it, and it can fail."""

from __future__ import annotations

import secrets
import subprocess
from types import TracebackType
from typing import Self

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import Machine


class HostLink:
    """A pair of virtual Ethernet devices to a running machine.

    ``host`` and ``other`` are addresses of the host. The context removes both ends.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._name = f"ordain{secrets.token_hex(3)}"
        net = f"10.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}"
        self.host, self._guest = f"{net}.1", f"{net}.2"
        self.other = f"{net}.5"

    def __enter__(self) -> Self:
        _ip("link", "add", self._name, "type", "veth", "peer", "name", "host0", "netns", str(self._machine.leader))
        _ip("address", "add", f"{self.host}/30", "dev", self._name)
        _ip("link", "set", self._name, "up")
        self._machine.run("ip", "address", "add", f"{self._guest}/30", "dev", "host0")
        self._machine.run("ip", "link", "set", "host0", "up")
        _ip("address", "add", f"{self.other}/32", "dev", self._name)
        self._machine.run("ip", "route", "add", self.other, "via", self.host)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["ip", "link", "delete", self._name], env=CLEAN_ENVIRONMENT, check=False, capture_output=True)

    def drop_replies(self) -> None:
        """Drop all packets to the machine, without an error; packets from the machine still arrive."""
        _ip("route", "add", "blackhole", f"{self._guest}/32")

    def restore(self) -> None:
        """Deliver packets to the machine again."""
        _ip("route", "delete", "blackhole", f"{self._guest}/32")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], env=CLEAN_ENVIRONMENT, check=True, capture_output=True)

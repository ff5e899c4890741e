"""A network link that loses packets: a program forwards them from its far end to servers of this host, or drops them.

    client ──▶ far:PORT ──TUN──▶ LossyLink: drop, or swap source and destination ──TUN──▶ near:PORT, a server
    client ◀─────────────────────── the same for the answers ◀──────────────────────────── server

Swapping the addresses does not change the checksums of IP and TCP. Both ends use the TCP of the kernel, so lost packets
are sent again, late or never. Not every kernel has netem; this needs only /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import secrets
import select
import struct
import subprocess
import threading
from types import TracebackType
from typing import Self

from rig.debian_roots import CLEAN_ENVIRONMENT

_TUNSETIFF = 0x400454CA  # linux/if_tun.h, as are the flags IFF_TUN and IFF_NO_PI
_TUN_WITHOUT_HEADER = 0x1001


class LossyLink:
    """A link to servers of this host that loses packets.

    ``there`` and ``back`` are the shares of packets that are lost on the way to the servers and from them.
    """

    def __init__(self, seed: int = 1) -> None:
        net = f"10.{192 + secrets.randbelow(32)}.{secrets.randbelow(256)}"
        self.near, self.far = f"{net}.1", f"{net}.2"
        self.there = self.back = 0.0
        self.lost = 0
        self._name = f"ordain{secrets.token_hex(3)}"
        self._random = random.Random(seed)
        self._servers: set[int] = set()
        self._ends = os.pipe()

    def serve(self, *ports: int) -> None:
        """Add ports of servers: they tell the direction of a packet."""
        self._servers |= set(ports)

    def __enter__(self) -> Self:
        self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self._tun, _TUNSETIFF, struct.pack("16sH22x", self._name.encode(), _TUN_WITHOUT_HEADER))
        for words in (("address", "add", f"{self.near}/30", "dev", self._name), ("link", "set", self._name, "up")):
            subprocess.run(["ip", *words], env=CLEAN_ENVIRONMENT, check=True, capture_output=True)
        self._thread = threading.Thread(target=self._pass, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._ends[1], b"x")
        self._thread.join()
        for descriptor in (*self._ends, self._tun):  # the last one removes the device
            os.close(descriptor)

    def _pass(self) -> None:
        while True:
            ready, _, _ = select.select([self._tun, self._ends[0]], [], [])
            if self._ends[0] in ready:
                return
            packet = bytearray(os.read(self._tun, 65536))
            if packet[0] >> 4 != 4 or packet[9] != 6:  # not TCP over IPv4
                continue
            (port,) = struct.unpack_from("!H", packet, 4 * (packet[0] & 15) + 2)
            if self._random.random() < (self.there if port in self._servers else self.back):
                self.lost += 1
                continue
            packet[12:16], packet[16:20] = packet[16:20], packet[12:16]
            with contextlib.suppress(OSError):
                os.write(self._tun, packet)

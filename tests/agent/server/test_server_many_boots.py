"""A fleet that boots at once: each machine gets its script, and images are sent without being held in memory."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

pytestmark = pytest.mark.thorough

MACHINES = 500
IMAGE_BYTES, CLIENTS = 64 << 20, 8
LAYER = "ordain: v1\nkind: Layer\nname: base\nnetboot: {kernel: kernel, arguments: {quiet: true}}\n"
NODE = "---\nordain: v1\nkind: Node\nname: m%d\nmatch: {mac: '%s'}\nnetboot: {arguments: {number: '%d'}}\n"
PROGRAM = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"


def mac_of(number: int) -> str:
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


@dataclass(frozen=True, slots=True)
class Server:
    """`ordainctl serve` in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]

    def most_memory(self) -> int:
        """Return the most memory that it ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s*([0-9]+)", status)[0]) << 10

    def cpu_sec(self) -> float:
        """Return its CPU time."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for name in ("documents", "files"):
        (tmp_path / name).mkdir()
    nodes = (NODE % (number, mac_of(number), number) for number in range(MACHINES))
    (tmp_path / "documents/boots.yaml").write_text(LAYER + "".join(nodes))
    (tmp_path / "files/kernel").write_bytes(b"kernel")
    (tmp_path / "files/root").touch()
    os.truncate(tmp_path / "files/root", IMAGE_BYTES)
    words = [sys.executable, "-c", PROGRAM, "serve", str(tmp_path / "documents"), "--listen", "127.0.0.1:0"]
    words += ["--files", str(tmp_path / "files"), "--state", str(tmp_path / "state")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as process:
        try:
            until = time.monotonic() + 120
            while not (port := re.search(r"127\.0\.0\.1:([0-9]+)/", (tmp_path / "log").read_text())):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.05)
            yield Server(f"http://127.0.0.1:{port[1]}", process)
        finally:
            process.kill()


def session() -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=600))


async def test_500_machines_that_ask_at_once_get_their_own_scripts(server: Server) -> None:
    async def number_of(number: int) -> int:
        async with web.get(f"{server.url}/boot.ipxe?mac={mac_of(number)}") as answer:
            return int(re.findall(r" number=(\d+)", await answer.text())[0])

    before, began = server.cpu_sec(), time.monotonic()
    async with session() as web:
        numbers = await asyncio.gather(*map(number_of, range(MACHINES)))
    assert numbers == list(range(MACHINES))
    print(f"{MACHINES} scripts: {time.monotonic() - began:.1f} s, {server.cpu_sec() - before:.1f} s of CPU time")

    assert numbers == list(range(MACHINES))


async def test_an_image_is_sent_to_many_machines_without_growing_memory(server: Server) -> None:
    async def fetch() -> int:
        size = 0
        async with web.get(f"{server.url}/files/root") as answer:
            async for part in answer.content.iter_chunked(1 << 20):
                size += len(part)
        return size

    async with session() as web:
        assert await fetch() == IMAGE_BYTES
        before = server.most_memory()
        assert await asyncio.gather(*(fetch() for _ in range(CLIENTS))) == [IMAGE_BYTES] * CLIENTS

    assert server.most_memory() - before < 32 << 20

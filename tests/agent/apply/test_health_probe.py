"""Health probes against real servers on this machine."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.apply import health_probe
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.model import HealthCheck, Probe

NOBODY = cast(Systemd, None)
"""These probes ask no systemd."""


def ask(probe: str, target: str, *, within: float = 0.3, settle: float = 0.0) -> str:
    seen = HealthCheck(
        probe=Probe(probe), target=(target,), within_usec=int(within * 1e6), settle_usec=int(settle * 1e6)
    )
    return asyncio.run(health_probe.ask(NOBODY, "web.service", seen))


@contextmanager
def listening(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0), kind: int = 1) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as server:
        server.bind(address)
        if kind != socket.SOCK_DGRAM:
            server.listen()
        yield server


def free_port() -> int:
    with listening() as server:
        return int(server.getsockname()[1])


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_port_that_is_open() -> None:
    with listening() as server:
        port = server.getsockname()[1]

        assert ask("tcp", f"127.0.0.1:{port}") == ""
        assert ask("tcp", f"localhost:{port}") == ""
        assert ask("tcp", f"0.0.0.0:{port}") == ""
        assert ask("tcp", f":{port}") == ""


def test_a_port_of_version_6() -> None:
    with listening(socket.AF_INET6, ("::1", 0)) as server:
        assert ask("tcp", f"[::1]:{server.getsockname()[1]}") == ""


def test_a_port_that_is_closed_is_named_with_the_reason() -> None:
    wrong = ask("tcp", f"127.0.0.1:{free_port()}")

    assert wrong.startswith("does not work within 0.3 s: 127.0.0.1:")
    assert "refused" in wrong


def test_what_is_no_address_is_no_crash() -> None:
    assert "nonsense" in ask("tcp", "nonsense")
    assert "ftp://x" in ask("http", "ftp://x")


def test_a_service_may_take_its_time() -> None:
    port = free_port()

    async def late() -> str:
        seen = HealthCheck(probe=Probe.TCP, target=(f"127.0.0.1:{port}",), within_usec=5_000_000)
        asking = asyncio.create_task(health_probe.ask(NOBODY, "web.service", seen))
        await asyncio.sleep(0.5)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        async with server:
            return await asking

    assert asyncio.run(late()) == ""


def test_a_service_has_to_last() -> None:
    async def dies() -> str:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen = HealthCheck(probe=Probe.TCP, target=(f"127.0.0.1:{port}",), within_usec=1_000_000, settle_usec=3_000_000)
        asking = asyncio.create_task(health_probe.ask(NOBODY, "web.service", seen))
        await asyncio.sleep(0.5)
        server.close()
        await server.wait_closed()
        return await asking

    assert asyncio.run(dies()).startswith("worked, and within 3 s no more: ")


def test_settle_lasts_as_long_as_it_says() -> None:
    with listening() as server:
        started = time.monotonic()

        assert ask("tcp", f"127.0.0.1:{server.getsockname()[1]}", settle=0.6) == ""
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize("status", [200, 204, 301, 399])
def test_a_page_that_is_well(web: str, status: int) -> None:
    assert ask("http", f"{web}/{status}") == ""


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_page_that_is_not(web: str, status: int) -> None:
    assert f"/{status} answers {status}" in ask("http", f"{web}/{status}")


@pytest.mark.parametrize(
    ("said", "what"),
    [(b"SSH-2.0-x\r\n", "does not answer in HTTP"), (b"", ""), (b"HTTP/1.1 so so\r\n", "")],
)
def test_a_server_of_something_else(said: bytes, what: str) -> None:
    def served(handle: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> str:
        async def run() -> str:
            server = await asyncio.start_server(lambda _, writer: handle(writer), "127.0.0.1", 0)
            async with server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                seen = HealthCheck(probe=Probe.HTTP, target=(url,), within_usec=300_000)
                return await health_probe.ask(NOBODY, "web.service", seen)

        return asyncio.run(run())

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    wrong = served(answer)

    assert wrong
    assert what in wrong


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_probe, "LEAST_SEC", 0.2)
    with listening() as server:
        wrong = ask("http", f"http://127.0.0.1:{server.getsockname()[1]}/")

    assert wrong.endswith("no answer")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_in_the_file_system(tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "socket")
    with listening(socket.AF_UNIX, path, kind):
        assert ask("unix", path) == ""

    assert "refused" in ask("unix", path)
    assert "No such file" in ask("unix", f"{path}.not")

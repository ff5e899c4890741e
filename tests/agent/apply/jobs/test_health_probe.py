"""Health checks ask real servers on this machine."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.apply.jobs import health_probe
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.model import HealthCheck, Probe
from support.stores.http_server import QuietHandler, serving

NOBODY = cast(Systemd, None)
"""These probes do not need systemd."""


def ask(probe: str, target: str, *, within: float = 0.3, settle: float = 0.0) -> str:
    seen = HealthCheck(
        probe=Probe(probe), target=(target,), within_usec=int(within * 1e6), settle_usec=int(settle * 1e6)
    )
    return asyncio.run(health_probe.probe(NOBODY, "web.service", seen))


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


class Answers(QuietHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "/elsewhere")
        self.end_headers()


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with serving(Answers) as port:
        yield f"http://127.0.0.1:{port}"


def test_an_open_port_works() -> None:
    with listening() as server:
        port = server.getsockname()[1]

        assert ask("tcp", f"127.0.0.1:{port}") == ""
        assert ask("tcp", f"localhost:{port}") == ""
        assert ask("tcp", f"0.0.0.0:{port}") == ""
        assert ask("tcp", f":{port}") == ""


def test_an_ipv6_port_works() -> None:
    with listening(socket.AF_INET6, ("::1", 0)) as server:
        assert ask("tcp", f"[::1]:{server.getsockname()[1]}") == ""


def test_a_closed_port_is_reported_with_the_reason() -> None:
    wrong = ask("tcp", f"127.0.0.1:{free_port()}")

    assert wrong.startswith("did not work within 0.3 s: 127.0.0.1:")
    assert "refused" in wrong


def test_an_invalid_address_is_reported() -> None:
    assert "nonsense" in ask("tcp", "nonsense")
    assert "ftp://x" in ask("http", "ftp://x")


def test_a_service_may_need_time_to_start() -> None:
    port = free_port()

    async def late() -> str:
        seen = HealthCheck(probe=Probe.TCP, target=(f"127.0.0.1:{port}",), within_usec=5_000_000)
        asking = asyncio.create_task(health_probe.probe(NOBODY, "web.service", seen))
        await asyncio.sleep(0.5)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        async with server:
            return await asking

    assert asyncio.run(late()) == ""


def test_a_service_must_work_for_its_settle_time() -> None:
    async def dies() -> str:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen = HealthCheck(probe=Probe.TCP, target=(f"127.0.0.1:{port}",), within_usec=1_000_000, settle_usec=3_000_000)
        asking = asyncio.create_task(health_probe.probe(NOBODY, "web.service", seen))
        await asyncio.sleep(0.5)
        server.close()
        await server.wait_closed()
        return await asking

    assert asyncio.run(dies()).startswith("worked, but stopped working within 3 s: ")


def test_a_check_takes_the_whole_settle_time() -> None:
    with listening() as server:
        started = time.monotonic()

        assert ask("tcp", f"127.0.0.1:{server.getsockname()[1]}", settle=0.6) == ""
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize("status", [200, 204, 301, 399])
def test_a_page_with_a_status_below_400_works(web: str, status: int) -> None:
    assert ask("http", f"{web}/{status}") == ""


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_page_with_an_error_status_is_reported(web: str, status: int) -> None:
    assert f"/{status} answers {status}" in ask("http", f"{web}/{status}")


@pytest.mark.parametrize(
    ("response", "complaint"),
    [(b"SSH-2.0-x\r\n", "does not answer in HTTP"), (b"", ""), (b"HTTP/1.1 so so\r\n", "")],
)
def test_a_server_that_does_not_speak_http_is_reported(response: bytes, complaint: str) -> None:
    def served(handle: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> str:
        async def run() -> str:
            server = await asyncio.start_server(lambda _, writer: handle(writer), "127.0.0.1", 0)
            async with server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                seen = HealthCheck(probe=Probe.HTTP, target=(url,), within_usec=300_000)
                return await health_probe.probe(NOBODY, "web.service", seen)

        return asyncio.run(run())

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        writer.close()

    wrong = served(answer)

    assert wrong
    assert complaint in wrong


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_probe, "LEAST_SEC", 0.2)
    with listening() as server:
        wrong = ask("http", f"http://127.0.0.1:{server.getsockname()[1]}/")

    assert wrong.endswith("no answer")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_unix_socket_of_any_type_works(tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "socket")
    with listening(socket.AF_UNIX, path, kind):
        assert ask("unix", path) == ""

    assert "refused" in ask("unix", path)
    assert "No such file" in ask("unix", f"{path}.not")

"""The boot server under thousands of connections: it serves honest machines, spins never, and closes what waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

DOCUMENT = "ordain: v1\nkind: Layer\nname: base\n"
DESCRIPTORS = 256
HEAD_SEC = 3.0
PROGRAM = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
from ordain.agent.server import connections
connections.HEAD_SEC = {HEAD_SEC}
connections.ConnectionLimits.__init__.__kwdefaults__.update(head_sec={HEAD_SEC}, answer_sec={HEAD_SEC})
from ordain.agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
REQUEST = b"GET /web1.yaml HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a process with few descriptors, and its log."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5, source_address=(address, 0))

    def answer_sec(self, address: str = "127.0.0.1") -> float:
        """Ask as an honest machine, and return the seconds until its documents arrive."""
        began = time.monotonic()
        with self.connect(address) as client:
            client.sendall(REQUEST)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        return time.monotonic() - began

    def cpu_sec(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s*([0-9]+)", status)[0])

    def open_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "base.yaml").write_text(DOCUMENT)
    (tmp_path / "tokens").write_text("* read -\n")
    words = [sys.executable, "-c", PROGRAM, "serve", str(tmp_path / "documents"), "--listen", "127.0.0.1:0"]
    words += ["--tokens", str(tmp_path / "tokens")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as process:
        try:
            until = time.monotonic() + 120
            while not (port := re.search(r"127\.0\.0\.1:([0-9]+)/", (tmp_path / "log").read_text())):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield Server(int(port[1]), process, tmp_path / "log")
        finally:
            process.kill()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("addresses", [1, 40], ids=["one address", "many addresses"])
def test_thousands_of_idle_connections_keep_no_machine_from_being_served(server: Server, addresses: int) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect(f"127.0.0.{2 + n % addresses}")) for n in range(2500)]
        for client in idle[::2]:
            with contextlib.suppress(OSError):  # closed, because it has waited longest
                client.sendall(b"GET /web1.yaml HTTP/1.1\r\nHo")

        assert server.answer_sec() < 2
        assert server.answer_sec("127.0.0.2") < 2
        before = server.cpu_sec()
        time.sleep(HEAD_SEC + 1.5)

        assert server.cpu_sec() - before < 1, "it spins"
        assert server.open_descriptors() < 40, "what waits is closed after a time"
        assert server.log.stat().st_size < 10_000
        assert server.answer_sec() < 1


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nX: ", b"GET /web1 HTTP/1.1\r\n"])
def test_a_request_that_is_never_finished_is_closed(server: Server, start: bytes) -> None:
    with server.connect() as client:
        client.sendall(start)
        client.settimeout(HEAD_SEC + 3)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert client.recv(100) == b""
        assert HEAD_SEC - 1 < time.monotonic() - began < HEAD_SEC + 3


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x1b[31m\r\n\r\n",
    ],
    ids=["no HTTP", "a long header", "a control character"],
)
def test_a_request_that_is_not_http_is_one_line_of_the_log(server: Server, request_: bytes) -> None:
    before = server.log.read_text()
    with server.connect() as client:
        client.sendall(request_)
        assert b" 400 " in client.recv(100)
    server.answer_sec()

    lines = server.log.read_text().removeprefix(before).splitlines()

    assert ["a request that is not HTTP: " in line for line in lines] == [True, False]
    assert all(line.isprintable() and len(line) < 300 for line in lines)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://[::1/web1.yaml HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /booted HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /booted HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n",
        b"GET /api/v1/machines HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n",
        b"GET /api/v1/machines/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n",
    ],
    ids=[
        *("an address without an end", "a body that is not compressed", "a body that ends oddly"),
        *("a token that is not UTF-8", "a path that is not UTF-8", "an expectation that is not UTF-8"),
    ],
)
def test_an_odd_request_leaves_no_traceback(server: Server, request_: bytes) -> None:
    with server.connect() as client:
        client.sendall(request_)
        with contextlib.suppress(ConnectionError, TimeoutError):
            client.recv(100)
    server.answer_sec()

    log = server.log.read_text()
    assert "Traceback" not in log
    assert all(line.isprintable() and len(line) < 400 for line in log.splitlines())


def form_request(body: bytes, kind: bytes = b"application/x-www-form-urlencoded", length: int = 0) -> bytes:
    head = b"POST /installed HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (kind, length or len(body)) + body


PART = b'--B\r\nContent-Disposition: form-data; name="mac"\r\n%b\r\n\r\nx\r\n--B--\r\n'


@pytest.mark.parametrize(
    "request_",
    [
        form_request(b"mac=x&state=begun", b"application/x-www-form-urlencoded; charset=bogus"),
        form_request(b"&".join(b"a=b" for _ in range(100))),
        form_request(b"\xff%ff=%zz"),
        form_request(
            b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", b"multipart/form-data; boundary=B"
        ),
        form_request(PART % b"Content-Transfer-Encoding: bogus", b"multipart/form-data; boundary=B"),
        form_request(PART % b"Content-Type: text/plain; charset=bogus", b"multipart/form-data; boundary=B"),
        form_request(b"", length=1 << 40),
        form_request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
    ids=[
        *("an unknown charset", "many fields", "bytes that do not decode", "a field without a name"),
        *("an unknown encoding", "a field with an unknown charset", "a huge form", "chunks"),
    ],
)
def test_an_odd_report_of_an_installation_is_refused_in_one_line(server: Server, request_: bytes) -> None:
    with server.connect() as client:
        client.sendall(request_)
        assert re.match(rb"HTTP/1\.1 40[04] ", client.recv(100))

    assert "internal error" not in server.log.read_text()


def test_a_report_of_an_installation_whose_body_never_comes_is_closed(server: Server) -> None:
    with server.connect() as client:
        client.sendall(form_request(b"mac=", length=1000))
        client.settimeout(60)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_addresses_whose_requests_wait_for_a_change_keep_no_other_one_out(server: Server) -> None:
    with server.connect() as client:
        client.sendall(REQUEST)
        etag = re.search(rb'ETag: ("[0-9a-f]+")', client.recv(4000))
        assert etag
    waiting = REQUEST.replace(b"Host: x", b"Host: x\r\nPrefer: wait=300\r\nIf-None-Match: " + etag[1])
    with contextlib.ExitStack() as stack:
        for number in range(DESCRIPTORS):
            with contextlib.suppress(OSError):  # refused: the server is full
                client = stack.enter_context(server.connect(f"127.0.0.{2 + number % 4}"))
                client.sendall(waiting)
        for address in ("127.0.0.9", "127.0.0.10"):
            server.answer_sec(address)


def test_a_compressed_body_takes_no_memory(server: Server) -> None:
    server.answer_sec()
    before = server.most_memory_kb()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    head = b"POST /booted HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with server.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(head)
        client.sendall(body)
        client.recv(100)
    server.answer_sec()

    assert server.most_memory_kb() - before < 16 << 10


def test_a_request_that_waits_for_a_change_is_not_closed(server: Server) -> None:
    with server.connect() as client:
        client.sendall(REQUEST)
        etag = re.search(rb'ETag: ("[0-9a-f]+")', client.recv(4000))
        assert etag
    with server.connect() as client:
        headers = b"Prefer: wait=6\r\nIf-None-Match: " + etag[1]
        client.sendall(b"GET /web1.yaml HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
        client.settimeout(HEAD_SEC + 6)
        began = time.monotonic()
        assert client.recv(100).startswith(b"HTTP/1.1 304 ")
        assert time.monotonic() - began > HEAD_SEC + 1


def test_a_client_may_not_send_much_behind_its_request(server: Server) -> None:
    with server.connect() as client:
        client.sendall(REQUEST)
        etag = re.search(rb'ETag: ("[0-9a-f]+")', client.recv(4000))
        assert etag
    waiting = REQUEST.replace(b"Host: x", b"Host: x\r\nPrefer: wait=60\r\nIf-None-Match: " + etag[1])
    sent = 0
    with server.connect() as client, contextlib.suppress(ConnectionError):
        client.settimeout(5)
        client.sendall(waiting)
        time.sleep(0.5)
        while sent < 100_000_000:
            sent += client.send(REQUEST * 1000)

    assert sent < 20_000_000


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; from ordain.agent.server.connections import raise_descriptor_limit as up;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, min(hard, 5000)));"
        "print(up(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()

    assert first == second == str(min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 5000))


async def test_accepting_pauses_when_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from ordain.agent.server import connections

    monkeypatch.setattr(connections, "PAUSE_SEC", 0.2)
    attempts = 0

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal attempts
            attempts += 1
            raise OSError(24, "Too many open files")

    listening = Full()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    listeners = connections.Connections(connections.limits_for(100))
    listeners.start([listening], asyncio.Protocol)
    with socket.create_connection(listening.getsockname()[:2]):
        await asyncio.sleep(0.7)
    listeners.stop()

    assert 2 <= attempts <= 5


async def test_the_time_in_which_the_server_stood_still_is_not_that_of_its_clients() -> None:
    from ordain.agent.server import connections

    class Waiting:
        waits_until = asyncio.get_running_loop().time() - 5
        closed = False

        def close(self) -> None:
            self.closed = True

    loop = asyncio.get_running_loop()
    listeners = connections.Connections(connections.limits_for(100))
    client = Waiting()
    listeners._everybody.waiting[client] = None  # type: ignore[index]
    listeners._sweep = loop.call_at(loop.time() - 10, lambda: None)
    listeners._close_overdue()
    closed = [client.closed]

    client.waits_until = loop.time() - 5
    listeners._close_overdue()
    closed.append(client.closed)
    assert closed == [False, True], "only the second time, it could have been answered"
    listeners._sweep.cancel()

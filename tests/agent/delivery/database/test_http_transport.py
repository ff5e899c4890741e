"""HTTP requests to servers that misbehave on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ordain.agent.delivery.database import http_transport
from ordain.agent.delivery.database.http_transport import (
    HttpTransport,
    LineStream,
    Request,
    Response,
    ServerAccess,
    require_success,
)
from ordain.agent.delivery.protocol import SourceError, SourceFault

GET = Request()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(text: bytes, *, stay: bool = False, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run a server that answers everything with ``text``, then hangs up, or stays silent (``stay``)."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(text)
            await writer.drain()
            if stay:
                await gone.wait()
        writer.close()

    listening = await asyncio.start_server(serve, host, port)
    try:
        yield f"http://{host}:{listening.sockets[0].getsockname()[1]}"
    finally:
        gone.set()
        listening.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def session(*endpoints: str) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(ServerAccess(endpoints=endpoints))
    try:
        yield transport
    finally:
        await transport.close()


def ok(body: bytes, *, length: int | None = None, kind: str = "application/yaml") -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body


async def error_of(text: bytes, *, stay: bool = False, request: Request = GET) -> SourceError:
    """Return the error of ``request`` to a server that answers with ``text``."""
    async with server(text, stay=stay) as endpoint, session(endpoint) as transport:
        with pytest.raises(SourceError) as caught:
            require_success(await transport.send(request))
        return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("401 Unauthorized", SourceFault.UNAUTHORIZED),
        ("403 Forbidden", SourceFault.FORBIDDEN),
        ("404 Not Found", SourceFault.EMPTY),
        ("429 Too Many Requests", SourceFault.THROTTLED),
        ("500 Oops", SourceFault.UNREACHABLE),
        ("503 Not now", SourceFault.UNREACHABLE),
        ("302 Found\r\nLocation: https://login.example/?next=secret", SourceFault.REDIRECTED),
    ],
)
def test_each_http_status_has_a_fault_code(status: str, code: SourceFault) -> None:
    error = asyncio.run(error_of(f"HTTP/1.1 {status}\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n".encode()))

    assert error.code is code
    assert "secret" not in str(error)
    assert error.retry_after_sec == (0 if code is SourceFault.REDIRECTED else 17)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ok(b"<html>", kind="text/html; charset=utf-8"), SourceFault.NOT_DOCUMENTS),
        (ok(b"short", length=1000), SourceFault.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", SourceFault.TRUNCATED),
        (ok(b"x" * 2000), SourceFault.TOO_LARGE),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n",
            SourceFault.TOO_LARGE,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", SourceFault.UNREACHABLE),
        (b"", SourceFault.UNREACHABLE),
    ],
)
def test_an_incomplete_too_large_or_foreign_answer_is_an_error(answer: bytes, code: SourceFault) -> None:
    assert asyncio.run(error_of(answer, request=Request(max_bytes=1000))).code is code


@pytest.mark.parametrize("text", [b"", ok(b"some", length=9)], ids=["no answer", "half an answer"])
def test_a_request_to_a_silent_server_fails(text: bytes) -> None:
    error = asyncio.run(error_of(text, stay=True, request=Request(silence_sec=0.1)))

    assert error.code is SourceFault.UNREACHABLE


async def test_the_next_server_is_asked_until_one_answers_and_that_one_is_kept() -> None:
    no = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    async with (
        server(ok(b"fine")) as good,
        server(no) as bad,
        session("http://127.0.0.1:1", bad, good) as transport,
    ):
        assert (await transport.send(GET)).body == b"fine"
        assert transport.endpoint == good
        assert (await transport.send(GET)).endpoint == good


async def test_a_write_that_may_have_arrived_is_not_sent_to_the_next_server() -> None:
    async with (
        server(ok(b"fine")) as good,
        server(b"") as cut,
        session("http://127.0.0.1:1", cut, good) as transport,
    ):
        with pytest.raises(SourceError):  # the first cannot be reached, the second may have received it
            await transport.send(Request(method="PUT", body=b"x", repeatable=False))


async def test_a_stream_yields_only_whole_lines() -> None:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\none\n\ntwo\r\n4\r\n\nthr\r\n0\r\n\r\n"
    found = []

    async def take(stream: LineStream) -> None:
        async for line in stream.lines():
            found.append(line)

    async with server(text) as endpoint, session(endpoint) as transport, transport.stream(GET) as stream:
        with pytest.raises(SourceError) as caught:
            await take(stream)
    assert found == [b"one", b"", b"two"]
    assert caught.value.code is SourceFault.TRUNCATED


async def test_a_stream_that_falls_silent_fails() -> None:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
    async with (
        server(text, stay=True) as endpoint,
        session(endpoint) as transport,
        transport.stream(Request(silence_sec=0.1)) as stream,
    ):
        lines = stream.lines()
        assert await anext(lines) == b"one"
        with pytest.raises(SourceError) as caught:
            await anext(lines)
    assert caught.value.code is SourceFault.UNREACHABLE


def test_retry_after_may_be_a_date() -> None:
    headers = {"date": "Sun, 22 Nov 2026 12:00:00 GMT", "retry-after": "Sun, 22 Nov 2026 12:01:30 GMT"}

    with pytest.raises(SourceError) as caught:
        require_success(Response(endpoint="http://a", status=503, headers=headers))

    assert caught.value.retry_after_sec == 90


def test_a_server_that_has_moved_is_found_at_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real servers are used, but names are looked up in a table: a test must not change the hosts file."""
    at = "127.0.0.1"
    real = socket.getaddrinfo

    def look_up(host: str | None, *more: Any, **words: Any) -> Any:
        return real(at if host == "db.example" else host, *more, **words)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def ask() -> list[bytes | SourceFault]:
        nonlocal at
        answers: list[bytes | SourceFault] = []
        async with server(ok(b"old")) as old:
            port = int(old.rpartition(":")[2])
            async with session(f"http://db.example:{port}") as transport:
                async with server(ok(b"new"), host="127.0.0.2", port=port):
                    answers.append((await transport.send(GET)).body)
                    at = "127.0.0.2"
                    answers.append((await transport.send(GET)).body)
                with pytest.raises(SourceError) as gone:
                    await transport.send(GET)
                answers.append(gone.value.code)
                at = "127.0.0.1"
                answers.append((await transport.send(GET)).body)
        return answers

    assert asyncio.run(ask()) == [b"old", b"new", SourceFault.UNREACHABLE, b"old"]


@contextlib.asynccontextmanager
async def dripping(head: bytes) -> AsyncIterator[str]:
    """Run a server that sends ``head`` at once, and then a byte every 20 ms until the client hangs up."""
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        hung_up.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(5):
            await hung_up.wait()
    finally:
        listening.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n"])
async def test_a_server_that_drips_is_left_for_the_next_one(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "CONNECT_SEC", 0.2)
    async with dripping(head) as bad, server(ok(b"fine")) as good, session(bad, good) as transport:
        async with asyncio.timeout(5):
            response = await transport.send(Request(silence_sec=0.2))

        assert response.endpoint == good
        assert transport.endpoint == good
        assert bad in str(transport.faults[bad].error)


async def test_a_long_answer_that_arrives_steadily_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "SLOWEST_BYTES_PER_SEC", 10)
    async with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n") as endpoint, session(endpoint) as transport:
        assert (await transport.send(Request(silence_sec=0.2))).body == b"a" * 40


async def test_an_answer_that_takes_hours_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "SLOWEST_BYTES_PER_SEC", 0.1)
    monkeypatch.setattr(http_transport, "LONGEST_SEC", 0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n"
    async with dripping(head) as bad, server(ok(b"fine")) as good, session(bad, good) as transport:
        async with asyncio.timeout(20):
            assert (await transport.send(GET)).endpoint == good
        assert "arrives too slowly" in str(transport.faults[bad].error)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 4000 + b"\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4000),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\n", b"X: " + b"y" * 4000 + b"\r\n"),
    "a chunk line": (CHUNKED + b"1", b";x=" + b"y" * 4000),
}
"""The texts that a server sends first, and then again and again, without a byte of a body."""


@pytest.mark.parametrize(("head", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_a_server_that_sends_without_end_what_is_not_a_body_is_left_for_the_next_one(
    head: bytes, piece: bytes
) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while sent < 64 << 20:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    bad = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, server(ok(b"fine")) as good, session(bad, good) as transport:
        assert (await transport.send(GET)).endpoint == good
        assert bad in str(transport.faults[bad].error)
    assert sent < 32 << 20  # the buffers of the kernel


async def test_a_long_stream_of_small_chunks_is_read_to_its_end() -> None:
    """A heartbeat of CouchDB is a chunk of one byte."""
    beats = CHUNKED + b"1\r\n\n\r\n" * 300_000 + b"0\r\n\r\n"
    async with server(beats) as endpoint, session(endpoint) as transport, transport.stream(GET) as stream:
        assert len([line async for line in stream.lines()]) == 300_000


@pytest.mark.parametrize("body", [b"[{},{}", b"<!doctype html>", b'{"a":' * 100_000, b"\xff", b""])
async def test_a_server_that_answers_no_json_is_left_for_the_next_one(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(ok(body)) as bad, server(ok(b"{}")) as good, session(bad, good) as transport:
        assert (await transport.send(Request(json=True))).value == {}
        assert transport.endpoint == good
        assert (await transport.send(Request(json=True))).endpoint == good

    assert [f"{bad}: the answer is not JSON" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("value", [b"{},", b'["a[,"],', b'"\\"{",1,'], ids=["maps", "lists", "strings"])
async def test_a_server_whose_answer_would_fill_the_memory_is_left_for_the_next_one(value: bytes) -> None:
    many = b"[" + value * 501_000 + b"0]"
    async with server(ok(many)) as bad, server(ok(b"{}")) as good, session(bad, good) as transport:
        assert (await transport.send(Request(json=True))).endpoint == good
        assert "more than 1,000,000 values" in str(transport.faults[bad].error)


async def test_commas_and_brackets_in_texts_do_not_count() -> None:
    text = '\\",[{' * 400_000
    async with server(ok(b'{"text": "' + text.encode() + b'"}')) as endpoint, session(endpoint) as transport:
        assert (await transport.send(Request(json=True))).value == {"text": text.replace("\\", "")}


async def test_a_write_that_got_no_json_is_not_repeated_and_the_next_request_goes_elsewhere() -> None:
    async with server(ok(b"[")) as bad, server(ok(b"{}")) as good, session(bad, good) as transport:
        with pytest.raises(SourceError, match="not JSON"):
            await transport.send(Request(method="PUT", json=True, repeatable=False))
        assert transport.endpoint == good


async def test_when_all_servers_fail_each_is_named() -> None:
    async with server(ok(b"[")) as bad, session("http://127.0.0.1:1", bad) as transport:
        with pytest.raises(SourceError) as caught:
            await transport.send(Request(json=True))

    assert "http://127.0.0.1:1: Connection refused; " in str(caught.value)
    assert f"{bad}: the answer is not JSON" in str(caught.value)


async def test_a_replaced_server_is_asked_the_same_again_until_it_answers() -> None:
    html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n<>"
    async with server(ok(b"{}", kind="application/json")) as good:
        async with server(html) as bad, session(bad, good) as transport:
            await transport.send(Request(json=True))

            assert {url: error.code for url, error in (await transport.ask_replaced()).items()} == {
                bad: SourceFault.NOT_DOCUMENTS
            }
            assert transport.endpoint == good
            port = int(bad.rpartition(":")[2])
        async with session(bad, good) as transport:
            await transport.send(Request(json=True))
            assert list(await transport.ask_replaced()) == [bad]
            async with server(ok(b"{}", kind="application/json"), port=port):
                assert await transport.ask_replaced() == {}
                assert transport.faults == {}


async def test_without_a_server_that_answers_none_is_called_replaced() -> None:
    async with session("http://127.0.0.1:1", "http://127.0.0.1:2") as transport:
        with pytest.raises(SourceError):
            await transport.send(GET)

        assert len(transport.faults) == 2
        assert await transport.ask_replaced() == {}


async def test_a_watcher_leaves_a_server_once() -> None:
    async with session("http://127.0.0.1:1", "http://127.0.0.1:2") as transport:
        first = transport.endpoint
        for _ in range(3):  # late errors of the first one do not leave the second one
            transport.leave(first, SourceError("broken", code=SourceFault.TRUNCATED))

        assert transport.endpoint != first

"""TLS to a boot server, and a boot server that falls silent: real servers and real certificates."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.source.http_source import HttpSource, MachineIdentity
from ordain.agent.source_settings import SourceKind, SourceSettings
from rig.stores.certificates import Authority

pytestmark = pytest.mark.thorough

BASE = "ordain: v1\nkind: Layer\nname: base\n"
ME = MachineIdentity(machine_id="0" * 32, hostname="web1")
COMMAND = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def serving(tmp_path: Path, *options: str, scheme: str = "https") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `ordainctl serve` over a directory with one document."""
    folder = tmp_path / "documents"
    folder.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text(BASE)
    words = [sys.executable, "-c", COMMAND, "serve", str(folder), "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            port = re.search(r"127\.0\.0\.1:([0-9]+)/", line)
            assert port, line
            yield f"{scheme}://127.0.0.1:{port[1]}/web1", server
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()


def fetch(url: str, **more: str) -> bytes:
    async def read() -> bytes:
        source = HttpSource(SourceSettings(type=SourceKind.HTTP, endpoints=(url,), **more), lambda: ME)  # type: ignore[arg-type]
        try:
            return (await source.read()).texts[0][1]
        finally:
            await source.close()

    return asyncio.run(read())


def error_of(url: str, **more: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(url, **more)
    return caught.value


def test_documents_are_fetched_from_a_server_with_a_valid_certificate(tmp_path: Path) -> None:
    good = Authority(tmp_path).issue("server")

    with serving(tmp_path, "--tls-cert", str(good.cert), "--tls-key", str(good.key)) as (url, _):
        assert BASE.encode() in fetch(url, ca=str(good.ca))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("expired", "certificate has expired"), ("name", "IP address mismatch"), ("authority", "certificate refused")],
)
def test_a_server_with_an_invalid_certificate_is_refused(tmp_path: Path, wrong: str, words: str) -> None:
    authority = Authority(tmp_path)
    bad = authority.issue(
        "server", host="elsewhere.example" if wrong == "name" else "127.0.0.1", expired=wrong == "expired"
    )
    ca = Authority(tmp_path, "other").ca if wrong == "authority" else authority.ca

    with serving(tmp_path, "--tls-cert", str(bad.cert), "--tls-key", str(bad.key)) as (url, _):
        error = error_of(url, ca=str(ca))

    assert error.code is SourceFault.TLS
    assert words in str(error)


def test_a_server_may_require_a_client_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    good, mine = authority.issue("server"), authority.issue("mine", host=ME.hostname)
    other = authority.issue("other", host="web2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(mine.key.parent))
    options = ("--tls-cert", str(good.cert), "--tls-key", str(good.key), "--client-ca", str(authority.ca))

    with serving(tmp_path, *options) as (url, _):
        assert BASE.encode() in fetch(url, ca=str(good.ca), cert=str(mine.cert), key=mine.key.name)
        assert error_of(url, ca=str(good.ca)).code in (SourceFault.TLS, SourceFault.UNREACHABLE)
        error = error_of(url, ca=str(good.ca), cert=str(other.cert), key=other.key.name)
        assert error.code is SourceFault.FORBIDDEN
        assert "the certificate names other, web2" in str(error)


def test_a_plain_answer_to_tls_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, scheme="https") as (url, _):
        assert error_of(url).code in (SourceFault.TLS, SourceFault.UNREACHABLE)


def test_a_server_that_freezes_during_a_wait_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordain.agent.delivery.source.http_source.WAIT_SEC", 1)
    monkeypatch.setattr("ordain.agent.delivery.source.http_source.GRACE_SEC", 1)

    async def follow(url: str, server: subprocess.Popen[str]) -> None:
        source = HttpSource(SourceSettings(type=SourceKind.HTTP, endpoints=(url,), interval_usec=10_000), lambda: ME)
        try:
            await source.read()
            changes = source.changes()
            await anext(changes)
            os.kill(server.pid, signal.SIGSTOP)
            async with asyncio.timeout(20):
                await anext(changes)
        finally:
            await source.close()

    with (
        serving(tmp_path, scheme="http") as (url, server),
        pytest.raises(SourceError, match="no answer in time") as lost,
    ):
        asyncio.run(follow(url, server))

    assert lost.value.code is SourceFault.UNREACHABLE


@pytest.mark.parametrize("says_farewell", [True, False], ids=["a fair server", "a server that never says farewell"])
def test_a_closed_source_leaves_no_descriptor_open(tmp_path: Path, says_farewell: bool) -> None:
    good = Authority(tmp_path).issue("server")

    async def left(url: str, server: subprocess.Popen[str]) -> set[str]:
        source = HttpSource(SourceSettings(type=SourceKind.HTTP, endpoints=(url,), ca=str(good.ca)), lambda: ME)
        before = sockets()
        await source.read()
        if not says_farewell:
            server.send_signal(signal.SIGSTOP)
        await source.close()
        return sockets() - before

    with serving(tmp_path, "--tls-cert", str(good.cert), "--tls-key", str(good.key)) as (url, server):
        assert asyncio.run(left(url, server)) == set()


def sockets() -> set[str]:
    """Return the sockets of this process."""
    links = (str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return {link for link in links if link.startswith("socket:")}

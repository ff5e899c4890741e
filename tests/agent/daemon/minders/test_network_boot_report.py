"""A machine that started from the network tells the boot server that its boot is good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ordain.agent.daemon.minders import network_boot
from ordain.agent.daemon.minders.network_boot import BootReport, NetworkBoot, boot_report

DIGEST = "ab" * 32
URL = "http://192.0.2.1:8081/files/images/debian-13/4/root"


def machine(root: Path, url: str, *, more: str = "") -> Path:
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"quiet ordain.root={url} ordain.root.sha256={DIGEST}{more}\n")
    for name, address in {"eth0": "52:54:00:12:34:56", "eth1": "52:54:00:12:34:57", "lo": "00:00:00:00:00:00"}.items():
        (root / "sys/class/net" / name).mkdir(parents=True)
        (root / "sys/class/net" / name / "address").write_text(f"{address}\n")
        if name != "lo":
            (root / "sys/class/net" / name / "device").mkdir()
    return root


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path"),
    [
        (URL, "192.0.2.1", 8081, False, "/booted"),
        ("https://boot.example/files/images/a/1/root", "boot.example", 443, True, "/booted"),
        ("http://[2001:db8::1]/site/files/images/a/1/root", "2001:db8::1", 80, False, "/site/booted"),
    ],
)
def test_the_report_goes_to_the_server_of_the_root(
    tmp_path: Path, url: str, host: str, port: int, tls: bool, path: str
) -> None:
    query = f"?root={DIGEST}&mac=52%3A54%3A00%3A12%3A34%3A56%2C52%3A54%3A00%3A12%3A34%3A57"

    assert boot_report(machine(tmp_path, url)) == BootReport(host=host, port=port, tls=tls, path=f"{path}{query}")


@pytest.mark.parametrize(
    "url", ["", "http://192.0.2.1/other/root", "ftp://a/files/images/b", "http://[/files/images/b"]
)
def test_a_machine_whose_root_is_elsewhere_reports_nothing(tmp_path: Path, url: str) -> None:
    assert boot_report(machine(tmp_path, url)) is None


def test_a_container_does_not_report_for_its_host(tmp_path: Path) -> None:
    root = machine(tmp_path, URL)
    (root / "run/systemd").mkdir(parents=True)
    (root / "run/systemd/container").write_text("systemd-nspawn\n")

    assert boot_report(root) is None


def test_a_boot_is_reported_once_it_is_good_and_until_the_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_boot, "FIRST_PAUSE_SEC", 0.01)
    asked: list[str] = []
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.0 204 No Content\r\n\r\n" if len(asked) == 3 else b"HTTP/1.0 500 Wrong\r\n\r\n")
        await writer.drain()
        writer.close()
        if len(asked) == 3:
            answered.set()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        good: list[bool] = []
        minder = NetworkBoot(machine(tmp_path, f"http://127.0.0.1:{port}/files/images/a/1/root"), lambda: bool(good))
        assert await minder.tick(0.0) is None
        assert len(asyncio.all_tasks()) == 1
        good.append(True)
        await minder.tick(1.0)
        await minder.tick(2.0)
        await answered.wait()
        assert minder._task is not None
        await minder._task
        server.close()

    asyncio.run(run())

    assert len(asked) == 3
    assert asked[0].startswith(f"POST /booted?root={DIGEST}&mac=52%3A54")


async def test_the_answer_of_a_server_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 404 no\n<3>a forged line\x1b[2J\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await network_boot._send(BootReport(host="127.0.0.1", port=port, tls=False, path="/booted"))
    server.close()

    (message,) = [record.getMessage() for record in caplog.records if record.name == network_boot.__name__]
    assert message.isprintable()
    assert "does not count this boot: HTTP/1.0 404 no?<3>" in message

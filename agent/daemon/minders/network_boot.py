"""The report of a machine that started from the network: this boot is good.

The initrd fetched the root from the boot server, in this boot or when it was installed to the disk; the URL is on the
command line of the kernel. The server gives the machine its last good image if boots of another one do not complete
(agent/netboot/boot_count.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ordain.transforms.machine import rootfs

log = logging.getLogger(__name__)
ARCHIVES = "/files/images/"
TIMEOUT_SEC = 20.0
FIRST_PAUSE_SEC, LAST_PAUSE_SEC = 10.0, 600.0
_ANSWER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BootReport:
    """The request that reports a good boot."""

    host: str
    port: int
    tls: bool
    path: str


def boot_report(root: Path) -> BootReport | None:
    """Return the report of this machine, None if its system did not come from a boot server."""
    if rootfs.exists(root, "run/systemd/container"):
        return None  # its /proc/cmdline is that of the host, which reports itself
    words = (rootfs.read(root, "proc/cmdline") or b"").decode(errors="replace").split()
    arguments = dict(word.partition("=")[::2] for word in words)
    name = "ordain.root" if "ordain.root" in arguments else "ordain.installed"  # in RAM, or from a disk
    url, digest = arguments.get(name, ""), arguments.get(f"{name}.sha256", "")
    base, archives, _ = url.partition(ARCHIVES)
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:
        return None
    if not (archives and digest and parts.hostname and parts.scheme in ("http", "https")):
        return None
    tls = parts.scheme == "https"
    path = f"{parts.path}/booted?root={quote(digest)}&mac={quote(','.join(_addresses(root)))}"
    return BootReport(host=parts.hostname, port=port or (443 if tls else 80), tls=tls, path=path)


def _addresses(root: Path) -> list[str]:
    """Return the addresses of the network devices; interfaces without hardware have none (transforms/machine/facts)."""
    folder = "sys/class/net"
    devices = [name for name in rootfs.names(root, folder) if rootfs.exists(root, f"{folder}/{name}/device")]
    return [(rootfs.read(root, f"{folder}/{name}/address") or b"").decode().strip().lower() for name in devices]


class NetworkBoot:
    """A `Minder` that reports this boot once it ``is_good``, and tries again until the server has answered."""

    def __init__(self, root: Path, is_good: Callable[[], bool]) -> None:
        self._root = root
        self._is_good = is_good
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def tick(self, now: float) -> float | None:
        """Begin to report, see `Minder.tick`; the network may take its time."""
        if not self._ended and self._is_good():
            self._ended = True
            if report := await asyncio.to_thread(boot_report, self._root):
                self._task = asyncio.create_task(_send(report))
        return None


async def _send(report: BootReport) -> None:
    pause_sec, reason = FIRST_PAUSE_SEC, ""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_SEC):
                answer = await _ask(report)
        except (OSError, TimeoutError) as error:
            answer = str(error) or "no answer"
        status = answer.split(" ")[1:2]
        if answer.startswith("HTTP/") and status and status[0][:1] in ("2", "4"):
            if status[0][:1] == "4":
                log.warning("the boot server %s does not count this boot: %s", report.host, answer.strip())
            return
        if answer != reason:
            log.warning(
                "the boot server %s cannot be told that this boot is good: %s; trying again", report.host, answer
            )
            reason = answer
        await asyncio.sleep(pause_sec)
        pause_sec = min(2 * pause_sec, LAST_PAUSE_SEC)


async def _ask(report: BootReport) -> str:
    """Return the first line of the answer."""
    context = None
    if report.tls:
        import ssl

        context = ssl.create_default_context()
    reader, writer = await asyncio.open_connection(report.host, report.port, ssl=context, limit=_ANSWER)
    try:
        host = f"[{report.host}]" if ":" in report.host else report.host
        head = f"POST {report.path} HTTP/1.0\r\nHost: {host}:{report.port}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        line = (await reader.read(_ANSWER)).decode(errors="replace").partition("\r")[0]
        return "".join(character if character.isprintable() else "?" for character in line)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

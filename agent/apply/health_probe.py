"""Whether a service works, asked from outside: connect, fetch, run, look for its name; effect.

    Health ─ asked again and again ─▶ "" (it works), or what is wrong in words

notify is systemd's own: a start is not done before it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from urllib.parse import urlsplit

from ordain.agent.errors import Unavailable
from ordain.agent.system.bus import DBUS, DBUS_PATH, Variant
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.model import HealthCheck

FIRST_SEC, MOST_SEC = 0.25, 2.0
"""How long to wait after the first try, and after the latest: each wait is half as long again as the one before."""
LEAST_SEC = 1.0
"""What a single try may take, however near the end is."""
LONGEST_SEC = 900.0
"""However long the documents say."""
PROBE = "ordain-probe-{unit}"
"""The transient unit that a command runs in."""


async def ask(systemd: Systemd, unit: str, health: HealthCheck) -> str:
    """Ask until ``unit`` works and has done so for long enough; "" then, else what is wrong."""
    clock = asyncio.get_running_loop().time
    end = clock() + min(health.within_usec / 1e6, LONGEST_SEC)
    pause = FIRST_SEC
    while wrong := await _try(systemd, unit, health, end - clock()):
        if clock() >= end:
            return f"does not work within {_seconds(health.within_usec)}: {wrong}"
        await asyncio.sleep(min(pause, max(0.0, end - clock())))
        pause = min(1.5 * pause, MOST_SEC)
    end = clock() + min(health.settle_usec / 1e6, LONGEST_SEC)
    pause = FIRST_SEC
    while (left := end - clock()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(1.5 * pause, MOST_SEC)
        if wrong := await _try(systemd, unit, health, LEAST_SEC):
            return f"worked, and within {_seconds(health.settle_usec)} no more: {wrong}"
    return ""


async def _try(systemd: Systemd, unit: str, health: HealthCheck, left_sec: float) -> str:
    """One try; "" if it succeeds."""
    patience = max(left_sec, LEAST_SEC)
    target = health.target[0]
    try:
        async with asyncio.timeout(patience):
            match health.probe:
                case "tcp":
                    return await _tcp(target)
                case "http":
                    return await _http(target)
                case "unix":
                    return await _unix(target)
                case "bus-name":
                    owned = await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", target)
                    return "" if owned else f"{target} has no owner on the bus"
                case _:
                    return await _command(systemd, unit, health.target, patience)
    except TimeoutError:
        return f"{target}: no answer"
    except (OSError, ValueError, EOFError) as error:
        return f"{target}: {_said(error)}"
    except Unavailable as failure:
        return str(failure)


async def _tcp(target: str) -> str:
    host, _, port = target.rpartition(":")
    _, writer = await asyncio.open_connection(_local(host.strip("[]")), int(port))
    writer.close()
    return ""


def _local(host: str) -> str:
    """Where to connect for an address that a server binds to."""
    return {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def _http(target: str) -> str:
    """A status below 400 is well. Certificates are verified: what no client trusts does not work."""
    url = urlsplit(target)
    if url.scheme not in ("http", "https") or not url.hostname:
        return f"{target} is no http or https URL"
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    reader, writer = await asyncio.open_connection(_local(url.hostname), port, ssl=url.scheme == "https" or None)
    try:
        place = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        host = url.netloc.rpartition("@")[2]
        writer.write(
            f"GET {place} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ordain\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        version, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
        if not version.startswith("HTTP/"):
            return f"{target} does not answer in HTTP"
        return "" if 100 <= int(rest[:3]) < 400 else f"{target} answers {rest.strip()}"
    finally:
        writer.close()


async def _unix(target: str) -> str:
    """Whether someone listens, on a socket of whatever type."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as connection:
            connection.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(connection, target)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:
                    continue
                raise
            return ""
    return f"{target} is no socket that one connects to"


async def _command(systemd: Systemd, unit: str, words: tuple[str, ...], patience_sec: float) -> str:
    """Run a command with the user of ``unit``, by PID 1: the agent itself may neither change its user nor would it
    see what the service sees."""
    user, group, dynamic = [await systemd.property(unit, name) for name in ("User", "Group", "DynamicUser")]
    probe = PROBE.format(unit=unit)
    properties = {
        "Description": Variant("s", f"Does {unit} Work?"),
        "Type": Variant("s", "oneshot"),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "ExecStart": Variant("a(sasb)", [(words[0], list(words), False)]),
        "TimeoutStartUSec": Variant("t", int(patience_sec * 1e6)),
        "DynamicUser": Variant("b", dynamic),
    }
    properties |= {name: Variant("s", value) for name, value in (("User", user), ("Group", group)) if value}
    result = await systemd.wait(await systemd.queue_transient(probe, properties), patience_sec + LEAST_SEC)
    return "" if result == "done" else f"{words[0]}: {result or 'lost'} (journalctl -u {probe} tells more)"


def _said(error: Exception) -> str:
    code = getattr(error, "errno", None)
    return os.strerror(code) if isinstance(code, int) and code > 0 else str(error) or type(error).__name__


def _seconds(usec: int) -> str:
    return f"{usec / 1e6:g} s"

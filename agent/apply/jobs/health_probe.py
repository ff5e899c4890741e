"""Health checks: a service is asked from outside whether it works.

    HealthCheck ──asked again and again──▶ "" (it works), or the reason in words

The probes are a TCP connection, an HTTP request, a connection to a UNIX socket, a command, and the owner of a bus name.
The probe ``notify`` is not here: with it, systemd itself does not finish the start before the service is ready.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from urllib.parse import urlsplit

from ordain.agent.errors import Unavailable
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, Variant
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.model import HealthCheck

FIRST_SEC, MOST_SEC = 0.25, 2.0
"""The pause after the first try, and the longest pause; each pause is 1.5 times as long as the one before."""
LEAST_SEC = 1.0
"""Every try may take this long, even if the deadline comes sooner."""
LONGEST_SEC = 900.0
"""No check takes longer, whatever the documents say."""
PROBE = "ordain-probe-{unit}"
"""The transient unit in which a command runs."""


async def probe(systemd: Systemd, unit: str, health: HealthCheck) -> str:
    """Ask until ``unit`` works and has worked for its settle time; return "", or the reason at the deadline."""
    clock = asyncio.get_running_loop().time
    end = clock() + min(health.within_usec / 1e6, LONGEST_SEC)
    pause = FIRST_SEC
    while wrong := await _try(systemd, unit, health, end - clock()):
        if clock() >= end:
            return f"did not work within {_seconds(health.within_usec)}: {wrong}"
        await asyncio.sleep(min(pause, max(0.0, end - clock())))
        pause = min(1.5 * pause, MOST_SEC)
    end = clock() + min(health.settle_usec / 1e6, LONGEST_SEC)
    pause = FIRST_SEC
    while (left := end - clock()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(1.5 * pause, MOST_SEC)
        if wrong := await _try(systemd, unit, health, LEAST_SEC):
            return f"worked, but stopped working within {_seconds(health.settle_usec)}: {wrong}"
    return ""


async def _try(systemd: Systemd, unit: str, health: HealthCheck, left_sec: float) -> str:
    """Try once; return "" if it succeeds, else the reason."""
    longest_sec = max(left_sec, LEAST_SEC)
    target = health.target[0]
    try:
        async with asyncio.timeout(longest_sec):
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
                    return await _command(systemd, unit, health.target, longest_sec)
    except TimeoutError:
        return f"{target}: no answer"
    except (OSError, ValueError, EOFError) as error:
        return f"{target}: {_reason(error)}"
    except Unavailable as failure:
        return str(failure)


async def _tcp(target: str) -> str:
    host, _, port = target.rpartition(":")
    _, writer = await asyncio.open_connection(_local(host.strip("[]")), int(port))
    writer.close()
    return ""


def _local(host: str) -> str:
    """Return the address to connect to, for an address that a server binds to."""
    return {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def _http(target: str) -> str:
    """Fetch the URL: a status below 400 is good. Certificates are verified, as a client would do."""
    url = urlsplit(target)
    if url.scheme not in ("http", "https") or not url.hostname:
        return f"{target} is not an http or https URL"
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
    """Connect to a socket of any type."""
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
    return f"{target} is not a socket that accepts connections"


async def _command(systemd: Systemd, unit: str, words: tuple[str, ...], longest_sec: float) -> str:
    """Have PID 1 run a command with the user of ``unit``.

    The agent cannot do so itself: it may not change its user, and it does not see the files that the service sees.
    """
    user, group, dynamic = [await systemd.property(unit, name) for name in ("User", "Group", "DynamicUser")]
    probe_unit = PROBE.format(unit=unit)
    properties = {
        "Description": Variant("s", f"Health Check of {unit}"),
        "Type": Variant("s", "oneshot"),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "ExecStart": Variant("a(sasb)", [(words[0], list(words), False)]),
        "TimeoutStartUSec": Variant("t", int(longest_sec * 1e6)),
        "DynamicUser": Variant("b", dynamic),
    }
    properties |= {name: Variant("s", value) for name, value in (("User", user), ("Group", group)) if value}
    result = await systemd.wait(await systemd.queue_transient(probe_unit, properties), longest_sec + LEAST_SEC)
    return "" if result == "done" else f"{words[0]}: {result or 'lost'} (see journalctl -u {probe_unit})"


def _reason(error: Exception) -> str:
    code = getattr(error, "errno", None)
    return os.strerror(code) if isinstance(code, int) and code > 0 else str(error) or type(error).__name__


def _seconds(usec: int) -> str:
    return f"{usec / 1e6:g} s"

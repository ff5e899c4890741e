"""Who must still be reached after a change of the network; effect: connects.

Asked is only for what was reached before: a machine that has no network yet can lose none.

    source HOST:PORT,…   one of those answers: where the documents come from
    gateway              a default gateway, whichever it is then, is there
    caller HOST          so is the host that the caller of the apply sits at

A host that accepts or refuses a connection answers. One that is silent may have a firewall: a gateway counts as there
if it is silent still when the kernel has asked for its hardware address again (arp(7): that takes 8 s, after which a
connection fails at once), a caller if it was silent before. No special packet is sent, so no privilege is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from ordain.transforms.machine import rootfs

DISCARD = 9
"""A port nobody listens on."""
CONNECT_SEC = 4.0
"""An address that nobody on the link has is known not to be there after 3 s (ip-sysctl, retrans_time)."""
DOUBT_SEC = 10.0
POLL_SEC = 0.5
TRIES = 3
_GATEWAY = 0x2
"""RTF_GATEWAY of /proc/net/route and ipv6_route."""

Ask = Callable[[str, int], Awaitable[str]]


async def reached(root: Path, wanted: Iterable[str], *, ask: Ask | None = None) -> tuple[str, ...]:
    """Of ``wanted`` what is reached now, each with how: ``caller 192.0.2.7 answers``.

    What is not is asked `TRIES` times: a link that just came up may need a moment, and what is missed here is not
    watched over.
    """
    found: dict[str, str] = {}
    wanted = tuple(wanted)
    for attempt in range(TRIES):
        missing = [word for word in wanted if word not in found]
        if attempt and missing:
            await asyncio.sleep(POLL_SEC)
        for word in missing:
            kind, hosts = _hosts(root, word)
            answers = [await (ask or connect)(host, port) for host, port in hosts]
            if "answers" in answers or (kind != "source" and "silent" in answers):
                found[word] = "answers" if "answers" in answers else "silent"
    return tuple(f"{word} {found[word]}" for word in wanted if word in found)


async def lost(root: Path, before: Iterable[str], within_sec: float, *, ask: Ask | None = None) -> tuple[str, ...]:
    """Of what `reached` said ``before`` what is not reached, for all of ``within_sec``."""
    began = time.monotonic()
    missing = tuple(before)
    while missing:
        left = []
        for word in missing:
            begun = time.monotonic() - began
            what, _, how = word.rpartition(" ")
            kind, hosts = _hosts(root, what)
            answers = [await (ask or connect)(host, port) for host, port in hosts]
            doubted = kind == "gateway" or (kind == "caller" and how == "silent")
            quiet = doubted and "silent" in answers and begun >= DOUBT_SEC
            if "answers" not in answers and not quiet:
                left.append(word)
        missing = tuple(left)
        if time.monotonic() - began >= within_sec:
            break
        if missing:
            await asyncio.sleep(POLL_SEC)
    return tuple(word.rpartition(" ")[0] for word in missing)


async def connect(host: str, port: int) -> str:
    """``answers``, ``silent`` or ``gone``."""
    asked = asyncio.ensure_future(asyncio.open_connection(host, port))
    try:
        # No timeout around it: on a machine that lags both may be over at once, and then what is known counts.
        if not (await asyncio.wait({asked}, timeout=CONNECT_SEC))[0]:
            return "silent"
    finally:
        asked.cancel()
    try:
        _, writer = asked.result()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except ConnectionRefusedError:
        return "answers"
    except TimeoutError:
        return "silent"
    except (OSError, socket.gaierror):
        return "gone"
    return "answers"


def _hosts(root: Path, word: str) -> tuple[str, list[tuple[str, int]]]:
    kind, _, rest = word.partition(" ")
    match kind:
        case "gateway":
            return kind, [(host, DISCARD) for host in gateways(root)]
        case "caller":
            return kind, [(rest, DISCARD)]
        case _:
            parts = (each.rpartition(":") for each in rest.split(","))
            return kind, [(host.strip("[]"), int(port)) for host, _, port in parts]


def gateways(root: Path) -> tuple[str, ...]:
    """The default gateways, of both families."""
    return (*_four(_lines(root, "proc/net/route")), *_six(_lines(root, "proc/net/ipv6_route")))


def _lines(root: Path, path: str) -> list[list[str]]:
    return [line.split() for line in (rootfs.read(root, path) or b"").decode("ascii", "replace").splitlines()]


def _four(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        if len(row) > 7 and row[1] == row[7] == "00000000" and int(row[3], 16) & _GATEWAY:
            yield socket.inet_ntop(socket.AF_INET, bytes.fromhex(row[2])[::-1])


def _six(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        if len(row) > 9 and row[0].strip("0") == "" and row[1] == "00" and int(row[8], 16) & _GATEWAY:
            yield f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[4]))}%{row[9]}"

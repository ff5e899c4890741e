"""Peers that a machine must still reach after a change of its network.

Only peers that were reached before the change are asked again: a machine that has no network yet can lose none.

    source     one of the addresses that documents come from answers
    gateway    a default gateway of the moment, whichever it is, is on the link
    caller     the host from which the administrator asked for the change is on the network

A host that accepts or refuses a connection answers. A host that is silent may have a firewall. A silent gateway counts
as reached once the kernel has had time to ask for its hardware address again (arp(7): that takes 8 s; from then on a
connection to a gateway that is gone fails at once). A silent caller counts if it was silent before, too. No special
packet is sent, so no privilege is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ordain.transforms.machine import rootfs

DISCARD = 9
"""The port to connect to on a gateway or a caller (discard, RFC 863): hardly anybody listens there."""
CONNECT_SEC = 4.0
"""The kernel knows after 3 s that nobody on the link has an address (ip-sysctl, retrans_time)."""
SETTLE_SEC = 1.0
"""A program may return before it has removed an address or a route, so an answer before this time proves nothing."""
DOUBT_SEC = 10.0
"""From then on a silent gateway counts as reached."""
POLL_SEC = 0.5
TRIES = 3
_GATEWAY = 0x2
"""RTF_GATEWAY in /proc/net/route and ipv6_route."""


class PeerKind(StrEnum):
    """The part that a peer plays for this machine."""

    SOURCE = "source"
    GATEWAY = "gateway"
    CALLER = "caller"


class HostAnswer(StrEnum):
    """The reaction of a host to a connection."""

    ANSWERS = "answers"
    SILENT = "silent"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPeer:
    """A peer, and whether it answered before the change or was silent.

    ``hosts``: HOST:PORT of each address of a source; the one host of a caller; nothing for a gateway.
    """

    kind: PeerKind
    hosts: tuple[str, ...] = ()
    answers: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {','.join(self.hosts)}".rstrip()

    def addresses(self, root: Path) -> list[tuple[str, int]]:
        """Return the hosts and ports to connect to now."""
        match self.kind:
            case PeerKind.GATEWAY:
                return [(host, DISCARD) for host in gateways(root)]
            case PeerKind.CALLER:
                return [(host, DISCARD) for host in self.hosts]
            case PeerKind.SOURCE:
                parts = (host.rpartition(":") for host in self.hosts)
                return [(host.strip("[]"), int(port)) for host, _, port in parts]


Connect = Callable[[str, int], Awaitable[HostAnswer]]


async def reached_peers(
    root: Path, peers: Iterable[NetworkPeer], *, connect: Connect | None = None
) -> tuple[NetworkPeer, ...]:
    """Return those of ``peers`` that are reached now, each with its way to answer.

    Each peer is asked up to `TRIES` times: a link that just came up may need a moment, and a peer that is missed here
    is not watched.
    """
    wanted = tuple(peers)
    reached: dict[NetworkPeer, NetworkPeer] = {}
    for attempt in range(TRIES):
        missing = [peer for peer in wanted if peer not in reached]
        if attempt and missing:
            await asyncio.sleep(POLL_SEC)
        for peer in missing:
            answers = await _ask(root, peer, connect or try_connection)
            if HostAnswer.ANSWERS in answers or (peer.kind is not PeerKind.SOURCE and HostAnswer.SILENT in answers):
                reached[peer] = replace(peer, answers=HostAnswer.ANSWERS in answers)
    return tuple(reached[peer] for peer in wanted if peer in reached)


async def lost_peers(
    root: Path,
    before: Iterable[NetworkPeer],
    within_sec: float,
    *,
    settle_sec: float = SETTLE_SEC,
    connect: Connect | None = None,
) -> tuple[NetworkPeer, ...]:
    """Return those peers of ``before`` (from `reached_peers`) that are not reached again within ``within_sec``."""
    await asyncio.sleep(settle_sec)
    began = time.monotonic()
    missing = tuple(before)
    while missing:
        still_missing = []
        for peer in missing:
            asked_after_sec = time.monotonic() - began
            answers = await _ask(root, peer, connect or try_connection)
            may_be_silent = peer.kind is PeerKind.GATEWAY or (peer.kind is PeerKind.CALLER and not peer.answers)
            silent = may_be_silent and HostAnswer.SILENT in answers and asked_after_sec >= DOUBT_SEC
            if HostAnswer.ANSWERS not in answers and not silent:
                still_missing.append(peer)
        missing = tuple(still_missing)
        if time.monotonic() - began >= within_sec:
            break
        if missing:
            await asyncio.sleep(POLL_SEC)
    return missing


async def _ask(root: Path, peer: NetworkPeer, connect: Connect) -> Sequence[HostAnswer]:
    return [await connect(host, port) for host, port in peer.addresses(root)]


async def try_connection(host: str, port: int) -> HostAnswer:
    """Return how ``host`` reacts to a TCP connection within `CONNECT_SEC`."""
    connecting = asyncio.ensure_future(asyncio.open_connection(host, port))
    try:
        # asyncio.timeout would not do: on a slow machine both may end at once, and then the kernel's answer counts.
        if not (await asyncio.wait({connecting}, timeout=CONNECT_SEC))[0]:
            return HostAnswer.SILENT
    finally:
        connecting.cancel()
    try:
        _, writer = connecting.result()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except ConnectionRefusedError:
        return HostAnswer.ANSWERS
    except TimeoutError:
        return HostAnswer.SILENT
    except (OSError, socket.gaierror):
        return HostAnswer.GONE
    return HostAnswer.ANSWERS


def gateways(root: Path) -> tuple[str, ...]:
    """Return the default gateways of both families."""
    return (*_ipv4(_rows(root, "proc/net/route")), *_ipv6(_rows(root, "proc/net/ipv6_route")))


def _rows(root: Path, path: str) -> list[list[str]]:
    return [line.split() for line in (rootfs.read(root, path) or b"").decode("ascii", "replace").splitlines()]


def _ipv4(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        if len(row) > 7 and row[1] == row[7] == "00000000" and int(row[3], 16) & _GATEWAY:
            yield socket.inet_ntop(socket.AF_INET, bytes.fromhex(row[2])[::-1])


def _ipv6(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        if len(row) > 9 and row[0].strip("0") == "" and row[1] == "00" and int(row[8], 16) & _GATEWAY:
            yield f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[4]))}%{row[9]}"

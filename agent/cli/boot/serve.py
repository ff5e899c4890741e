"""serve: runs the reference boot server until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import opened
from ordain.agent.compile.worker import Worker
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Failure
from ordain.agent.system.systemd.journal_format import OneLine

if TYPE_CHECKING:
    from ordain.agent.server.prebuilt_caches import PrebuiltCaches
    from ordain.agent.server.relay.relay import Relay

PORT = 8080
LISTEN = f"127.0.0.1:{PORT}"
KEEPALIVE_SEC = 15.0
"""The time that an idle connection stays open after an answer; a machine opens a new one for each request."""


def serve(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl serve`."""
    host, port = _address(request.listen or LISTEN)
    _require_documents(request)
    if bool(request.tls_cert) != bool(request.tls_key):
        raise Failure("--tls-cert and --tls-key must be used together")
    if request.client_ca and not request.tls_cert:
        raise Failure("--client-ca needs --tls-cert and --tls-key")
    if request.files and not Path(request.files).is_dir():
        raise Failure(f"--files {request.files}: directory not found; name that of the kernels and initrds")
    if request.print_dnsmasq:
        console.text(_dnsmasq(request, host, port))
        return Exit.OK
    lines = logging.StreamHandler(console.err)
    lines.setFormatter(OneLine("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    try:
        from ordain.agent.server.prebuilt_caches import PrebuiltCaches

        prebuilt = PrebuiltCaches(Path(request.tree).absolute(), Worker()) if request.tree else None
        asyncio.run(_serve(request, host, port, console, prebuilt))
    except SourceError as error:
        raise Failure(str(error)) from None
    return Exit.OK


def _require_documents(request: Namespace) -> None:
    """Raise `Usage` unless the documents come either from a directory or from a store, with a place for its copy."""
    if bool(request.dir) == bool(request.store):
        raise Usage("give either DIR or --store URL: the documents come from one of them")
    if request.store and not request.state:
        raise Usage("--store needs --state DIR, where the last good copy of the store and the queued reports are kept")
    if request.store and not request.print_dnsmasq:
        Path(request.state).mkdir(mode=0o700, parents=True, exist_ok=True)


async def _serve(request: Namespace, host: str, port: int, console: Console, prebuilt: PrebuiltCaches | None) -> None:
    if not request.store:
        await _serve_documents(request, host, port, console, prebuilt, None)
        return
    from ordain.agent.server.relay.relay import Relay

    async with opened(request) as database:
        name = request.name or socket.gethostname()
        relay = Relay(name=name, database=database, state=Path(request.state), place=_place(request.store))
        await _serve_documents(request, host, port, console, prebuilt, relay)


async def _serve_documents(
    request: Namespace, host: str, port: int, console: Console, prebuilt: PrebuiltCaches | None, relay: Relay | None
) -> None:
    from aiohttp import web

    from ordain.agent.server.api import PAGE, PREFIX
    from ordain.agent.server.connections import (
        Connections,
        WithoutTraceback,
        limits_for,
        listening_sockets,
        raise_descriptor_limit,
    )
    from ordain.agent.server.relay.relay_state import keep_state
    from ordain.agent.server.server import BootServer, tls_context

    logging.getLogger("aiohttp.server").addFilter(WithoutTraceback())
    per_address = _count(request.max_per_address) if request.max_per_address else 0
    files = Path(request.files) if request.files else None
    state = Path(request.state) if request.state else None
    tokens = Path(request.tokens) if request.tokens else None
    server = BootServer(
        Path(request.dir) if request.dir else None,
        prebuilt,
        relay=relay,
        files=files,
        state=state,
        by_certificate=bool(request.client_ca),
        tokens=tokens,
    )
    server.load_records()
    if relay is None:
        await server.load()
    else:
        relay.load()
    context = None
    if request.tls_cert:
        client_ca = Path(request.client_ca) if request.client_ca else None
        context = tls_context(Path(request.tls_cert), Path(request.tls_key), client_ca)
    connections = Connections(limits_for(raise_descriptor_limit(), per_address), context)
    application = server.app(connections.answer)
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SEC,
        auto_decompress=False,  # nobody reads the body of a request, which 64 KiB can make 64 MiB
    )
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        sockets = listening_sockets(host, port)
        port = sockets[0].getsockname()[1]  # for port 0, the system chooses one
        connections.start(sockets, runner.server)  # type: ignore[arg-type]
        following = asyncio.create_task(server.follow())
        scheme = "https" if context else "http"
        where = f"[{host}]" if ":" in host else host or "*"
        if relay:
            console.note(f"relay {relay.name} of {relay.database.location} at {scheme}://{where}:{port}", Style.GOOD)
        else:
            console.note(f"serving {request.dir} at {scheme}://{where}:{port}/{{machine-id}}.yaml", Style.GOOD)
        if tokens:
            console.note(f"the page is at {scheme}://{where}:{port}{PAGE}, and the API at {PREFIX}", Style.GOOD)
        for warning in _warnings(request, host):
            console.note(warning, Style.WARN)
        console.err.flush()
        keeping = asyncio.create_task(server.keep_records())
        ended = asyncio.create_task(stop.wait())
        relaying = (
            [asyncio.create_task(work) for work in (relay.follow(), relay.forward(), keep_state(relay))]
            if relay
            else []
        )
        tasks = {following, keeping, ended, *relaying}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in (following, keeping, *relaying):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()
    finally:
        server.end()
        connections.stop()
        await runner.cleanup()


def _place(url: str) -> str:
    """Return what tells a store from others: its kind and prefix, but not its members, which are replaced.

    >>> _place("etcd+https://a:2379,b:2379/ordain/"), _place("/srv/store")
    ('etcd+https:/ordain', '/srv/store')
    """
    parts = urlsplit(url)
    return f"{parts.scheme}:{parts.path.rstrip('/')}" if parts.scheme else url


def _dnsmasq(request: Namespace, host: str, port: int) -> str:
    from ordain.agent.server.dnsmasq import dnsmasq_configuration

    if not host or host in ("0.0.0.0", "::", "localhost", "127.0.0.1"):
        raise Failure("--print-dnsmasq needs the address of this server in the network: add --listen ADDRESS:PORT")
    shown = f"[{host}]" if ":" in host else host
    return dnsmasq_configuration(f"{'https' if request.tls_cert else 'http'}://{shown}:{port}", request.print_dnsmasq)


def _is_local(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _warnings(request: Namespace, host: str) -> Iterator[str]:
    """Yield what the network can read or change here for want of an option."""
    if _is_local(host):
        return
    if request.tokens and not request.tls_cert:
        yield "tokens travel in the clear: add --tls-cert and --tls-key"
    if request.store and not request.client_ca:
        yield "who reaches this relay can read all documents of the store: add --tls-cert, --tls-key and --client-ca"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) == int(text)):
        raise Usage(f"--max-per-address {text}: not a number of connections, 1 or more")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (all addresses) or ``HOST``."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError as error:
        raise Failure(f"--listen {text}: {error}") from None
    if not text or parts.path or parts.username is not None:
        raise Failure(f"--listen {text}: not an address; use HOST:PORT")
    return parts.hostname or "", PORT if port is None else port

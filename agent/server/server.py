"""A boot server over a directory: every machine gets the documents that could be for it, and hears when they change.

    directory ─inotify▶ `MachineDocuments` ─GET /…▶ 200 with an ETag, or 304, held back as long as `Prefer: wait=N` says

Who asks is said by the headers of `sources.http`, and where these are missing by the last part of the path
(``/0123….yaml``, ``/web1``, ``/52:54:00:12:34:56``); a path is never a file's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import ssl
import time
from pathlib import Path

from aiohttp import web

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.bundle import is_manifest
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.delivery.source.http_source import BOOT, CHANNEL, HOSTNAME, MAC, MACHINE, PREBUILT, MachineIdentity
from ordain.agent.server.machine_documents import MachineDocuments, split_documents
from ordain.agent.server.prebuilt_caches import BootRequest, NotPrebuilt, PrebuiltCaches
from ordain.agent.server.release_offers import OfferedReleases, offer_releases
from ordain.transforms.document.node import MAX_BYTES
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.machine import facts

log = logging.getLogger(__name__)
WAIT_MOST_SEC = 300
VARY = ", ".join(("Accept", MACHINE, HOSTNAME, MAC, CHANNEL, BOOT))
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5,19}")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])")


class BootServer:
    """Serves the documents of one directory. `load` before the first answer.

    ``finisher`` makes finished boot caches of them for initrds that ask; without one there are none.
    """

    def __init__(self, directory: Path, finisher: PrebuiltCaches | None = None) -> None:
        self._finisher = finisher
        self._source = DirectorySource(directory)
        self._shelf: MachineDocuments | OfferedReleases = MachineDocuments()
        self._changed = asyncio.Event()
        self._ended = False

    async def load(self) -> None:
        """Read the directory. Raises `Refused` for documents that are wrong, and `SourceError`.

        Documents beside a release are what it names, or the draft of the next: only releases are handed out then, as
        long as the server runs.
        """
        texts = (await self._source.read()).texts
        before = self._shelf if isinstance(self._shelf, OfferedReleases) else None
        if before or any(is_manifest(data) for _, data in texts):
            offers, problems = offer_releases(texts, before or OfferedReleases())
            if not offers.heads:
                raise Refused(problems)
            for problem in problems:
                log.log(logging.ERROR if only_errors([problem]) else logging.WARNING, "%s", problem)
            self._shelf = offers
        else:
            self._shelf = split_documents(texts)
        self._wake()

    def end(self) -> None:
        """Answer those who wait, as what they wait for will not come from here."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> None:
        """Read it again whenever it changes; what is wrong is logged, and the last good documents are served on."""
        async for _ in self._source.changes():
            try:
                await self.load()
            except SourceError as error:
                log.error("%s; what was good last is served", error)
            except Refused as refused:
                for problem in refused.problems:
                    log.error("%s", problem)
                log.error("the documents are refused; what was good last is served")

    def app(self) -> web.Application:
        """The application: GET and HEAD of any path."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        asker = identify_machine(request)
        if asker is None:
            return self._log(
                request, web.Response(status=400, text="who asks? say so in the path or in headers\n"), began
            )
        headers = {"Cache-Control": "private, no-cache", "Vary": VARY}
        if asker.machine_id:
            headers[MACHINE] = asker.machine_id
        body, etag = self._page(asker)
        wait = _WAIT.search(request.headers.get("Prefer", ""))
        if wait is not None and request.headers.get("If-None-Match"):
            headers["Preference-Applied"] = "wait"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(int(wait[1]), WAIT_MOST_SEC)):
                    while request.headers["If-None-Match"] == etag and not self._ended:
                        await self._changed.wait()
                        body, etag = self._page(asker)
        if not body:
            what = (
                f"release of channel {asker.channel or STABLE}"
                if isinstance(self._shelf, OfferedReleases)
                else "document"
            )
            none = web.Response(status=404, text=f"no {what} is for this machine\n", headers=headers)
            return self._log(request, none, began)
        kind = "application/yaml; charset=utf-8"
        if finished := await self._finished(request, asker, body):
            body, etag, kind = finished, _etag(finished), PREBUILT
        headers["ETag"] = etag
        if request.headers.get("If-None-Match") == etag:
            return self._log(request, web.Response(status=304, headers=headers), began)
        headers["Content-Type"] = kind
        found = web.Response(body=body, headers=headers)
        return self._log(request, found, began)

    def _page(self, asker: MachineIdentity) -> tuple[bytes, str]:
        body = self._shelf.for_machine(asker)
        if len(body) > MAX_BYTES:
            log.error("%d bytes are for machine %a, which takes %d", len(body), asker.machine_id, MAX_BYTES)
        return body, _etag(body)

    async def _finished(self, request: web.Request, asker: MachineIdentity, body: bytes) -> bytes:
        """The boot cache that this comes to, if an initrd asks for one and it can be had; else nothing."""
        if self._finisher is None or PREBUILT not in request.headers.get("Accept", ""):
            return b""
        try:
            if isinstance(self._shelf, OfferedReleases):
                raise NotPrebuilt("releases are handed out, and nobody can sign a finished generation")
            return await self._finisher.finished(body, asker, BootRequest.read(request.headers.get(BOOT, "")))
        except NotPrebuilt as why:
            log.warning("%s gets the documents and no finished generation: %s", request.remote, why)
            return b""

    def _log(self, request: web.Request, response: web.Response, began: float) -> web.Response:
        """One line per answer; what the asker wrote is quoted, so that it cannot forge another."""
        size = len(response.body) if isinstance(response.body, bytes) else 0
        name = request.headers.get(HOSTNAME, "-")
        took = time.monotonic() - began
        log.info("%s %s %a %a %d %d %.3f", request.remote, (name.isprintable() and name) or "?", request.method,
                 request.path[:200], response.status, size, took)  # fmt: skip
        return response


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def identify_machine(request: web.Request) -> MachineIdentity | None:
    """The machine that asks; None if nothing says."""
    name = request.path.rpartition("/")[2].removesuffix(".yaml").removesuffix(".json")
    low = name.lower()
    machine_id = _fits(facts.MACHINE_ID, request.headers.get(MACHINE, "")) or _fits(facts.MACHINE_ID, low)
    macs = [_fits(_MAC, part.strip().lower()) for part in request.headers.get(MAC, "").split(",")]
    mac = tuple(filter(None, macs)) or tuple(filter(None, (_fits(_MAC, low),)))
    named = "" if machine_id == low or mac == (low,) else name
    hostname = _fits(facts.HOSTNAME, request.headers.get(HOSTNAME, "")) or _fits(facts.HOSTNAME, named)
    if not (machine_id or mac or hostname):
        return None
    channel = _fits(_CHANNEL, request.headers.get(CHANNEL, "") or request.query.get("channel", ""))
    mac = tuple(address.replace("-", ":") for address in mac)
    return MachineIdentity(machine_id=machine_id, hostname=hostname, mac=mac, channel=channel)


def tls(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """The server's side of TLS; with ``client_ca``, machines must show a certificate of it. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _fits(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""

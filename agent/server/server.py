"""A boot server for a directory: every machine gets the documents that could match it, and a notice when they change.

    directory ─inotify▶ `MachineDocuments` ─GET /…▶ 200 with an ETag, or 304 after the wait of `Prefer: wait=N`

A machine identifies itself by the headers of `delivery.source.http_source`, or else by the last part of the path
(``/0123….yaml``, ``/web1``, ``/52:54:00:12:34:56``). A path never names a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from ordain.agent.delivery.protocol import Source, SourceError
from ordain.agent.delivery.release.bundle import is_manifest
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.delivery.source.http_source import (
    BOOT,
    CHANNEL,
    HOSTNAME,
    MAC,
    MACHINE,
    PREBUILT,
    REFUSED,
    MachineIdentity,
)
from ordain.agent.netboot.boot_count import installation_report
from ordain.agent.netboot.machine_records import PACE_SEC, MachineRecords
from ordain.agent.server.api import BootApi
from ordain.agent.server.api_shapes import ChannelHead
from ordain.agent.server.boot_scripts import BootScripts, machine_name
from ordain.agent.server.boot_turns import BootTurn, turn_of
from ordain.agent.server.certificate_identity import certificate_names, proven_identity
from ordain.agent.server.machine_documents import MachineDocuments, split_documents
from ordain.agent.server.prebuilt_caches import BootRequest, NotPrebuilt, PrebuiltCaches
from ordain.agent.server.relay.boot_stages import BootingMachine, BootStages, boot_stages
from ordain.agent.server.relay.copy_source import CopySource
from ordain.agent.server.relay.relay import Relay
from ordain.agent.server.relay.relay_requests import RelayRequests
from ordain.agent.server.release_offers import OfferedReleases, offer_releases
from ordain.transforms.document.text.node import MAX_BYTES
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern
from ordain.transforms.machine import facts
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_target import netboot_documents, node_of, pin_of
from ordain.transforms.netboot.machine_query import facts_of_query, parse_mac
from ordain.transforms.resolve.resolve import with_node_labels

log = logging.getLogger(__name__)
MAX_WAIT_SEC = 300
VARY = ", ".join(("Accept", MACHINE, HOSTNAME, MAC, CHANNEL, BOOT))
MAX_CARDS = 64
MAX_REASON = 300
MAX_FORM, MAX_FIELDS = 32 << 10, 8
FORM_SEC = 10.0
_MAC = lazy_pattern(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5,19}")
_CHANNEL = lazy_pattern(r"[a-z0-9][a-z0-9-]{0,63}")
_HOST = lazy_pattern(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_WAIT = lazy_pattern(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])")


class BootServer:
    """The server of one directory; `load` must be called before the first answer.

    With a ``relay``, the documents are those of its copy, and machines use its store through this server; there is no
    ``directory`` then. ``prebuilt`` builds boot caches of the documents for initrds that ask for
    one; None: they get documents only.
    ``files`` is the directory of kernels and initrds for machines that boot from the network, and ``state`` that of the
    records of those machines.
    With ``by_certificate``, a machine is who its certificate says (`certificate_identity`). ``tokens`` is the file of
    those who may use the API and its page; None: there are none. Raises `Failure` if that file cannot be read.
    """

    def __init__(
        self,
        directory: Path | None,
        prebuilt: PrebuiltCaches | None = None,
        *,
        relay: Relay | None = None,
        files: Path | None = None,
        state: Path | None = None,
        by_certificate: bool = False,
        tokens: Path | None = None,
    ) -> None:
        self.files = files
        self.directory = directory
        self.relay = relay
        self.records = MachineRecords(state)
        self._scripts = BootScripts(files, self.records)
        self._api = BootApi(self, tokens) if tokens else None
        self._netboot: dict[tuple[str, int], tuple[Document, ...]] = {}  # by channel and number of the release
        self._stages = BootStages()
        self._prebuilt = prebuilt
        self._by_certificate = by_certificate
        self._source: Source
        if relay is not None:
            self._source = CopySource(relay)
        else:
            assert directory is not None
            self._source = DirectorySource(directory)
        self._relay_requests = RelayRequests(relay) if relay else None
        self._content: MachineDocuments | OfferedReleases = MachineDocuments()
        self._changed = asyncio.Event()
        self._ended = False
        self._refused = ""  # the first reason why newer documents are not served

    async def load(self) -> None:
        """Read the directory. Raises `SourceError`, and `Refused` for documents that are not valid.

        Documents beside a release belong to it, or are the draft of the next one. So once there is a release, only
        releases are served, as long as the server runs.
        """
        texts = (await self._source.read()).texts
        before = self._content if isinstance(self._content, OfferedReleases) else None
        if before or any(is_manifest(data) for _, data in texts):
            offers, problems = offer_releases(texts, before or OfferedReleases(), rollouts=self.relay is not None)
            if not offers.boot_heads:
                raise Refused(problems)
            for problem in problems:
                log.log(logging.ERROR if only_errors([problem]) else logging.WARNING, "%s", problem)
            self._content = offers
        else:
            self._content = split_documents(texts)
        self._netboot = {}
        self._stages = boot_stages(self.relay.copy if self.relay else None)
        self._refused = ""
        self._wake()

    def load_records(self) -> None:
        """Read the records of machines that an earlier server has kept. Raises `Failure`."""
        self.records.load()

    async def keep_records(self) -> None:
        """Write the records of machines whenever they have changed, and once more when the server ends."""
        try:
            while True:
                await asyncio.sleep(PACE_SEC)
                if changes := self.records.take_changes():
                    await asyncio.to_thread(self.records.write, changes)
        finally:
            self.records.write(self.records.take_changes())

    def end(self) -> None:
        """Answer all requests that wait, because the server ends."""
        self._ended = True
        self._wake()
        if self._relay_requests is not None:
            self._relay_requests.end()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> None:
        """Read the documents again whenever they change; after an error, serve the last valid ones."""
        async for _ in self._source.changes():
            try:
                await self.load()
            except SourceError as error:
                self._refuse("they cannot be read")
                log.error("%s; the last valid documents are still served", error)
            except Refused as refused:
                for problem in refused.problems:
                    log.error("%s", problem)
                first = only_errors(refused.problems)[0]
                self._refuse(f"{first.where.path.rpartition('/')[2]}:{first.where.line} [{first.code}]")
                log.error("the documents are refused; the last valid documents are still served")

    def _refuse(self, reason: str) -> None:
        """Tell the machines, also those that wait for a change, that newer documents are not served.

        ``reason`` has no value of a document, which may be for other machines. Machines of a relay read its store.
        """
        if self.relay is None:
            self._refused = "".join(char if " " <= char <= "~" else "?" for char in reason)[:MAX_REASON]
            self._wake()

    def app(self, *middlewares: Any) -> web.Application:
        """Return the application: GET and HEAD of any path, reports of machines, the API, and requests to a relay."""
        app = web.Application(middlewares=middlewares)
        if self._api is not None:
            self._api.add_to(app.router)
        if self._relay_requests is not None:
            self._relay_requests.add_to(app.router)
        app.router.add_get(f"/{ipxe_script.SCRIPT}", self._answer_script)
        app.router.add_get(f"/{ipxe_script.FILES}/{{path:.+}}", self._answer_file)
        app.router.add_post("/booted", self._answer_booted)
        app.router.add_post("/installed", self._answer_installed)
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        response = await self._respond(request)
        _log(request, response, time.monotonic() - began)
        return response

    async def _answer_script(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        response = self._script(request)
        _log(request, response, time.monotonic() - began)
        return response

    def _script(self, request: web.Request) -> web.Response:
        """Return the script of the machine that the query describes, or the question for such a query."""
        facts = facts_of_query(request.query)
        channel = _if_matches(_CHANNEL, request.query.get("channel", ""))
        if facts is None:
            return web.Response(text=ipxe_script.with_channel(ipxe_script.ask(request.query), channel))
        if _is_browser(request):
            return _not_for_browsers()
        if self._by_certificate:
            names = certificate_names(request.get_extra_info("peercert") or {})
            if not facts.mac or facts.mac[0].replace(":", "-") not in names:
                named = ", ".join(sorted(names)) or "nobody"
                return web.json_response({"reason": f"the certificate names {named}: not this MAC address"}, status=403)
        again = ipxe_script.AGAIN in request.query
        turn = self._turn(channel, facts)
        documents = self._netboot_release(channel or STABLE, turn.number)
        if request.method == "HEAD":  # a look at the script starts nothing
            script, _, _ = self.next_script(documents, facts)
        else:
            script = self._scripts.script_for(documents, facts, time.time(), turn, channel=channel, again=again)
        script = ipxe_script.with_channel(ipxe_script.with_base(script, _base_url(request)), channel)
        return web.Response(text=script, headers={"Cache-Control": "private, no-cache"})

    def documents(self, channel: str, facts: Facts) -> tuple[Document, ...]:
        """Return the documents that decide what a machine starts: those of the release that it boots now."""
        return self._netboot_release(channel or STABLE, self._turn(channel, facts).number)

    def all_documents(self, channel: str, facts: Facts) -> tuple[Document, ...]:
        """See `api.BootView`."""
        return self._content.parsed(channel or STABLE, self._turn(channel, facts).number)

    def _turn(self, channel: str, facts: Facts) -> BootTurn:
        """Return the release that a machine boots: the one that its Node pins it to, or the one of its turn."""
        if not isinstance(self._content, OfferedReleases):
            return BootTurn()
        channel = channel or STABLE
        latest = self._netboot_release(channel, 0)
        pin = pin_of(latest, facts)
        if pin and (channel, pin) in self._content.releases:
            return BootTurn(number=pin)
        if self.relay is None:
            return BootTurn(number=self._content.boot_heads.get(channel, 0))
        known = with_node_labels(latest, replace(facts, hostname="", labels={}, pinned=frozenset()), {})
        machine = BootingMachine(name=machine_name(facts), node=node_of(latest, facts), labels=known.labels)
        return turn_of(self._content, self._stages, channel, machine, self.records)

    def _netboot_release(self, channel: str, number: int) -> tuple[Document, ...]:
        if (channel, number) not in self._netboot:
            self._netboot[channel, number] = netboot_documents(self._content.parsed(channel, number))
        return self._netboot[channel, number]

    def next_script(self, documents: Iterable[Document], facts: Facts) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """See `api.BootView`."""
        return self._scripts.next_script(documents, facts)

    def channel_heads(self) -> tuple[ChannelHead, ...] | None:
        """See `api.BootView`."""
        if not isinstance(self._content, OfferedReleases):
            return None
        heads = [self._content.releases[head].release for head in sorted(self._content.boot_heads.items())]
        return tuple(
            ChannelHead(
                channel=release.channel,
                number=release.number,
                created=str(release.data.get("created", "")),
                about=str(release.data.get("about", "")),
                documents=len(release.documents),
            )
            for release in heads
        )

    async def _answer_booted(self, request: web.Request) -> web.StreamResponse:
        if _is_browser(request):
            return _not_for_browsers()
        began = time.monotonic()
        machines = self._machines_of(request, request.query.get("mac", ""))
        known = self._scripts.note_completed(machines, request.query.get("root", ""), time.time())
        return _noted(request, began, known=known)

    async def _answer_installed(self, request: web.Request) -> web.StreamResponse:
        if _is_browser(request):
            return _not_for_browsers()
        began = time.monotonic()
        form = await _form(request)
        said = installation_report(form.get("state", ""), form.get("text", ""))
        if said is None:
            return web.Response(status=400, text="the form needs mac, state and text\n")
        machines = self._machines_of(request, form.get("mac", ""))
        return _noted(request, began, known=self._scripts.note_installation(machines, said, time.time()))

    def _machines_of(self, request: web.Request, addresses: str) -> list[str]:
        """Return the MAC addresses in a report, with `--client-ca` those in the certificate only."""
        machines = [mac for mac in map(parse_mac, addresses.split(",")[:MAX_CARDS]) if mac]
        if not self._by_certificate:
            return machines
        names = certificate_names(request.get_extra_info("peercert") or {})
        return [mac for mac in machines if mac.replace(":", "-") in names]

    async def _answer_file(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        response = await self._scripts.send_file(request)
        _log(request, response, time.monotonic() - began)
        return response

    async def _respond(self, request: web.Request) -> web.Response:
        identity = identify_machine(request)
        if identity is None:
            text = "name the machine in the path or in headers\n"
            return web.Response(status=400, text=text)
        headers = {"Cache-Control": "private, no-cache", "Vary": VARY}
        if identity.machine_id:
            headers[MACHINE] = identity.machine_id
        if self._by_certificate:
            names = certificate_names(request.get_extra_info("peercert") or {})
            proven = proven_identity(identity, names)
            if proven is None:
                named = ", ".join(sorted(names)) or "nobody"
                reason = f"the certificate names {named}: neither this machine-id nor this host name"
                return web.json_response({"reason": reason}, status=403)
            identity = proven
        known_etag = request.headers.get("If-None-Match", "")
        wait = _WAIT.search(request.headers.get("Prefer", ""))
        if wait is not None and known_etag:
            headers["Preference-Applied"] = "wait"
            body, etag = await self._wait_for_change(identity, known_etag, int(wait[1]))
        else:
            body, etag = self._body_and_etag(identity)
        if not body:
            kind = "document"
            if isinstance(self._content, OfferedReleases):
                kind = f"release of channel {identity.channel or STABLE}"
            return web.Response(status=404, text=f"there is no {kind} for this machine\n", headers=headers)
        content_type = "application/yaml; charset=utf-8"
        if cache := await self._prebuilt_cache(request, identity, body):
            body, etag, content_type = cache, _etag(cache), PREBUILT
        headers["ETag"] = etag
        if self._refused:
            headers[REFUSED] = self._refused
        if known_etag == etag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = content_type
        return web.Response(body=body, headers=headers)

    async def _wait_for_change(self, identity: MachineIdentity, known_etag: str, wait_sec: int) -> tuple[bytes, str]:
        """Return the body and its ETag as soon as that differs from ``known_etag``, or after ``wait_sec``."""
        body, etag = self._body_and_etag(identity)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(wait_sec, MAX_WAIT_SEC)):
                while known_etag == etag and not self._ended:
                    await self._changed.wait()
                    body, etag = self._body_and_etag(identity)
        return body, etag

    def _body_and_etag(self, identity: MachineIdentity) -> tuple[bytes, str]:
        body = self._content.for_machine(identity, proven=self._by_certificate)
        if len(body) > MAX_BYTES:
            message = "the documents for machine %a have %d bytes; the machine accepts only %d"
            log.error(message, identity.machine_id, len(body), MAX_BYTES)
        return body, _etag(body + self._refused.encode())

    async def _prebuilt_cache(self, request: web.Request, identity: MachineIdentity, body: bytes) -> bytes:
        """Return the boot cache for ``body`` if an initrd asks for one and it can be built, else b""."""
        if self._prebuilt is None or PREBUILT not in request.headers.get("Accept", ""):
            return b""
        try:
            if isinstance(self._content, OfferedReleases):
                raise NotPrebuilt("this server offers releases, and a prebuilt boot cache has no signature")
            boot = BootRequest.read(request.headers.get(BOOT, ""))
            return await self._prebuilt.cache_for(body, identity, boot)
        except NotPrebuilt as reason:
            log.warning("%s gets documents and no prebuilt boot cache: %s", request.remote, reason)
            return b""


def _base_url(request: web.Request) -> str:
    """Return the URL of this server by the name that the machine knows it by, or what iPXE replaces by that."""
    host = request.headers.get("Host", "")
    return f"{request.scheme}://{host}/" if _HOST.fullmatch(host) else ipxe_script.BASE


async def _form(request: web.Request) -> Mapping[str, str]:
    """Return the form in the body of a request, empty if it is none, too large, or does not arrive in time.

    The reader of aiohttp waits for a body without end, and unpacks what the client has compressed.
    """
    length = request.content_length or 0
    if length > MAX_FORM:
        return {}
    try:
        async with asyncio.timeout(FORM_SEC):
            data = await request.content.readexactly(length)
        pairs = parse_qsl(data.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (TimeoutError, asyncio.IncompleteReadError, ValueError):
        return {}
    return dict(pairs)


def _is_browser(request: web.Request) -> bool:
    """Return whether a browser sends a request, which it may do for a page of any site.

    Neither iPXE nor curl sends these headers, and no page can omit all of them.
    """
    return any(name in request.headers for name in ("Accept-Language", "Origin", "Sec-Fetch-Mode"))


def _not_for_browsers() -> web.Response:
    """Refuse a request that counts as one of a machine: it is noted as a boot, or as a report."""
    text = "only machines ask this, and a boot would be counted; use `curl`, or the page of the API\n"
    return web.Response(status=403, text=text)


def _noted(request: web.Request, began: float, *, known: bool) -> web.Response:
    text = "" if known else "no machine with this address has asked here what to start\n"
    response = web.Response(status=204 if known else 404, text=text or None)
    _log(request, response, time.monotonic() - began)
    return response


def _log(request: web.Request, response: web.StreamResponse, took_sec: float) -> None:
    """Log one line; the words of the client are quoted, so that they cannot forge another line."""
    body = response.body if isinstance(response, web.Response) else None
    size = len(body) if isinstance(body, bytes) else response.content_length or 0
    name = request.headers.get(HOSTNAME, "-")
    shown_name = (name.isprintable() and name) or "?"
    log.info("%s %s %a %a %d %d %.3f", request.remote, shown_name, request.method, request.path[:200],
             response.status, size, took_sec)  # fmt: skip


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def identify_machine(request: web.Request) -> MachineIdentity | None:
    """Return the machine that sent the request, or None if neither headers nor path identify one."""
    name = request.path.rpartition("/")[2].removesuffix(".yaml").removesuffix(".json")
    low = name.lower()
    machine_id = _if_matches(facts.MACHINE_ID, request.headers.get(MACHINE, "")) or _if_matches(facts.MACHINE_ID, low)
    macs = [_if_matches(_MAC, part.strip().lower()) for part in request.headers.get(MAC, "").split(",")]
    mac = tuple(filter(None, macs)) or tuple(filter(None, (_if_matches(_MAC, low),)))
    rest = "" if machine_id == low or mac == (low,) else name
    hostname = _if_matches(facts.HOSTNAME, request.headers.get(HOSTNAME, "")) or _if_matches(facts.HOSTNAME, rest)
    if not (machine_id or mac or hostname):
        return None
    channel = _if_matches(_CHANNEL, request.headers.get(CHANNEL, "") or request.query.get("channel", ""))
    mac = tuple(address.replace("-", ":") for address in mac)
    return MachineIdentity(machine_id=machine_id, hostname=hostname, mac=mac, channel=channel)


def tls_context(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return the server's TLS context; with ``client_ca``, machines need a certificate of it. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _if_matches(pattern: LazyPattern[str], text: str) -> str:
    """Return ``text`` if the whole of it matches, else ""."""
    return text if pattern.fullmatch(text) else ""

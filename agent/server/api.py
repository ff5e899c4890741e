"""The API of a boot server, as JSON below /api/v1/, and the page for people at /fleet/, which uses nothing else.

    request ─token▶ rights ─handler▶ a value of `api_shapes` ─▶ JSON

Reading needs the right ``read``, and a change the right that its row in `BootApi.routes` names. A token comes in the
header ``Authorization: Bearer TOKEN`` only: never in a URL, which logs would keep, and never in a cookie, which a
browser would send for any site.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from ordain.agent.compile.worker import Worker
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Failure, OrdainError
from ordain.agent.model import to_json
from ordain.agent.netboot.adoption import node_text, require_new, write_node
from ordain.agent.netboot.api_tokens import NOBODY, ApiToken, Right, bearer, read_tokens
from ordain.agent.netboot.images import find_image, list_images
from ordain.agent.netboot.machine_records import MachineRecords, NetbootRecord, UnknownMachine, facts_said, record_named
from ordain.agent.server import api_shapes
from ordain.agent.server.api_shapes import (
    Adopted,
    ApiRefusal,
    Caller,
    ChannelHead,
    MachineStory,
    MachineUnits,
    machine_of,
)
from ordain.agent.server.relay.relay import Relay
from ordain.agent.server.relay.relay_state import RelayState, state_of
from ordain.agent.server.relay.site_reports import ReportedRollout, SiteReader, SiteReports
from ordain.transforms.errors import Refused
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot.boot_image import parse_reference
from ordain.transforms.netboot.machine_query import parse_mac

log = logging.getLogger(__name__)
PREFIX = "/api/v1"
PAGE = "/fleet/"
PAGE_FILES: Mapping[str, str] = {
    "": "index.html",
    "page.css": "page.css",
    "page.js": "page.js",
}
TYPES: Mapping[str, str] = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
JSON = "application/json"
MAX_BODY = 16 << 10
BODY_SEC = 10.0
LIST_SEC = 1.0
"""A list of all machines is made once in this time, however many pages look at it."""
UNITS = "ordain.agent.server.machine_units:units_for"
"""The function that compiles for the page. A process of its own loads it, with its libraries."""
_FOLDER = Path(__file__).parent / "page"


class BootView(Protocol):
    """The part of a boot server that the API shows."""

    files: Path | None
    directory: Path | None
    records: MachineRecords
    relay: Relay | None

    def documents(self, channel: str, facts: Facts) -> tuple[Document, ...]:
        """Return the documents that decide what a machine starts."""
        ...

    def all_documents(self, channel: str, facts: Facts) -> tuple[Document, ...]:
        """Return the documents of all machines, of the release that a machine boots."""
        ...

    def next_script(self, documents: Iterable[Document], facts: Facts) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return the script that documents make for a machine now, its layers, and the problems."""
        ...

    def channel_heads(self) -> tuple[ChannelHead, ...] | None:
        """Return the latest release of each channel, None for a server of documents without releases."""
        ...


Handler = Callable[[web.Request], Awaitable[Any]]


class RequestRefused(OrdainError):
    """A request is refused, with a status of HTTP, the reason, and the Node that the server could not write."""

    def __init__(self, status: int, error: str, document: str = "") -> None:
        self.status = status
        self.refusal = ApiRefusal(error=error, document=document)
        super().__init__(error)


class BootApi:
    """The API and the page over a boot server; ``tokens`` is the file of `api_tokens`, read again when it changes."""

    def __init__(self, view: BootView, tokens: Path) -> None:
        self._view = view
        self._reader = SiteReader(view.relay) if view.relay else None
        self._path = tokens
        self._tokens = read_tokens(tokens)
        self._stamp = _stamp(tokens)
        self._listed: tuple[float, Any] = (float("-inf"), None)
        self._compiles = asyncio.Lock()

    def routes(self) -> tuple[tuple[str, str, Right | None, Handler], ...]:
        """Return all requests: method, path below `PREFIX`, the right that it needs, and the handler."""
        return (
            ("GET", "/caller", None, self._caller),
            ("GET", "/machines", Right.READ, self._machines),
            ("GET", "/machines/{machine}", Right.READ, self._machine),
            ("GET", "/machines/{machine}/units", Right.UNITS, self._units),
            ("GET", "/images", Right.READ, self._images),
            ("GET", "/releases", Right.READ, self._releases),
            ("GET", "/relay", Right.READ, self._relay),
            ("GET", "/reports", Right.READ, self._reports),
            ("GET", "/rollouts", Right.READ, self._rollouts),
            ("POST", "/machines/{machine}/adopt", Right.ADOPT, self._adopt),
            ("PUT", "/machines/{machine}/once", Right.BOOT, self._set_once),
            ("DELETE", "/machines/{machine}/once", Right.BOOT, self._end_once),
        )

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all requests to the routes of a server."""
        for method, path, right, handler in self.routes():
            router.add_route(method, PREFIX + path, self._answered(right, handler))
        router.add_route("*", PREFIX + "/{path:.*}", self._answered(None, _unknown))
        for name in PAGE_FILES:
            router.add_get(PAGE + name, _send_page)
        router.add_get("/", _lead_to_page)

    def _answered(self, right: Right | None, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                caller = self._caller_of(request)
                if right is not None and right not in caller.rights:
                    raise _no_right(caller, right)
                if request.method == "POST" and not caller.digest and request.content_type != JSON:
                    # A browser sends such a body for any site that it shows, and asks here first if it is JSON.
                    raise RequestRefused(415, f"send a change without a token with `Content-Type: {JSON}`")
                value, status = await handler(request), 200
            except RequestRefused as error:
                value, status = error.refusal, error.status
            except Refused as refused:
                value, status = ApiRefusal(error="; ".join(map(str, refused.problems))), 400
            except UnknownMachine as failure:
                value, status = ApiRefusal(error=str(failure)), 404
            except Failure as failure:
                value, status = ApiRefusal(error=str(failure)), 409
            except SourceError as error:
                value, status = ApiRefusal(error=f"{error} [{error.code}]"), 503
            headers = dict(HEADERS)
            if status == 401:
                headers["WWW-Authenticate"] = 'Bearer realm="ordain"'
            text = value if isinstance(value, str) else json.dumps(to_json(value))
            if request.method != "GET" or status >= 400:
                log.info("%s %a %a %d", request.remote, request.method, request.path[:200], status)
            return web.Response(text=text, status=status, content_type=JSON, headers=headers)

        return answer

    def _caller_of(self, request: web.Request) -> ApiToken:
        """Return the token of a request, `NOBODY` without one. Raises `RequestRefused` for one that is not valid."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme and scheme.lower() != "bearer":
            raise RequestRefused(401, "send the token as `Authorization: Bearer TOKEN`")
        caller = bearer(self._current_tokens(), secret.strip())
        if caller is None:
            raise RequestRefused(401, "this token is not known; `ordainctl netboot token` makes one")
        return caller

    def _current_tokens(self) -> tuple[ApiToken, ...]:
        """Return the tokens of the file as it is now; a file that cannot be read has none."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._tokens = read_tokens(self._path)
            except Failure as failure:
                log.error("%s; nobody can use the API", failure)
                self._tokens = ()
        return self._tokens

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _caller(self, request: web.Request) -> Caller:
        caller = self._caller_of(request)
        relay = self._view.relay
        return Caller(
            name=caller.name, rights=tuple(sorted(caller.rights)), relay=relay.name if relay is not None else ""
        )

    async def _machines(self, request: web.Request) -> str:
        listed, text = self._listed
        now = time.monotonic()
        if now - listed > LIST_SEC:
            records = self._view.records.all()
            text = await asyncio.to_thread(lambda: json.dumps(to_json(tuple(map(machine_of, records)))))
            self._listed = (now, text)
        assert isinstance(text, str)
        return text

    async def _machine(self, request: web.Request) -> MachineStory:
        record = self._record(request)
        facts = facts_said(record.said)
        documents = self._view.documents(record.channel, facts)
        script, layers, problems = await asyncio.to_thread(self._view.next_script, documents, facts)
        return MachineStory(
            machine=machine_of(record),
            log=record.log,
            script=record.script,
            next_script=script,
            layers=layers,
            next_problems=problems,
            once=self._view.records.once(record.machine),
            system=await asyncio.to_thread(self._system_of, record),
        )

    def _system_of(self, record: NetbootRecord) -> str:
        """Return the system of the image in the script of a machine, "" if it is not known."""
        if not (self._view.files and record.image):
            return ""
        try:
            return find_image(self._view.files, parse_reference(record.image)).content.os
        except (Failure, ValueError):
            return ""

    async def _units(self, request: web.Request) -> MachineUnits:
        record = self._record(request)
        system = request.query.get("system", "") or await asyncio.to_thread(self._system_of, record)
        if not system:
            raise RequestRefused(409, f"the system of {record.machine} is not known: ask with ?system=debian-13")
        facts = facts_said(record.said)
        documents = self._view.all_documents(record.channel, facts)
        async with self._compiles:  # one at a time, in a process that ends afterwards
            worker = Worker()
            try:
                units = await asyncio.to_thread(worker, UNITS, documents, facts, record.node or "localhost", system)
            finally:
                worker.dismiss()
        assert isinstance(units, MachineUnits)
        return units

    async def _images(self, request: web.Request) -> tuple[api_shapes.Image, ...]:
        files = self._view.files
        images = await asyncio.to_thread(list_images, files) if files else ()
        return api_shapes.images_of(images, self._view.records.all())

    async def _releases(self, request: web.Request) -> tuple[ChannelHead, ...]:
        return self._view.channel_heads() or ()

    async def _relay(self, request: web.Request) -> RelayState:
        return state_of(self._site().relay)

    async def _reports(self, request: web.Request) -> SiteReports:
        return await self._site().reports()

    async def _rollouts(self, request: web.Request) -> tuple[ReportedRollout, ...]:
        return await self._site().rollouts()

    def _site(self) -> SiteReader:
        if self._reader is None:
            raise RequestRefused(409, "no machine reports to this server: start it with --store URL, as a relay")
        return self._reader

    # -- changes -----------------------------------------------------------------------------------------------------

    async def _adopt(self, request: web.Request) -> Adopted:
        record, body = self._record(request), await _body(request, {"name": str, "labels": dict})
        if not parse_mac(record.machine):
            raise RequestRefused(
                409, f"{record.machine} has sent no MAC address; write its Node with match: {{system-uuid: …}}"
            )
        labels = body.get("labels", {})
        if not all(isinstance(value, str) for value in labels.values()):
            raise RequestRefused(400, "labels must be a map of texts")
        name = body.get("name", "")
        text = node_text(name, record.machine, labels)
        if self._view.channel_heads() is not None:
            error = "this server offers releases: add this Node to the documents of the next release"
            raise RequestRefused(409, error, text)
        if self._view.directory is None:
            raise RequestRefused(409, "this server is a relay: write this Node with `ordainctl documents put`", text)
        require_new(name, record.machine, self._view.documents(record.channel, facts_said(record.said)))
        try:
            path = await asyncio.to_thread(write_node, self._view.directory, name, text)
        except Failure as failure:
            raise RequestRefused(409, str(failure), text) from None
        self._view.records.put(replace(record, node=name))
        log.warning("%s adopted %s as %s", self._caller_of(request).name, record.machine, name)
        return Adopted(document=text, file=path.name)

    async def _set_once(self, request: web.Request) -> MachineStory:
        record, body = self._record(request), await _body(request, {"image": str})
        try:
            reference = parse_reference(body.get("image", ""))
        except ValueError as error:
            raise RequestRefused(400, f"image: {error}") from None
        if self._view.files is None:
            raise RequestRefused(409, "this server has no images; start it with --files DIR")
        image = await asyncio.to_thread(find_image, self._view.files, reference)
        self._view.records.set_once(record.machine, str(image.reference))
        log.warning("%s: %s starts %s once", self._caller_of(request).name, record.machine, image.reference)
        return await self._machine(request)

    async def _end_once(self, request: web.Request) -> MachineStory:
        record = self._record(request)
        self._view.records.set_once(record.machine, "")
        return await self._machine(request)

    def _record(self, request: web.Request) -> NetbootRecord:
        """Return the record of the machine in the path: a MAC address, a UUID or the name of a Node."""
        return record_named(self._view.records.all(), request.match_info["machine"])


def _no_right(caller: ApiToken, right: Right) -> RequestRefused:
    if caller is NOBODY or not caller.digest:
        return RequestRefused(401, f"this needs a token with the right {right}; `ordainctl netboot token` makes one")
    return RequestRefused(403, f"the token {caller.name} does not have the right {right}")


async def _unknown(request: web.Request) -> Any:
    raise RequestRefused(404, "this request is not known; docs/reference/boot-server-api.md lists all requests")


async def _body(request: web.Request, keys: Mapping[str, type]) -> dict[str, Any]:
    """Return the JSON object in a request. Raises `RequestRefused` if it has other keys or types."""
    length = request.content_length
    if not length:
        raise RequestRefused(400, f"the body is missing; send a JSON object with {', '.join(keys)}")
    if length > MAX_BODY:
        raise RequestRefused(413, f"the body has more than {MAX_BODY} bytes")
    try:
        async with asyncio.timeout(BODY_SEC):
            data = await request.content.readexactly(length)
        body = json.loads(data)
        json.dumps(body, ensure_ascii=False).encode()  # an escape can make half of a character, which no file can hold
    except (TimeoutError, asyncio.IncompleteReadError):
        raise RequestRefused(408, f"the body did not arrive within {BODY_SEC:.0f} seconds") from None
    except (ValueError, RecursionError):
        raise RequestRefused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RequestRefused(400, "the body is not a JSON object")
    for key, value in body.items():
        if key not in keys or not isinstance(value, keys[key]):
            raise RequestRefused(400, f"{key[:40]!r} is not one of the keys {', '.join(keys)}, or has another type")
    return body


async def _send_page(request: web.Request) -> web.Response:
    """Send a file of the page, which holds no data: these come through the API."""
    path = _FOLDER / PAGE_FILES[request.path.removeprefix(PAGE)]
    text = await asyncio.to_thread(path.read_text)
    return web.Response(text=text, content_type=TYPES[path.suffix], headers={**HEADERS, "Cache-Control": "no-cache"})


async def _lead_to_page(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": PAGE})


def _stamp(path: Path) -> tuple[int, ...]:
    """Return values that change whenever the file does; none if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns

"""A boot server as a source: one URL that answers a machine with its documents, as multi-document YAML or JSON.

The machine identifies itself in the URL (``{machine-id}``, ``{hostname}``, ``{mac}``) and in headers. A server that
supports ``Prefer: wait=N`` (RFC 7240) holds its answer until the documents change, and answers
``Preference-Applied: wait``. Any other server is asked again every ``interval``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ordain.agent.delivery.database.http_transport import (
    SILENCE_SEC,
    HttpTransport,
    Request,
    Response,
    ServerAccess,
    require_success,
)
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, ignore
from ordain.agent.delivery.release.bundle import split_releases
from ordain.agent.delivery.release.channel import LABEL
from ordain.agent.delivery.source import service_credentials
from ordain.agent.source_settings import SourceSettings
from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.text.node import MAX_BYTES, Unreadable
from ordain.transforms.model import Facts

MACHINE, HOSTNAME, MAC, CHANNEL = "Ordain-Machine-Id", "Ordain-Hostname", "Ordain-Mac", "Ordain-Channel"
"""The headers that identify the machine. An answer with another `MACHINE` is for another machine."""
REFUSED = "Ordain-Refused"
"""The header of an answer from a server that refuses newer documents: the place of the first fault, and its code."""
BOOT = "Ordain-Boot"
"""The header that describes the boot of an initrd (`server.prebuilt_caches.BootRequest`) …"""
PREBUILT = "application/vnd.ordain.boot"
"""… and the type of a prebuilt boot cache, which it accepts in place of documents (packaging/initrd/handover)."""
WAIT_SEC = 50
GRACE_SEC = 10.0
"""The time beyond `WAIT_SEC` that a server may take."""
MIN_PAUSE_SEC = 1.0
"""The shortest pause between two requests, whatever the server does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineIdentity:
    """The machine that sends a request.

    ``mac`` addresses are in lower case with colons. ``channel`` is that of its releases, "" for the default channel.
    """

    machine_id: str
    hostname: str
    mac: tuple[str, ...] = ()
    channel: str = ""

    @classmethod
    def of(cls, facts: Facts) -> MachineIdentity:
        """Return the identity of the machine with these facts."""
        named = facts.labels.get(LABEL, ())
        channel = named[0] if len(named) == 1 else ""  # two channels are an error, which `admission` reports
        return cls(machine_id=facts.machine_id, hostname=facts.hostname, mac=facts.mac, channel=channel)

    def expand(self, url: str) -> str:
        """Return ``url`` with its fields replaced. Raises `SourceError` if this machine has no value for one."""
        mac = self.mac[0] if self.mac else ""
        for field, value in (("machine-id", self.machine_id), ("hostname", self.hostname), ("mac", mac)):
            if f"{{{field}}}" in url:
                if not value:
                    message = f"the URL {url} contains {field}, which this machine does not have"
                    raise SourceError(message, code=SourceFault.SETTINGS, hint="use another field")
                url = url.replace(f"{{{field}}}", quote(value, safe=":"))
        return url

    def headers(self) -> Mapping[str, str]:
        """Return the headers that identify the machine."""
        values = {MACHINE: self.machine_id, HOSTNAME: self.hostname, MAC: ", ".join(self.mac), CHANNEL: self.channel}
        return {name: value for name, value in values.items() if value}


class HttpSource:
    """The documents at one URL."""

    type = "http"

    def __init__(self, settings: SourceSettings, identify: Callable[[], MachineIdentity]) -> None:
        """Make a source; ``identify`` returns the current identity of the machine. Raises `SourceError`."""
        self._identify = identify
        self._identity = identify()
        self.location = self._identity.expand(settings.endpoints[0])
        self._settings = settings
        parts = urlsplit(self.location)
        self._path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        key = service_credentials.credential_path(settings.key) if settings.key else ""
        endpoint = f"{parts.scheme}://{parts.netloc}"
        access = ServerAccess(endpoints=(endpoint,), ca=settings.ca, cert=settings.cert, key=key)
        self._transport = HttpTransport(access, headers={"Accept": "application/yaml, application/json"})
        self._etag = ""
        self._server_waits = False
        self._unread: Snapshot | None = None
        self._refused = ""

    @property
    def refusal(self) -> SourceError | None:
        """Return the fault if the server refuses newer documents, as of the last answer; else None."""
        if not self._refused:
            return None
        message = f"{self.location}: the server refuses its newer documents: {self._refused}"
        hint = "correct them on the server, whose log has the reasons; until then, it serves the last valid ones"
        return SourceError(message, code=SourceFault.SERVER_REFUSES, hint=hint)

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        snapshot, self._unread = self._unread, None
        if snapshot is None:
            snapshot = self._snapshot(require_success(await self._ask(wait=False)))
        return snapshot

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """See `Source.changes`. Raises `SourceError` when the server is lost."""
        yield
        interval_sec = self._settings.interval_usec / 1_000_000
        server_waited = True  # only a request can tell whether the server is able to wait
        while True:
            # Spread over the interval: machines that booted together must not ask together for ever.
            await asyncio.sleep(MIN_PAUSE_SEC if server_waited else interval_sec * random.uniform(0.8, 1.2))
            began = time.monotonic()
            response = require_success(await self._ask(wait=bool(self._etag)))
            if response.status != 304:
                self._unread = self._snapshot(response)
                yield
            # A server that promises to wait and does not is asked as rarely as one that cannot wait.
            server_waited = self._server_waits and (response.status != 304 or time.monotonic() - began >= MIN_PAUSE_SEC)

    async def close(self) -> None:
        """Close the session."""
        await self._transport.close()

    async def _ask(self, *, wait: bool) -> Response:
        """Ask for the documents; with ``wait``, let the server wait until they differ from the last ones."""
        self._identity = self._identify()
        headers = {**self._identity.headers(), **self._authorization()}
        silence_sec = SILENCE_SEC
        if wait:
            headers |= {"If-None-Match": self._etag, "Prefer": f"wait={WAIT_SEC}"}
            silence_sec = WAIT_SEC + GRACE_SEC
        request = Request(path=self._path, headers=headers, max_bytes=MAX_BYTES, silence_sec=silence_sec)
        response = await self._transport.send(request)
        self._server_waits = "wait" in response.headers.get("preference-applied", "")
        return response

    def _authorization(self) -> Mapping[str, str]:
        if not self._settings.credential:
            return {}
        secret = service_credentials.read_secret(self._settings.credential)
        if not self._settings.user:
            return {"Authorization": f"Bearer {secret}"}
        pair = base64.b64encode(f"{self._settings.user}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def _snapshot(self, response: Response) -> Snapshot:
        """Return the documents of an answer. Raises `SourceError` if it has none, or is for another machine."""
        machine = response.headers.get(MACHINE.lower(), "")
        if machine and machine != self._identity.machine_id:
            message = f"{self.location}: the answer is for another machine, {machine[:40]!a}"
            hint = "check that no cache between them mixes up the answers"
            raise SourceError(message, code=SourceFault.WRONG_MACHINE, hint=hint)
        _require_documents(self.location, response.body)
        self._etag = response.headers.get("etag", "")
        self._refused = response.headers.get(REFUSED.lower(), "")
        # Not the ETag as revision: two servers may give different ones to the same documents.
        revision = hashlib.sha256(response.body).hexdigest()[:12]
        # The path is the URL with its fields, so that the units, which name it, are the same on all machines.
        return Snapshot(texts=((self._settings.endpoints[0], response.body),), revision=revision)


def _require_documents(location: str, body: bytes) -> None:
    """Raise `SourceError` unless the body has documents; whether they are valid is checked later."""
    count = 0
    try:
        for path, text in split_releases([(location, body)]):
            for node in read_nodes(path, text):
                if not isinstance(node.value, Mapping) or "ordain" not in node.value:
                    message, hint = f"{node.where}: not a document of Ordain", "a document begins with `ordain: v1`"
                    raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint=hint)
                count += 1
    except Unreadable as unreadable:
        problem = unreadable.problem
        message = f"{problem.where}: {problem.what}"
        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint=problem.hint) from None
    if not count:
        raise SourceError(f"{location}: the answer contains no document", code=SourceFault.EMPTY)

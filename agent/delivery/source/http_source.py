"""A boot server: one URL that answers a machine with its documents, as multi-document YAML or JSON.

The machine says who it is in the URL (``{machine-id}``, ``{hostname}``, ``{mac}``) and in headers. A server that takes
``Prefer: wait=N`` (RFC 7240) holds its answer until the documents change and says ``Preference-Applied: wait``; any
other one is asked again every ``interval``.
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
    HttpTransport,
    Request,
    Response,
    ServerAccess,
    require_success,
)
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.delivery.release.bundle import split_releases
from ordain.agent.delivery.release.channel import LABEL
from ordain.agent.delivery.source import service_credentials
from ordain.agent.source_settings import SourceSettings
from ordain.transforms.document.node import MAX_BYTES, Unreadable
from ordain.transforms.document.reader import nodes
from ordain.transforms.model import Facts

MACHINE, HOSTNAME, MAC, CHANNEL = "Ordain-Machine-Id", "Ordain-Hostname", "Ordain-Mac", "Ordain-Channel"
"""The headers that say who asks. An answer with another `MACHINE` than ours is not for us."""
BOOTING = "Ordain-Boot"
"""What an initrd says of itself (`serving.finishing.Booting`) …"""
FINISHED = "application/vnd.ordain.boot"
"""… and takes in place of documents: a finished boot cache (packaging/initrd/handover)."""
WAIT_SEC = 50
GRACE_SEC = 10.0
"""How much longer than it said a server may take."""
LEAST_SEC = 1.0
"""Between two questions, whatever the server does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineIdentity:
    """The machine that asks; addresses are lower-case with colons. ``channel``: of releases, "" is the usual one."""

    machine_id: str
    hostname: str
    mac: tuple[str, ...] = ()
    channel: str = ""

    @classmethod
    def of(cls, facts: Facts) -> MachineIdentity:
        """The machine that has these facts."""
        named = facts.labels.get(LABEL, ())
        channel = named[0] if len(named) == 1 else ""  # of two `admit` says what is wrong
        return cls(machine_id=facts.machine_id, hostname=facts.hostname, mac=facts.mac, channel=channel)

    def expand(self, url: str) -> str:
        """``url`` with its fields. Raises `SourceError` for one that this machine has no value for."""
        for field, value in (("machine-id", self.machine_id), ("hostname", self.hostname), ("mac", self.mac[:1])):
            if f"{{{field}}}" in url:
                text = value if isinstance(value, str) else "".join(value)
                if not text:
                    raise SourceError(f"this machine has no {field}, which {url} asks for", code=SourceFault.SETTINGS)
                url = url.replace(f"{{{field}}}", quote(text, safe=":"))
        return url

    def headers(self) -> Mapping[str, str]:
        """What it says of itself."""
        found = {MACHINE: self.machine_id, HOSTNAME: self.hostname, MAC: ", ".join(self.mac), CHANNEL: self.channel}
        return {name: value for name, value in found.items() if value}


class HttpSource:
    """The documents at one URL."""

    type = "http"

    def __init__(self, settings: SourceSettings, who: Callable[[], MachineIdentity]) -> None:
        """``who`` tells what the machine is now. Raises `SourceError`."""
        self._who = who
        self._asker = who()
        self.location = self._asker.expand(settings.endpoints[0])
        self._settings = settings
        parts = urlsplit(self.location)
        self._path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        key = service_credentials.path(settings.key) if settings.key else ""
        access = ServerAccess(
            endpoints=(f"{parts.scheme}://{parts.netloc}",), ca=settings.ca, cert=settings.cert, key=key
        )
        self._transport = HttpTransport(access, headers={"Accept": "application/yaml, application/json"})
        self._etag = ""
        self._waits = False
        self._fresh: Snapshot | None = None

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        found, self._fresh = self._fresh, None
        if found is None:
            found = self._taken(require_success(await self._ask({})))
        return found

    async def changes(self) -> AsyncIterator[None]:
        """See `Source.changes`. Raises `SourceError` when the server is lost."""
        yield
        interval_sec = self._settings.interval_usec / 1_000_000
        held = True  # whether it can wait, asking tells
        while True:
            # Spread over the interval: machines that booted together do not ask together for ever.
            await asyncio.sleep(LEAST_SEC if held else interval_sec * random.uniform(0.8, 1.2))
            asked = time.monotonic()
            answer = require_success(await self._ask({"If-None-Match": self._etag} if self._etag else {}))
            if answer.status != 304:
                self._fresh = self._taken(answer)
                yield
            # A server that promises to wait and does not is asked at the pace of one that cannot.
            held = self._waits and (answer.status != 304 or time.monotonic() - asked >= LEAST_SEC)

    async def close(self) -> None:
        """End the session."""
        await self._transport.close()

    async def _ask(self, headers: Mapping[str, str]) -> Response:
        self._asker = self._who()
        sent = {**headers, **self._asker.headers(), **self._authorization()}
        if headers:
            sent["Prefer"] = f"wait={WAIT_SEC}"
        answer_sec = WAIT_SEC + GRACE_SEC
        silence_sec = answer_sec if headers else 30.0
        request = Request(path=self._path, headers=sent, max_bytes=MAX_BYTES, silence_sec=silence_sec)
        answer = await self._transport.send(request)
        self._waits = "wait" in answer.headers.get("preference-applied", "")
        return answer

    def _authorization(self) -> Mapping[str, str]:
        if not self._settings.credential:
            return {}
        secret = service_credentials.secret(self._settings.credential)
        if not self._settings.user:
            return {"Authorization": f"Bearer {secret}"}
        pair = base64.b64encode(f"{self._settings.user}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def _taken(self, answer: Response) -> Snapshot:
        """The documents of an answer. Raises `SourceError` for what is none, or not for this machine."""
        told = answer.headers.get(MACHINE.lower(), "")
        if told and told != self._asker.machine_id:
            what = f"{self.location}: answers with the documents of the machine {told[:40]!a}"
            raise SourceError(what, code=SourceFault.WRONG_MACHINE, hint="a cache on the way must not mix machines up")
        _look(self.location, answer.body)
        self._etag = answer.headers.get("etag", "")
        # Not the ETag: it may change with the server, and the same documents are no news.
        revision = hashlib.sha256(answer.body).hexdigest()[:12]
        # Named as it was set: what says where it is from is the same on every machine that gets the same.
        return Snapshot(texts=((self._settings.endpoints[0], answer.body),), revision=revision)


def _look(location: str, body: bytes) -> None:
    """Whether these are documents at all; whether they are right is not for us to say. Raises `SourceError`."""
    found = 0
    try:
        for path, text in split_releases([(location, body)]):
            for node in nodes(path, text):
                if not isinstance(node.value, Mapping) or "ordain" not in node.value:
                    raise SourceError(
                        f"{node.where}: is no document", code=SourceFault.NOT_DOCUMENTS, hint="ordain: v1"
                    )
                found += 1
    except Unreadable as unreadable:
        problem = unreadable.problem
        raise SourceError(
            f"{problem.where}: {problem.what}", code=SourceFault.NOT_DOCUMENTS, hint=problem.hint
        ) from None
    if not found:
        raise SourceError(f"{location}: answers with no document", code=SourceFault.EMPTY)

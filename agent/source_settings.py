"""The source of the documents as the administrator sets it: ``source`` of agent.yaml, or ``ordain.source=`` at boot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from ordain.transforms.document.formats.agent_formats import BOOT_SERVER, SERVER, SERVER_WITH_PATH, url_fault
from ordain.transforms.document.keys.agent_keys import DOCUMENTS
from ordain.transforms.errors import Problem, Where
from ordain.transforms.systemd.values import timespan

SOURCE_PARAMETER = "ordain.source"
INTERVAL_USEC = 30_000_000


class SourceKind(StrEnum):
    """A type of source. ``none`` stands for settings that are wrong: documents are fetched from nowhere."""

    DIRECTORY = "directory"
    ETCD = "etcd"
    COUCHDB = "couchdb"
    RELAY = "relay"
    HTTP = "http"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The place that documents come from.

    ``endpoints`` are the URLs of servers, or the one URL of a boot server with its fields. ``credential`` and ``key``
    name systemd credentials: a password (without ``user`` a bearer token), and the private key of ``cert``. ``ca`` and
    ``cert`` are paths. ``policy`` holds the other settings that ordain-source.service uses: it starts anew when they
    change.
    """

    type: SourceKind = SourceKind.DIRECTORY
    path: str = DOCUMENTS
    endpoints: tuple[str, ...] = ()
    prefix: str = "/ordain/"
    database: str = "ordain"
    interval_usec: int = INTERVAL_USEC
    user: str = ""
    credential: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    policy: str = ""

    @property
    def remote(self) -> bool:
        """True if ordain-source.service fetches the documents."""
        return self.type not in (SourceKind.DIRECTORY, SourceKind.NONE)

    @property
    def location(self) -> str:
        """The place as text for people."""
        within = {SourceKind.ETCD: self.prefix, SourceKind.COUCHDB: f"/{self.database}"}.get(self.type, "")
        return f"{', '.join(self.endpoints)}{within}" if self.remote else self.path

    @property
    def hosts(self) -> tuple[str, ...]:
        """HOST:PORT of every server."""
        urls = [urlsplit(endpoint) for endpoint in self.endpoints]
        names = [f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname for url in urls]
        return tuple(
            f"{name}:{url.port or (443 if url.scheme == 'https' else 80)}"
            for name, url in zip(names, urls, strict=True)
        )

    @property
    def digest(self) -> str:
        """A short hash of all settings, by which a program that runs with other settings is recognised."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the credentials that it needs."""
        return tuple(filter(None, (self.credential, self.key)))


STORES = (SourceKind.ETCD, SourceKind.COUCHDB, SourceKind.RELAY)
"""The sources on a server that take the reports of machines."""
_URL_SHAPES = {
    SourceKind.HTTP: BOOT_SERVER,
    SourceKind.ETCD: SERVER,
    SourceKind.COUCHDB: SERVER_WITH_PATH,
    SourceKind.RELAY: SERVER,
}
NO_SOURCE = SourceSettings(type=SourceKind.NONE, path="")


def source_settings(values: Mapping[str, Any]) -> SourceSettings:
    """Return the source that the values of the key ``source`` of agent.yaml describe (`agent_keys.SOURCE`)."""
    if not values:
        return SourceSettings()
    kind = SourceKind(values["type"])
    urls = values.get("endpoints", values.get("url", ()))
    names = ("prefix", "database", "user", "credential", "ca", "cert", "key")
    return SourceSettings(
        type=kind,
        path=values.get("path", DOCUMENTS if kind is SourceKind.DIRECTORY else ""),
        endpoints=urls if kind is SourceKind.HTTP else tuple(url.rstrip("/") for url in urls),
        interval_usec=timespan(values["interval"]) if "interval" in values else INTERVAL_USEC,
        **{name: values[name] for name in names if name in values},
    )


def source_from_url(text: str, base: SourceSettings, where: Where) -> tuple[SourceSettings, list[Problem]]:
    """Return the source that ``ordain.source=`` names, and what is wrong with it.

    The credential and the certificates stay those of ``base``, if that is a source of the same type.

    ``https://boot/{machine-id}.yaml``, ``etcd+https://a:2379,b:2379/ordain/``, ``couchdb+https://db:6984/ordain``
    (a proxy may serve it below a path: ``couchdb+https://proxy/couch/ordain``), ``relay+https://a:8443,b:8443``, or
    ``/a/directory``.
    """
    if text.startswith("/"):
        return replace(SourceSettings(), path=text), []
    word, plus, rest = text.partition("+")
    kind = SourceKind.HTTP if not plus or word not in STORES else SourceKind(word)
    scheme, _, place = (text if kind is SourceKind.HTTP else rest).partition("://")
    hosts, _, below = place.partition("/")
    kept = replace(base, type=kind) if base.type is kind else SourceSettings(type=kind)
    path, _, database = below.strip("/").rpartition("/") if kind is SourceKind.COUCHDB else ("", "", "")
    path = f"/{path}" if path else ""
    if kind is SourceKind.RELAY and below:
        path = f"/{below}"  # a relay has none, and the check of the URL says so
    urls = [text] if kind is SourceKind.HTTP else [f"{scheme}://{host}{path}" for host in hosts.split(",")]
    faults = [fault for url in urls if (fault := url_fault(url, _URL_SHAPES[kind]))]
    if faults:
        hint = "https://boot.example/{machine-id}.yaml, etcd+https://a:2379/ordain/, couchdb+https://db:6984/ordain"
        hint += ", or a directory with its whole path: /srv/store"
        what = f"not the URL of a source: {faults[0]}"
        problem = Problem(where=replace(where, pointer=SOURCE_PARAMETER), what=what, hint=hint, code="Settings")
        return NO_SOURCE, [problem]
    settings = replace(kept, endpoints=tuple(urls))
    if kind is SourceKind.ETCD and below:
        settings = replace(settings, prefix=f"/{below}")
    if database:
        settings = replace(settings, database=database)
    return settings, []

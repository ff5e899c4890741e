"""What the admin says of where documents come from: ``source`` of agent.yaml, or ``ordain.source=`` at boot; pure.

source: {type: directory, path: /etc/ordain/documents}
source: {type: http, url: "https://boot.example/{machine-id}.yaml", interval: 30s, ca: /etc/…, credential: boot}
source: {type: etcd, endpoints: ["https://a:2379"], prefix: /ordain/, user: node, credential: etcd-password}
source: {type: couchdb, url: "https://db:6984", database: ordain, user: node, credential: couchdb-password}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from ordain.transforms.document.node import Node
from ordain.transforms.errors import Problem, Severity, Where, near
from ordain.transforms.systemd.values import EncodeError, timespan

DOCUMENTS = "/etc/ordain/documents"
PARAMETER = "ordain.source"
INTERVAL_USEC = 30_000_000
FIELDS = ("machine-id", "hostname", "mac")
"""What a URL may name in braces."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,199}")
_TLS = ("ca", "cert", "key")


class SourceKind(StrEnum):
    """The kinds of source; ``none`` is what settings that are wrong come to: documents are taken from nowhere."""

    DIRECTORY = "directory"
    ETCD = "etcd"
    COUCHDB = "couchdb"
    HTTP = "http"
    NONE = "none"


KEYS: Mapping[SourceKind, tuple[str, ...]] = {
    SourceKind.DIRECTORY: ("path",),
    SourceKind.ETCD: ("endpoints", "prefix", "user", "credential", *_TLS),
    SourceKind.COUCHDB: ("url", "database", "user", "credential", *_TLS),
    SourceKind.HTTP: ("url", "interval", "user", "credential", *_TLS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Where documents come from. ``endpoints`` are URLs of servers, or the one URL of a boot server with its fields.

    ``credential`` and ``key`` name systemd credentials: a password (without ``user`` a bearer token), and the
    private key to ``cert``. ``ca`` and ``cert`` are paths. ``policy``: what else
    ordain-source.service goes by, in words.
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
        """Whether ordain-source.service fetches the documents."""
        return self.type not in (SourceKind.DIRECTORY, SourceKind.NONE)

    @property
    def location(self) -> str:
        """Where it is, in words."""
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
        """Names all of it, so that whoever runs with other settings shows."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the credentials it takes."""
        return tuple(filter(None, (self.credential, self.key)))


NOWHERE_TO_LOOK = SourceSettings(type=SourceKind.NONE, path="")


def read_source(node: Node) -> tuple[SourceSettings, list[Problem]]:
    """``source`` of agent.yaml. With an error in it there is no source: another than was meant would be worse."""
    reader = _Reader(node)
    settings = reader.settings()
    wrong = any(problem.severity is Severity.ERROR for problem in reader.problems)
    return (NOWHERE_TO_LOOK if wrong else settings), reader.problems


def of_url(text: str, base: SourceSettings, where: Where) -> tuple[SourceSettings, list[Problem]]:
    """The source that ``ordain.source=`` names; who may read it (credential, authorities) ``base`` still says.

    ``https://boot/{machine-id}.yaml``, ``etcd+https://a:2379,b:2379/ordain/``, ``couchdb+https://db:6984/ordain``, or
    ``/a/directory``.
    """
    if text.startswith("/"):
        return replace(SourceSettings(), path=text), []
    word, plus, rest = text.partition("+")
    kind = SourceKind.HTTP if not plus or word not in ("etcd", "couchdb") else SourceKind(word)
    scheme, _, place = (text if kind is SourceKind.HTTP else rest).partition("://")
    hosts, _, below = place.partition("/")
    kept = replace(base, type=kind) if base.type is kind else SourceSettings(type=kind)
    urls = [text] if kind is SourceKind.HTTP else [f"{scheme}://{host}" for host in hosts.split(",")]
    wrong = [what for url in urls if (what := _bad_url(url, fields=kind is SourceKind.HTTP))]
    if wrong:
        hint = "https://boot.example/{machine-id}.yaml, etcd+https://a:2379/ordain/, couchdb+https://db:6984/ordain"
        return NOWHERE_TO_LOOK, [_problem(where, PARAMETER, wrong[0], hint)]
    found = replace(kept, endpoints=tuple(urls))
    if kind is SourceKind.ETCD and below:
        found = replace(found, prefix=f"/{below}")
    if kind is SourceKind.COUCHDB and below:
        found = replace(found, database=below.strip("/"))
    return found, []


class _Reader:
    """One reading of ``source``."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.problems: list[Problem] = []
        self.entries: Mapping[str, Node] = node.value if isinstance(node.value, Mapping) else {}

    def settings(self) -> SourceSettings:
        if not isinstance(self.node.value, Mapping):
            self.wrong(self.node, "", "is no map", "source: {type: directory}")
            return SourceSettings()
        word = self.text("type") or "directory"
        if word not in KEYS:
            self.wrong(self.entries["type"], "type", f"{word} is no type of source", near(word, KEYS) or _or(KEYS))
            return SourceSettings()
        kind = SourceKind(word)
        known = ("type", *KEYS[kind])
        for key, where in self.node.keys.items():
            if key not in known:
                hint = near(key, known) or ", ".join(known)
                self.problems.append(_problem(where, f"source/{key}", f"is no setting of type {kind}", hint))
        found = SourceSettings(type=kind, path=self.path("path") or (DOCUMENTS if kind is SourceKind.DIRECTORY else ""))
        if kind is SourceKind.DIRECTORY:
            return found
        urls = tuple(self.urls("endpoints" if kind is SourceKind.ETCD else "url", fields=kind is SourceKind.HTTP))
        found = replace(
            found,
            endpoints=urls,
            prefix=self.prefix() or found.prefix,
            database=self.text("database") or found.database,
            interval_usec=self.interval() or found.interval_usec,
            user=self.text("user"),
            credential=self.credential("credential"),
            ca=self.path("ca"),
            cert=self.path("cert"),
            key=self.credential("key"),
        )
        if bool(found.cert) != bool(found.key):
            hint = "cert: /etc/ordain/node.pem and key: NAME, a credential that holds the private key"
            self.wrong(self.node, "", "cert and key go together", hint)
        if found.user and not found.credential:
            self.wrong(self.entries["user"], "user", "has no password", "credential: NAME, a systemd credential")
        self.warn_of_plain_text(found)
        return found

    def warn_of_plain_text(self, found: SourceSettings) -> None:
        for url in found.endpoints:
            parts = urlsplit(url)
            if parts.scheme == "http" and found.credential and parts.hostname not in _LOOPBACK:
                what = f"the credential goes to {parts.netloc} in plain text"
                problem = _problem(self.node.where, "source", what, "https://")
                self.problems.append(replace(problem, severity=Severity.WARNING))

    def text(self, key: str) -> str:
        node = self.entries.get(key)
        if node is None or node.value is None:
            return ""
        if isinstance(node.value, str) and "\0" not in node.value and "\n" not in node.value:
            return str(node.value)
        self.wrong(node, key, "is no text", f"{key}: TEXT")
        return ""

    def path(self, key: str) -> str:
        text = self.text(key)
        if text and not text.startswith("/"):
            self.wrong(self.entries[key], key, "is no absolute path", f"{key}: {DOCUMENTS}" if key == "path" else "")
        return text

    def credential(self, key: str) -> str:
        text = self.text(key)
        if text and not _CREDENTIAL.fullmatch(text):
            hint = "the name of a systemd credential, such as a file in /etc/credstore has"
            self.wrong(self.entries[key], key, "is no name of a credential", hint)
            return ""
        return text

    def prefix(self) -> str:
        text = self.text("prefix")
        if text and not (text.startswith("/") and text.endswith("/") and len(text) > 1):
            self.wrong(self.entries["prefix"], "prefix", "does not begin and end with a slash", "prefix: /ordain/")
        return text

    def interval(self) -> int:
        text = self.text("interval")
        try:
            usec = timespan(text) if text else INTERVAL_USEC
        except EncodeError:
            usec = 0
        if not 1_000_000 <= usec <= 86_400_000_000:
            self.wrong(self.entries["interval"], "interval", f"{text} is no time of 1s to 1d", "interval: 30s")
        return usec

    def urls(self, key: str, *, fields: bool) -> Iterator[str]:
        node = self.entries.get(key)
        several = node.value if node is not None and isinstance(node.value, tuple) else (node,)
        if node is None or node.value in (None, "", ()):
            self.wrong(
                self.node, key, "is missing", f'{key}: ["https://a:2379"]' if key == "endpoints" else f"{key}: …"
            )
            return
        for each in several:
            assert each is not None
            what = _bad_url(each.value, fields=fields) if isinstance(each.value, str) else "is no URL"
            if what:
                self.wrong(each, key, what, "https://HOST:PORT, without user and password")
            else:
                yield str(each.value) if fields else str(each.value).rstrip("/")

    def wrong(self, node: Node, key: str, what: str, hint: str) -> None:
        self.problems.append(_problem(node.where, f"source/{key}".rstrip("/"), what, hint))


def _bad_url(text: str, *, fields: bool) -> str:
    """What is wrong with a URL, "" if nothing is."""
    names = re.findall(r"\{([^{}]*)\}", text)
    unknown = [name for name in names if name not in FIELDS]
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for one that is none
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\0-\x1f\x7f]", text):
        return f"{text} is no http:// or https:// URL"
    if parts.username is not None or parts.password is not None:
        return "holds a user or a password, which would be shown"
    if names and not fields:
        return "is the URL of a server, which has no {fields}"
    if unknown:
        return f"{{{unknown[0]}}} is no field: " + ", ".join(f"{{{name}}}" for name in FIELDS)
    if not fields and (parts.path.strip("/") or parts.query):
        return "has a path"
    return "has a fragment" if parts.fragment else ""


def _or(words: Mapping[SourceKind, object]) -> str:
    return ", ".join(words)


def _problem(where: Where, pointer: str, what: str, hint: str = "") -> Problem:
    return Problem(where=replace(where, pointer=pointer), what=what, hint=hint, code="Settings")

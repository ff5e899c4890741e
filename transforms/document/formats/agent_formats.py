"""Checks of the strings of /etc/ordain/agent.yaml, by the names that the schema's ``format`` gives them.

Each raises `ValueError` with a hint. `url_fault` also judges a URL on the kernel command line (``ordain.source=``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from ordain.transforms.document.text.node import Number
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError, timespan

URL_FIELDS = ("machine-id", "hostname", "mac")
"""The names that the URL of a boot server may hold in braces."""
PEERS = ("source", "gateway", "caller")
"""The words of ``network: {reach: …}`` that stand for a host."""

_CREDENTIAL = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,199}")
_HOST = lazy_pattern(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")
_CONTROL = lazy_pattern(r"[\s\0-\x1f\x7f]")

Check = Callable[[str], None]


def line(text: str) -> None:
    """Accept a text without a line break."""
    if "\n" in text:
        raise ValueError("write it on one line")


def host_path(text: str) -> None:
    """Accept an absolute path."""
    line(text)
    if not text.startswith("/"):
        raise ValueError("write it with a leading /")


def credential(text: str) -> None:
    """Accept the name of a systemd credential."""
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("the name of a systemd credential, as a file in /etc/credstore has it")


def prefix(text: str) -> None:
    """Accept a prefix of keys in etcd."""
    line(text)
    if len(text) < 2 or not (text.startswith("/") and text.endswith("/")):
        raise ValueError("it begins and ends with a slash: /ordain/")


def percentage(text: str) -> None:
    """Accept a whole percentage: ``50%``. A number without the sign is refused, as it could be a count of services."""
    digits = text.removesuffix("%").strip()
    if isinstance(text, Number) or not (digits.isascii() and digits.isdigit() and int(digits) <= 100):
        raise ValueError("a share of the services: 50%")


def peer(text: str) -> None:
    """Accept a host that must stay reachable."""
    if text not in PEERS and not _HOST.fullmatch(text):
        raise ValueError(f"{', '.join(PEERS)} or HOST:PORT")


def label_value(text: str) -> None:
    """Accept a text that is not empty."""
    if not text:
        raise ValueError("write a value, or leave the label out")


def span(least_sec: int, most_sec: int) -> Check:
    """Return the check of a time span in a range, both ends included."""

    def check(text: str) -> None:
        try:
            sec = timespan(text) / 1e6
        except EncodeError as error:
            raise ValueError(error.hint or error.what) from None
        if not least_sec <= sec <= most_sec:
            raise ValueError(f"{least_sec}s to {most_sec}s")

    return check


class UrlShape(NamedTuple):
    """The parts that a URL may have after host and port: ``fields`` are ``{machine-id}`` and its like."""

    path: bool
    query: bool = False
    fields: bool = False


SERVER = UrlShape(path=False)
"""A member of etcd: its gateway is served at the root (etcd, api_grpc_gateway.md)."""
SERVER_WITH_PATH = UrlShape(path=True)
"""A CouchDB, which may lie behind a proxy that serves it below a path."""
BOOT_SERVER = UrlShape(path=True, query=True, fields=True)


def url(shape: UrlShape) -> Check:
    """Accept a URL of this shape."""

    def check(text: str) -> None:
        if fault := url_fault(text, shape):
            raise ValueError(fault)

    return check


def url_fault(text: str, shape: UrlShape) -> str:
    """Return what is wrong with a URL of this shape, "" if nothing is."""
    names = re.findall(r"\{([^{}]*)\}", text)
    unknown = [name for name in names if name not in URL_FIELDS]
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for one that is out of range
    except ValueError as error:
        return f"not a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or _CONTROL.search(text):
        return "write https://HOST:PORT or http://HOST:PORT"
    if parts.username is not None or parts.password is not None:
        return "leave user and password out: they would be shown; use the keys user and credential"
    if names and not shape.fields:
        return "the URL of a database server has no {fields}"
    if unknown:
        return f"unknown field {{{unknown[0]}}}; known: " + ", ".join(f"{{{name}}}" for name in URL_FIELDS)
    if parts.path.strip("/") and not shape.path:
        return "leave the path out"
    if parts.query and not shape.query:
        return "leave the query (`?…`) out"
    return "leave the fragment out" if parts.fragment else ""


FORMATS: dict[str, Check] = {
    "boot-url": url(BOOT_SERVER),
    "couchdb-url": url(SERVER_WITH_PATH),
    "credential": credential,
    "database-prefix": prefix,
    "host-path": host_path,
    "label-value": label_value,
    "line": line,
    "peer": peer,
    "percentage": percentage,
    "poll-interval": span(1, 86_400),
    "reach-time": span(1, 3600),
    "server-url": url(SERVER),
}

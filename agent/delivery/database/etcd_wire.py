"""The JSON of etcd's v3 gateway: how requests are built and answers are read.

Keys and values are base64; every 64-bit number is a string, and a number that is zero is left out. The gateway ignores
unknown fields of a request silently, so this module builds all requests. Source: etcd's dev-guide/api_grpc_gateway.md.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.delivery.database.database import ANY, StoredEntry, Write
from ordain.agent.delivery.database.json_answers import as_malformed
from ordain.agent.errors import MalformedAnswer

Json = Mapping[str, Any]
_MAX_DIGITS = len(str(2**64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of every answer."""

    cluster: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a range; ``more`` is true when the range continues after the last entry."""

    entries: tuple[StoredEntry, ...]
    more: bool


def encode(text: str | bytes) -> str:
    """Return a key or value as the gateway expects it."""
    return base64.b64encode(key_bytes(text) if isinstance(text, str) else text).decode()


def key_bytes(key: str) -> bytes:
    r"""Return a key as etcd has it. etcd takes any bytes; those that are not UTF-8 are surrogates here.

    >>> key_bytes("locks/\udcff")
    b'locks/\xff'
    """
    return key.encode("utf-8", "surrogateescape")


def range_end(prefix: str) -> str:
    """Return the first key after all keys that begin with ``prefix``; prefixes are ASCII and end with a slash.

    >>> range_end("/ordain/")
    '/ordain0'
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def span(prefix: str, *, after: str = "") -> dict[str, Any]:
    """Return the range of all keys with a prefix, or the part of it that follows the key ``after``."""
    first = f"{after}\0" if after else prefix
    return {"key": encode(first), "range_end": encode(range_end(prefix))}


def ranges(spans: Iterable[dict[str, Any]], *, limit: int, revision: int = 0) -> dict[str, Any]:
    """Return a transaction that reads several ranges as of one moment: now, or at ``revision``."""
    at = {"revision": str(revision)} if revision else {}
    return {"success": [{"request_range": {**span, **at, "limit": str(limit)}} for span in spans]}


def newest(spans: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a transaction that asks for the number of keys in each range and for its latest change."""
    last = {"limit": "1", "sort_order": "DESCEND", "sort_target": "MOD", "keys_only": True}
    return {"success": [{"request_range": {**span, **last}} for span in spans]}


def transaction(
    writes: Iterable[tuple[str, Write]], *, lease: str = "", unchanged: Iterable[dict[str, Any]] = (), revision: int = 0
) -> dict[str, Any]:
    """Return a transaction that does the writes, each with its full key, if all of them find the expected version.

    Nothing is written if a key in the ranges ``unchanged`` was put after ``revision``.
    """
    compare: list[dict[str, Any]] = []
    success = []
    for key, write in writes:
        encoded = encode(key)
        if write.expect != ANY:
            # A key that does not exist has modification revision 0.
            expected = {"target": "MOD", "result": "EQUAL", "mod_revision": write.expect or "0"}
            compare.append({"key": encoded, **expected})
        if write.data is None:
            success.append({"request_delete_range": {"key": encoded}})
        else:
            put = {"key": encoded, "value": encode(write.data)}
            success.append({"request_put": {**put, **({"lease": lease} if lease else {})}})
    current = [{"request_range": {"key": condition["key"], "keys_only": True}} for condition in compare]
    older = {"target": "MOD", "result": "LESS", "mod_revision": str(revision + 1)}
    compare += [{**span, **older} for span in unchanged]
    return {"compare": compare, "success": success, "failure": current}


def header(answer: Json) -> Header:
    """Read the header of an answer."""
    fields = answer.get("header")
    if not isinstance(fields, Mapping):
        raise MalformedAnswer("the answer has no header")
    return Header(cluster=str(fields.get("cluster_id", "")), revision=number(fields.get("revision")))


@as_malformed("a range")
def pages(answer: Json, base: str) -> tuple[Page, ...]:
    """Read the ranges that a transaction has read; ``base`` is removed from the keys."""
    return tuple(_page(response["response_range"], base) for response in answer.get("responses", ()))


@as_malformed("a range")
def created(answer: Json) -> int:
    """Return the revision that created the first key of the first range, or 0 if there is no key."""
    return next((number(kv.get("create_revision")) for page in _ranges(answer) for kv in page.get("kvs", ())), 0)


def versions(answer: Json, base: str) -> Mapping[str, str]:
    """Return the version of each key that a refused transaction has found."""
    return {entry.key: entry.version for page in pages(answer, base) for entry in page.entries}


@as_malformed("the state of a range")
def state(answer: Json) -> tuple[tuple[int, int], ...]:
    """Return the number of keys and the latest revision of each range, from the answer to `newest`."""
    return tuple(
        (
            number(page.get("count")),
            max((number(kv.get("mod_revision")) for kv in page.get("kvs", ())), default=0),
        )
        for page in _ranges(answer)
    )


def _ranges(answer: Json) -> Iterator[Json]:
    for response in answer.get("responses", ()):
        yield response.get("response_range", {})


def _page(page: Json, base: str) -> Page:
    entries = (
        StoredEntry(
            key=base64.b64decode(kv["key"], validate=True).decode("utf-8", "surrogateescape").removeprefix(base),
            data=base64.b64decode(kv.get("value", ""), validate=True),
            version=str(number(kv["mod_revision"])),
        )
        for kv in page.get("kvs", ())
    )
    return Page(entries=tuple(entries), more=page.get("more") is True)


def number(value: object) -> int:
    """Read a 64-bit number: a string of digits, or None for 0."""
    text = "0" if value is None else str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise MalformedAnswer(f"{text[:40]!a} is not a number of 64 bits")
    return int(text)

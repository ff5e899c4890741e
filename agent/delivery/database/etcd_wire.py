"""The JSON of etcd's v3 gateway: requests built, answers read. Pure.

Keys and values are base64; every 64-bit number is a string, and one that is zero is left out. An unknown field of a
request is ignored in silence, so requests are built here only. Source: etcd's dev-guide/api_grpc_gateway.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.delivery.database.database import ANY, StoredEntry, Write
from ordain.agent.errors import MalformedAnswer

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What every answer begins with."""

    cluster: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a range. ``more``: the range goes on behind the last entry."""

    entries: tuple[StoredEntry, ...]
    more: bool


def encode(text: str | bytes) -> str:
    """Bytes as the gateway wants them."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def range_end(prefix: str) -> str:
    """The key behind the last one that begins with ``prefix``; prefixes are ASCII and end in a slash.

    >>> range_end("/ordain/")
    '/ordain0'
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def span(prefix: str, *, after: str = "") -> dict[str, Any]:
    """The range of a prefix, or what of it lies behind the key ``after``."""
    first = f"{after}\0" if after else prefix
    return {"key": encode(first), "range_end": encode(range_end(prefix))}


def ranges(spans: Iterable[dict[str, Any]], *, limit: int, revision: int = 0) -> dict[str, Any]:
    """One transaction that reads several ranges at one moment: the newest, or that of ``revision``."""
    at = {"revision": str(revision)} if revision else {}
    return {"success": [{"request_range": {**span, **at, "limit": str(limit)}} for span in spans]}


def newest(spans: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One transaction that asks of several ranges how many keys there are and when the latest changed."""
    last = {"limit": "1", "sort_order": "DESCEND", "sort_target": "MOD", "keys_only": True}
    return {"success": [{"request_range": {**span, **last}} for span in spans]}


def transaction(changes: Iterable[tuple[str, Write]], *, lease: str = "") -> dict[str, Any]:
    """Writes the changes, each with its full key, if every key is as expected."""
    compare, success = [], []
    for key, change in changes:
        encoded = encode(key)
        if change.expect != ANY:
            # A key that is not there has modification revision 0.
            expected = {"target": "MOD", "result": "EQUAL", "mod_revision": change.expect or "0"}
            compare.append({"key": encoded, **expected})
        if change.data is None:
            success.append({"request_delete_range": {"key": encoded}})
        else:
            put = {"key": encoded, "value": encode(change.data)}
            success.append({"request_put": {**put, **({"lease": lease} if lease else {})}})
    there = [{"request_range": {"key": found["key"], "keys_only": True}} for found in compare]
    return {"compare": compare, "success": success, "failure": there}


def header(answer: Json) -> Header:
    """The header of an answer."""
    found = answer.get("header")
    if not isinstance(found, Mapping):
        raise MalformedAnswer("the answer has no header")
    return Header(cluster=str(found.get("cluster_id", "")), revision=number(found.get("revision")))


def pages(answer: Json, base: str) -> tuple[Page, ...]:
    """The ranges that a transaction read; keys are without ``base``."""
    try:
        found = [response["response_range"] for response in answer.get("responses", ())]
        return tuple(_page(page, base) for page in found)
    except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeDecodeError) as error:
        raise MalformedAnswer(f"a range that cannot be read: {error!r}") from error


def created(answer: Json) -> int:
    """The revision that created the first key of the first range; 0: there is none."""
    for response in answer.get("responses", ()):
        for kv in response.get("response_range", {}).get("kvs", ()):
            return number(kv.get("create_revision"))
    return 0


def versions(answer: Json, base: str) -> Mapping[str, str]:
    """What a refused transaction found: key and version of what is there."""
    return {entry.key: entry.version for page in pages(answer, base) for entry in page.entries}


def state(answer: Json) -> tuple[tuple[int, int], ...]:
    """What `newest` asked: the number of keys and the latest revision, for each range."""
    found = []
    for response in answer.get("responses", ()):
        page = response.get("response_range", {})
        last = max((number(kv.get("mod_revision")) for kv in page.get("kvs", ())), default=0)
        found.append((number(page.get("count")), last))
    return tuple(found)


def _page(page: Json, base: str) -> Page:
    entries = (
        StoredEntry(
            key=base64.b64decode(kv["key"], validate=True).decode().removeprefix(base),
            data=base64.b64decode(kv.get("value", ""), validate=True),
            version=str(kv["mod_revision"]),
        )
        for kv in page.get("kvs", ())
    )
    return Page(entries=tuple(entries), more=page.get("more") is True)


def number(value: object) -> int:
    """A 64-bit number: a string of digits, or left out."""
    if value is None:
        return 0
    try:
        return int(str(value))
    except ValueError:
        raise MalformedAnswer(f"{value!r} is no number") from None

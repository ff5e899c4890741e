"""Whatever a server of a store answers, its client raises `SourceError`, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.agent.delivery.database import etcd_wire
from ordain.agent.delivery.database.couchdb import CouchDb
from ordain.agent.delivery.database.database import ANY, Conflict, Database
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, Request, Response, ServerAccess, _with_value
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.relayed_store import RelayedStore
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import MalformedAnswer
from support.samples.odd_values import places

ETCD = {
    "etcdserver": "3.5.0",
    "token": "t",
    "ID": "7",
    "succeeded": True,
    "header": {"cluster_id": "1", "revision": "9"},
    "responses": [
        {"response_range": {"kvs": [{"key": "L29yZGFpbi9h", "mod_revision": "3", "create_revision": "3",
                                     "value": "YQ=="}],
                            "more": True, "count": "1"}}
    ],
}  # fmt: skip
ROW = {
    "id": "a",
    "key": "a",
    "value": {"rev": "1-a"},
    "doc": {"_id": "a", "_rev": "1-a", "text": "x", "_conflicts": ["1-b"]},
}
COUCHDB = {
    "ok": True,
    "rev": "2-b",
    "update_seq": "5-x",
    "results": [{"rows": [ROW], "changes": [{"rev": "1-a"}, {"rev": "1-b"}], "id": "a"}],
    "rows": [ROW],
    "_id": "a",
    "_rev": "1-a",
    "_revisions": {"start": 1, "ids": ["a"]},
    "_revs_info": [{"rev": "1-a", "status": "available"}],
}
ENTRY = {"key": "documents/common/layer/a", "data": "YQ==", "version": "3", "conflict": "x"}
RELAY = {
    "entries": [ENTRY],
    "entry": ENTRY,
    "revision": "9",
    "conflicts": {"documents/common/layer/a": "x"},
    "settle_sec": 0.5,
    "compares_ranges": True,
    "version": "4",
    "conflict": "status/a",
    "code": "Forbidden",
    "reason": "no",
    "hint": "ask",
}
ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    "³",
    "x" * 300,
    "\n",
    "é",
    [],
    {},
    [[]],
    [{}],
    {"a": None},
    "1-",
    "9" * 5000,
)


class Answers(HttpTransport):
    """A server that answers with whatever ``answer`` returns."""

    def __init__(self, answer: Callable[[], Response]) -> None:
        super().__init__(ServerAccess(endpoints=("http://a", "http://b")))
        self.answer = answer

    async def send(self, request: Request) -> Response:
        response = self.answer()
        return _with_value(response) if request.json and response.body else response

    @contextlib.asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[object]:  # type: ignore[override]
        answer = self.answer

        class Lines:
            response = answer()

            @staticmethod
            async def lines() -> AsyncIterator[bytes]:
                for _ in range(3):
                    yield answer().body

        yield Lines


def changed(value: object, rng: random.Random) -> object:
    """Return JSON data in which one value is odd or missing."""
    data = json.loads(json.dumps(value))
    tree, key = rng.choice(places(data))
    if rng.random() < 0.3:
        del tree[key]
    else:
        tree[key] = rng.choice(ODD)
    return data


async def use(database: Database) -> None:
    """Call every method; only the errors that the interface promises may leave it."""

    async def watch() -> None:
        async for _ in database.watch(("documents/common/",), "3"):
            return

    calls: tuple[Callable[[], object], ...] = (
        lambda: database.list("documents/common/", "documents/role=web/"),
        lambda: database.list("status/"),
        lambda: database.list("blobs/"),
        lambda: database.get("documents/common/layer/a"),
        lambda: database.get("blobs/a"),
        lambda: database.history("documents/common/layer/a", 5),
        lambda: database.put("locks/a/0", b"x", expect="1-a", ttl_sec=9),
        lambda: database.put("status/a", b"x", expect=ANY),
        lambda: database.delete("status/a", expect="1-a"),
        watch,
    )
    for call in calls:
        with contextlib.suppress(SourceError, Conflict):
            async with asyncio.timeout(5):
                await call()  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["etcd", "couchdb", "relay"])
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), status=st.sampled_from((200, 200, 200, 201, 400, 404, 409)), wraps=st.booleans())
@pytest.mark.thorough
def test_a_malformed_answer_is_a_fault_of_the_source(kind: str, seed: int, status: int, wraps: bool) -> None:
    rng = random.Random(seed)
    valid: object = {"etcd": ETCD, "couchdb": COUCHDB, "relay": RELAY}[kind]
    if wraps and kind != "relay":
        valid = [{"ok": COUCHDB}] if kind == "couchdb" else {"result": ETCD, "error": {"message": "x", "code": 5}}

    def answer() -> Response:
        body = json.dumps(changed(valid, rng) if rng.random() < 0.7 else valid).encode()
        headers = {"content-type": "application/json", "set-cookie": "AuthSession=x"}
        headers |= {"ordain-store-away": rng.choice(("", "7", "x", "\u00b2")), "ordain-relay": rng.choice(("a", "\n"))}
        return Response(endpoint="http://a", status=status, headers=headers, body=body)

    login = Login(user="u", password=lambda: "p") if rng.random() < 0.5 else None
    transport = Answers(answer)
    timing = WatchTiming(check_sec=0.01, answer_sec=0.05)
    database: Database = CouchDb(transport, "ordain", login, timing=timing)
    if kind == "etcd":
        database = Etcd(transport, "/ordain/", login, timing=timing)
    if kind == "relay":
        database = RelayedStore(transport, rng.choice((None, lambda place, data: {**data, "place": place})))
    asyncio.run(use(database))


@pytest.mark.parametrize(
    "text",
    [b'{"responses":0}', b'{"responses":[2]}', b'{"responses":[{"response_range":{"kvs":[{"key":"\xc3\xa9"}]}}]}',
     b'{"responses":[{"response_range":{"kvs":[{"key":"YQ==","mod_revision":[]}]}}]}',
     b'{"responses":[{"response_range":[]}]}',
     b'{"responses":[{"response_range":{"kvs":[5]}}]}', b'{"responses":{"a":1}}'],
)  # fmt: skip
def test_an_answer_of_etcd_with_another_shape_is_malformed(text: bytes) -> None:
    answer = json.loads(text)

    for read in (lambda: etcd_wire.pages(answer, ""), lambda: etcd_wire.versions(answer, "")):
        with pytest.raises(MalformedAnswer):
            read()
    for tolerant in (lambda: etcd_wire.created(answer), lambda: etcd_wire.state(answer)):
        with contextlib.suppress(MalformedAnswer):
            tolerant()


async def test_a_range_without_end_is_not_read_without_end() -> None:
    body = json.dumps({**ETCD, "etcdserver": "3.5.0"}).encode()
    database = Etcd(Answers(lambda: Response(endpoint="http://a", status=200, headers={}, body=body)), "/ordain/")

    with pytest.raises(SourceError, match="do not go on"):
        await database.list("documents/common/")


@pytest.mark.parametrize("settle", ["Infinity", "NaN", "-1", "1e9", '"inf"', "1" + "0" * 400, "[]"])
async def test_a_relay_has_no_machine_wait_without_end(settle: str) -> None:
    body = json.dumps(RELAY).replace('"settle_sec": 0.5', f'"settle_sec": {settle}').encode()
    database = RelayedStore(Answers(lambda: Response(endpoint="http://a", status=200, headers={}, body=body)))

    with pytest.raises(SourceError, match="does not follow the store's protocol"):
        await database.list("locks/")
    assert database.settle_sec == 0.0


@pytest.mark.parametrize("status", [403, 409, 503])
async def test_a_refusal_of_a_relay_is_one_line(status: int) -> None:
    told = {"code": "Forbidden", "reason": "no\n<3>forged\x1b[2J", "hint": "a\rb\u2028c"}
    told |= {"conflict": "status/\nforged"} if status == 409 else {}
    body = json.dumps(told).encode()
    database = RelayedStore(Answers(lambda: Response(endpoint="http://a", status=status, headers={}, body=body)))

    with pytest.raises((SourceError, Conflict)) as caught:
        await database.get("locks/stable/0")

    assert str(caught.value).isprintable()
    assert str(getattr(caught.value, "hint", "")).isprintable()

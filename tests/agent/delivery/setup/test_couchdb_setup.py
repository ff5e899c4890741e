"""`store check` of CouchDB by scripted answers; `tests/integration/stores/test_store_setup.py` asks servers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ordain.agent.delivery.database.http_transport import ServerAccess
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.setup.couchdb_setup import CouchDbSetup
from ordain.agent.delivery.setup.deviation import Examination, FleetUsers, StoreUser

REPLICATIONS = [  # (state, info, what `store check` says); the answers of CouchDB 3.5.2
    ("running", {"changes_pending": None, "doc_write_failures": 0}, "not known (running)"),
    ("running", {"changes_pending": 0, "doc_write_failures": 0}, "0 changes (running)"),
    ("running", {"changes_pending": 12, "doc_write_failures": 0}, "replication r is 12 changes behind"),
    ("running", {"changes_pending": 0, "doc_write_failures": 2}, "replication r lacks 2 documents that its target"),
    ("crashing", {"error": "db_not_found: could not\n  open x"}, "is crashing: db_not_found: could not open x"),
    ("failed", {"error": "already started"}, "replication r is failed: already started"),
]


async def examined(answers: Mapping[str, object], missing: int = 404) -> Examination:
    """Return what `store check` finds on a server with these answers, which answers ``missing`` to all other paths."""

    async def answer(request: web.Request) -> web.Response:
        known = request.path in answers
        return web.json_response(
            answers.get(request.path, {"error": "error", "reason": "r"}), status=200 if known else missing
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        access = ServerAccess(endpoints=(str(server.make_url("/")).rstrip("/"),))
        setup = CouchDbSetup(access, "ordain", None, FleetUsers(machine=StoreUser(name="node", password=str)))
        try:
            return await setup.examine()
        finally:
            await setup.close()


@pytest.mark.parametrize(("state", "information", "says"), REPLICATIONS)
async def test_check_names_replications_that_do_not_work(state: str, information: dict[str, object], says: str) -> None:
    """One that the target refuses runs, and is not behind: nothing but the count of refused documents shows it."""
    ours = {"doc_id": "r", "source": "http://a/ordain/", "target": "http://b/ordain/", "state": state}
    others = {
        **ours,
        "doc_id": "q",
        "source": "http://a/x/",
        "target": "http://b/x/",
        "state": "crashing",
        "info": None,
    }
    found = await examined({"/_scheduler/docs": {"docs": [{**ours, "info": information}, others]}})
    lines = [f"{one.place} {one.what}" for one in found.deviations if one.place.startswith("replication")]
    lines += [one.value for one in found.figures]
    assert any(says in line for line in lines), lines
    assert not any("replication q" in line for line in lines)


async def test_check_names_the_nodes_that_are_away_also_if_nothing_can_be_read() -> None:
    """CouchDB 3.5.2 answers 500 (read_failure) while no copy of a shard can be reached."""
    found = await examined({"/_membership": {"all_nodes": ["a"], "cluster_nodes": ["a", "b"]}}, missing=500)
    first, second = found.deviations
    assert (first.place, first.what) == ("node b", "is away")
    assert second.what.startswith("cannot be read: ")
    with pytest.raises(SourceError):
        await examined({"/_membership": {"all_nodes": ["a"], "cluster_nodes": ["a"]}}, missing=500)

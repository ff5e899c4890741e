"""A store of etcd is older than it was only if its revision is below one that was known when the request began."""

from __future__ import annotations

import asyncio
from typing import Any

from ordain.agent.delivery.database.database import Listing
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.etcd_wire import Header
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.protocol import SourceError, SourceFault


class ScriptedEtcd(Etcd):
    """A client whose answers are the revisions of ``answers``, each as late as the test says."""

    def __init__(self) -> None:
        super().__init__(HttpTransport(ServerAccess(endpoints=("http://127.0.0.1:1",))), "/ordain/")
        self.answers: list[asyncio.Future[int]] = []

    async def _read_pages(self, prefixes: tuple[str, ...]) -> Any:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return {prefix: [] for prefix in prefixes}, Header(cluster="1", revision=await answer)


async def revisions(database: ScriptedEtcd, answers: dict[int, int]) -> list[object]:
    """Return the results of requests that are made at once; ``answers`` are their revisions, in the order they come."""
    requests = [asyncio.create_task(database.list("a")) for _ in answers]
    await asyncio.sleep(0)
    for request, revision in answers.items():
        database.answers[request].set_result(revision)
        await asyncio.sleep(0)
    done = await asyncio.gather(*requests, return_exceptions=True)
    database.answers.clear()
    return [result.revision if isinstance(result, Listing) else result for result in done]


def test_an_earlier_answer_may_come_last() -> None:
    async def run() -> None:
        database = ScriptedEtcd()
        assert await revisions(database, {1: 23, 0: 22}) == ["22", "23"]
        assert await revisions(database, {0: 23}) == ["23"]

    asyncio.run(run())


def test_an_older_store_is_told_once() -> None:
    async def run() -> None:
        database = ScriptedEtcd()
        await revisions(database, {0: 23})

        (error,) = await revisions(database, {0: 22})
        assert isinstance(error, SourceError)
        assert error.code is SourceFault.REWOUND
        assert await revisions(database, {0: 22}) == ["22"]

    asyncio.run(run())

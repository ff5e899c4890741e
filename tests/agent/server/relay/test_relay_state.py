"""A relay tells people what it has and what waits; its API and its page show the machines that report to the store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.release.publish import publish
from ordain.agent.netboot.api_tokens import Right, add_token
from ordain.agent.server.relay import relay_state
from ordain.agent.server.relay.relay_state import keep_state, state_of
from ordain.agent.status import AgentState as Phase
from rig.stores.relay_server import RunningRelay, running_relay
from support.stores.relayed_site import SiteMachine, found_fleet, release


async def until_state_is_kept(running: RunningRelay) -> None:
    keeping = asyncio.create_task(keep_state(running.relay, 0.01))
    path = running.relay.state / relay_state.STATE
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait([keeping])


async def until_connected(running: RunningRelay) -> None:
    async with asyncio.timeout(60):
        while running.relay.away_sec is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def shown(state: Path, capsys: pytest.CaptureFixture[str], status: int) -> tuple[str, dict[str, Any]]:
    assert main(["fleet", "relay", str(state)]) == status
    text = capsys.readouterr().out
    assert main(["fleet", "relay", str(state), "--json"]) == status
    return text, json.loads(capsys.readouterr().out)


async def test_the_state_of_a_relay_is_shown_on_its_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store").mkdir()
    store = DirectoryDatabase(tmp_path / "store")
    machine = SiteMachine(tmp_path, 1)
    await found_fleet(store, machine)
    async with running_relay(store, tmp_path / "state") as running:
        await until_connected(running)
        machine.urls = (running.url,)
        running._tasks[1].cancel()  # nothing is forwarded
        assert await machine.report()
        await until_state_is_kept(running)
    text, value = await asyncio.to_thread(shown, tmp_path / "state", capsys, 0)
    assert f"{tmp_path / 'store'}, connected" in text
    assert "1 report, the oldest for 0 s" in text
    assert (value["name"], value["entries"], value["queued"], value["machines"]) == ("relay1", 2, 1, 1)


async def test_a_relay_whose_store_does_not_answer_or_that_does_not_run_is_degraded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_relay(DirectoryDatabase(tmp_path / "nowhere" / "x"), tmp_path / "state") as running:
        await until_state_is_kept(running)
    text, value = await asyncio.to_thread(shown, tmp_path / "state", capsys, 3)
    assert "has not answered for" in text
    assert value["away_sec"] > 0
    monkeypatch.setattr("ordain.agent.cli.boot.relay_state.STALE_SEC", -1)
    text, _ = await asyncio.to_thread(shown, tmp_path / "state", capsys, 3)
    assert "Not running" in text


async def test_a_store_with_older_releases_than_the_relay_had_is_shown_until_a_higher_one_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, numbers in (("store", (1, 2)), ("backup", (1,))):
        (tmp_path / name).mkdir()
        for number in numbers:
            await publish(DirectoryDatabase(tmp_path / name), release(number), {})

    async def follow(name: str) -> None:
        (tmp_path / "state" / relay_state.STATE).unlink(missing_ok=True)
        async with running_relay(DirectoryDatabase(tmp_path / name), tmp_path / "state", place="the store") as running:
            await until_connected(running)
            await until_state_is_kept(running)

    await follow("store")
    text, value = await asyncio.to_thread(shown, tmp_path / "state", capsys, 0)
    assert (value["older"], "Older store" in text) == ([], False)
    for _ in range(2):  # a restart of the relay does not hide it
        await follow("backup")
        text, value = await asyncio.to_thread(shown, tmp_path / "state", capsys, 3)
        assert value["older"] == ["stable 1, lower than 2"]
        assert "publish a release with a higher number" in " ".join(text.split())
    await publish(DirectoryDatabase(tmp_path / "backup"), release(3), {})
    await follow("backup")
    text, value = await asyncio.to_thread(shown, tmp_path / "state", capsys, 0)
    assert value["older"] == []


def test_a_directory_without_a_relay_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "relay", str(tmp_path)]) == 1
    assert "name the directory of `ordainctl serve --store" in capsys.readouterr().err
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay/state.json").write_text("[]")
    assert main(["fleet", "relay", str(tmp_path)]) == 1
    assert "not the state of a relay" in capsys.readouterr().err


async def test_the_api_of_a_relay_shows_machines_and_rollouts(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = DirectoryDatabase(tmp_path / "store")
    machines = [SiteMachine(tmp_path, number) for number in (1, 2)]
    await found_fleet(store, *machines)
    await publish(store, release(1), {})
    await publish(store, release(2, stages=["50%", "100%"]), {})
    token = add_token(tmp_path / "tokens", "me", frozenset({Right.READ}))
    async with running_relay(store, tmp_path / "state", tokens=tmp_path / "tokens") as running, ClientSession() as web:

        async def get(path: str, status: int = 200) -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            async with web.get(f"{running.url}/api/v1{path}", headers=headers) as answer:
                value = await answer.json()
                assert answer.status == status, value
                return value

        await until_connected(running)
        for machine, number, more in zip(
            machines,
            (2, 1),
            ({"generation": 7, "wanted_generation": 8, "drift": ("web.service",)}, {"phase": Phase.DEGRADED}),
            strict=True,
        ):
            machine.urls = (running.url,)
            assert await machine.report(number, **more)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            while len(running.relay.queue):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        first, second = (await get("/reports"))["machines"]
        assert (first["hostname"], first["generation"], first["wanted_generation"]) == ("m1", 7, 8)
        assert (first["drift"], first["behind"], first["release"]) == (["web.service"], "relay1", "stable 2")
        assert (second["state"], second["lost"]) == ("degraded", False)
        (rollout,) = await get("/rollouts")
        assert (rollout["number"], rollout["share"], rollout["done"], rollout["all"]) == (2, 0.5, 1, 2)
        assert (await get("/relay"))["machines"] == 2
        assert (await get("/relay"))["away_sec"] == 0
    assert state_of(running.relay).forwarded == 2

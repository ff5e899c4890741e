"""Documents that change between the generator's first run and the agent's first look (`compile.first_boot`)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.jobs import verdicts
from ordain.agent.compile.compiler import compile_texts
from ordain.agent.model import Generation, Outcome, UnitState
from support.machines.stand_in_pid1 import BOOT, StandIn, make_machine, parts

Texts = list[tuple[str, bytes]]


def documents(**services: Any) -> Texts:
    return [("/a.yaml", json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", "services": services}).encode())]


STAYS, STOPS = {"command": ["/bin/stays"], "on-remove": "keep"}, {"command": ["/bin/stops"]}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return PID 1 of a machine that runs what its generator compiled in its first boot."""

    async def no_time(*_: object) -> float:
        return 3600.0

    monkeypatch.setattr(verdicts, "SETTLE_SEC", 0.0)
    monkeypatch.setattr(verdicts, "_age_sec", no_time)
    systemd = make_machine(tmp_path)
    generation, _ = compile_texts(documents(stays=STAYS, stops=STOPS), tmp_path, Generation())
    parts(systemd).store.commit_handed(generation)
    choice = tmp_path / "run/ordain/boot/choice"
    choice.write_text(f"boot_id={BOOT}\nhash={generation.hash}\nnumber=0\n")
    for unit in ("stays.service", "stops.service"):
        systemd.states[unit] = UnitState(name=unit, load_state="loaded", active_state="active", invocation_id="1")
    return systemd


def apply(systemd: StandIn, texts: Texts) -> Outcome:
    return asyncio.run(parts(systemd).engine.apply(ApplyRequest(texts=texts)))


def test_a_removed_unit_that_may_stay_is_kept_and_the_others_are_stopped(systemd: StandIn) -> None:
    apply(systemd, documents(other=STOPS))

    assert [effect for effect in systemd.effects if " " in effect] == ["stop stops.service", "start other.service"]
    kept = [member.unit for member in parts(systemd).store.applied().members]
    assert kept == ["other.service", "stays.service"]


def test_the_generation_of_the_first_boot_is_the_first_of_the_history(systemd: StandIn) -> None:
    first = parts(systemd).store.applied()

    outcome = apply(systemd, documents(other=STOPS))

    history = parts(systemd).store.history()
    assert [(saved.number, saved.hash) for saved in history] == [(1, first.hash), (2, outcome.hash)]
    back = asyncio.run(parts(systemd).rollback.to(0, "1"))
    assert (back.exit_status, back.hash) == (0, first.hash)


def test_documents_that_have_not_changed_make_one_generation(systemd: StandIn) -> None:
    outcome = apply(systemd, documents(stays=STAYS, stops=STOPS))

    assert [saved.number for saved in parts(systemd).store.history()] == [1]
    assert (outcome.generation, outcome.plan.jobs) == (1, ())


def test_a_damaged_record_of_the_first_boot_leaves_what_the_boot_cache_has(systemd: StandIn) -> None:
    path = systemd.root / "run/ordain/boot/handed.json"
    path.write_bytes(path.read_bytes().replace(b"stays", b"stray"))

    applied = parts(systemd).store.applied()

    assert (bool(applied.artifacts), applied.members) == (True, ())

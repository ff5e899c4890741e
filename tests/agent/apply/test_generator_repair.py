"""Files that the generator left out, and files of others that PID 1 reads in place of ours."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.generator_repair import missing, overridden
from ordain.agent.apply.jobs import verdicts
from ordain.agent.model import Generation, UnitState
from ordain.transforms.artifacts import RegularFile, UnitFile, UnitLink
from support.machines.stand_in_pid1 import StandIn, make_machine, parts


def test_files_that_the_generator_left_out_or_changed_are_missing(tmp_path: Path) -> None:
    normal = tmp_path / "run/systemd/generator"
    (normal / "ordain-services.target.wants").mkdir(parents=True)
    (tmp_path / "run/systemd/generator.early").mkdir()
    artifacts = (
        UnitFile(path="early/srv.mount", content="[Mount]\n"),
        UnitLink(path="normal/ordain-services.target.wants/web.service", target="../web.service"),
        UnitFile(path="normal/web.service", content="[Service]\n"),
        RegularFile(path="/etc/motd", content="no unit"),
    )
    (tmp_path / "run/systemd/generator.early/srv.mount").write_text("[Mount]\n")
    (normal / "web.service").write_text("[Service]\n")
    wanted = Generation(number=1, hash="1", artifacts=artifacts)

    assert missing(wanted, tmp_path) == ("normal/ordain-services.target.wants/web.service",)
    (normal / "ordain-services.target.wants/web.service").symlink_to("../web.service")
    assert missing(wanted, tmp_path) == ()
    (normal / "web.service").write_text("[Service]\nType=exec\n")
    assert missing(wanted, tmp_path) == ("normal/web.service",)


def test_a_file_that_replaces_ours_is_reported() -> None:
    ours = UnitFile(path="normal/web.service", content="")
    drop_in = UnitFile(path="normal/ssh.service.d/00-ordain.conf", content="")
    template = UnitFile(path="normal/job@.service", content="")
    generation = Generation(number=1, hash="1", artifacts=(ours, drop_in, template))
    directory = "/run/systemd/generator"

    def found(fragment: str, drop_in: str, load_state: str = "loaded") -> list[str]:
        web = UnitState(name="web.service", load_state=load_state, fragment_path=fragment)
        ssh = UnitState(name="ssh.service", load_state="loaded", drop_in_paths=(drop_in,))
        return [unit for unit, _ in overridden(generation, {"web.service": web, "ssh.service": ssh})]

    placed = f"{directory}/ssh.service.d/00-ordain.conf"
    assert found(f"{directory}/web.service", placed) == []
    assert found("/etc/systemd/system/web.service", placed) == ["web.service"]
    assert found("/dev/null", placed, "masked") == []
    assert found(f"{directory}/web.service", "/etc/systemd/system/ssh.service.d/00-ordain.conf") == ["ssh.service"]


class Machine:
    """A machine that runs three services and whose generator can be away."""

    def __init__(self, root: Path) -> None:
        self.systemd = make_machine(root)
        services = {name: {"command": ["/bin/serve"]} for name in ("a", "b", "c")}
        layer = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", "services": services}).encode()
        asyncio.run(parts(self.systemd).engine.apply(ApplyRequest(texts=[("/a.yaml", layer)])))
        self.systemd.effects.clear()
        self.repair = parts(self.systemd).repair

    def reload(self, *, placed: bool, ends: str = "") -> list[str]:
        """Reload as an administrator does; return what the repair does then. Without the generator, ``ends`` ends."""
        self.repair.reloading([unit for unit, state in self.systemd.states.items() if state.running])
        if placed:
            asyncio.run(StandIn.reload(self.systemd))
            self.systemd.reload = lambda: StandIn.reload(self.systemd)  # type: ignore[method-assign]
        else:
            shutil.rmtree(self.systemd.root / "run/systemd/generator", ignore_errors=True)
            self.systemd.reload = self._reload_without_generator  # type: ignore[method-assign]
        if ends:
            self.systemd.states[ends] = replace(self.systemd.states[ends], active_state="failed")
        self.systemd.effects.clear()
        asyncio.run(self.repair.heal())
        return self.systemd.effects

    async def _reload_without_generator(self) -> None:
        self.systemd.effect("reload without the generator")

    def conditions(self) -> dict[str, str]:
        return {condition.code: condition.what for condition in self.repair.conditions}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    async def no_time(*_: Any) -> float:
        return 3600.0

    monkeypatch.setattr(verdicts, "SETTLE_SEC", 0.0)
    monkeypatch.setattr(verdicts, "_age_sec", no_time)
    return Machine(tmp_path)


def test_units_that_ended_while_the_generator_was_away_are_started_when_it_is_back(machine: Machine) -> None:
    assert machine.reload(placed=False, ends="a.service") == ["reload without the generator"]
    assert "a.service ended" in machine.conditions()["NotPlaced"]
    assert machine.reload(placed=False, ends="b.service") == []
    assert machine.reload(placed=True) == ["start a.service", "start b.service"]
    assert machine.conditions() == {}
    assert machine.reload(placed=True) == []


def test_a_unit_that_an_administrator_stopped_before_the_generator_was_away_stays_stopped(machine: Machine) -> None:
    stopped = replace(machine.systemd.states["c.service"], active_state="inactive", sub_state="dead")
    machine.systemd.states["c.service"] = stopped
    machine.reload(placed=False, ends="a.service")

    assert machine.reload(placed=True) == ["start a.service"]


def test_an_agent_that_restarts_while_the_generator_is_away_knows_what_ran_before(machine: Machine) -> None:
    machine.reload(placed=False, ends="a.service")
    machine.repair = parts(machine.systemd).repair
    machine.reload(placed=False)

    assert machine.reload(placed=True) == ["start a.service"]


def test_a_file_that_was_missing_for_one_reload_only_is_placed_again(machine: Machine) -> None:
    machine.repair.reloading(list(machine.systemd.states))
    shutil.rmtree(machine.systemd.root / "run/systemd/generator")

    assert asyncio.run(machine.repair.heal())
    assert machine.conditions() == {}

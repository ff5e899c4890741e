"""A unit whose source its generator has to read again has a condition; units of others and of Ordain have none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ordain.agent.apply.deviations.unread_sources import unread_sources
from ordain.agent.model import Generation
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.artifacts import RegularFile
from ordain.transforms.model import Member, Wanted

QUADLET = "/etc/containers/systemd/web.container"
PLACED = RegularFile(path=QUADLET, item="files/~1etc", content="", mode=0o644)


class Pid1(Systemd):
    def __init__(self, unread: bool) -> None:
        self._unread = unread

    async def unread(self, unit: str, paths: Sequence[str]) -> bool:
        return self._unread


def _conditions(root: Path, generation: Generation, unread: bool) -> list[tuple[str, str, bool]]:
    async def read() -> list[tuple[str, str, bool]]:
        found = unread_sources(Pid1(unread), root, generation)
        return [(condition.code, condition.what, condition.fault) async for condition in found]

    return asyncio.run(read())


@pytest.mark.parametrize("fault", [True, False])
def test_a_changed_source_is_a_fault_if_the_documents_have_changed_it(tmp_path: Path, fault: bool) -> None:
    (tmp_path / "run/systemd/generator").mkdir(parents=True)
    (tmp_path / "run/systemd/generator/web.service").write_text(f"[Unit]\nSourcePath={QUADLET}\n")
    (tmp_path / "run/systemd/generator/ours.service").write_text("# Made by Ordain from documents\n")
    members = tuple(
        Member(unit=unit, item="services/web", wanted=Wanted.RUNNING, ours=False)
        for unit in ("web.service", "ours.service", "ssh.service")
    )
    generation = Generation(number=1, hash="1", members=members, artifacts=(PLACED,) if fault else ())

    what = f"web.service: {QUADLET} has changed since a generator made the unit from it"
    assert _conditions(tmp_path, generation, unread=True) == [("ReloadNeeded", what, fault)]
    assert _conditions(tmp_path, generation, unread=False) == []
    source = tmp_path / QUADLET.lstrip("/")
    source.parent.mkdir(parents=True)
    source.write_text("")
    os.utime(tmp_path / "run/systemd/generator/web.service", (1, 1))
    assert _conditions(tmp_path, generation, unread=False) == [("ReloadNeeded", what, fault)]

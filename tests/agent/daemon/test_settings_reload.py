"""agent.yaml while the agent runs: a valid text is in force at once, a wrong one is reported and ignored."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.daemon.settings_reload import SettingsReload
from ordain.agent.settings import Settings, Trust, parse_settings
from ordain.generator.choose import TRUST, trust_record
from ordain.transforms.errors import Problem
from ordain.transforms.machine.agent_yaml import IN_FORCE, PATH

RECORD = TRUST.lstrip("/")


class Machine:
    """A root with an agent.yaml, and a follower that keeps what it is told."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = root
        self.adopted: list[Settings] = []
        self.problems: tuple[Problem, ...] = ()
        (root / PATH).parent.mkdir(parents=True)
        self.write(text)
        self.source = SimpleNamespace(settings=parse_settings(text.encode(), root)[0])
        self.reload = SettingsReload(cast(Any, self), cast(Any, None), root)

    def write(self, text: str) -> None:
        (self.root / PATH).write_text(text)

    def adopt(self, settings: Settings, source: object) -> None:
        self.source.settings = settings
        self.adopted.append(settings)

    def show_settings_problems(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems

    @property
    def in_force(self) -> str:
        return (self.root / IN_FORCE).read_text()

    @property
    def trust(self) -> str:
        record = (self.root / RECORD).read_bytes()
        trust = record.split()[0].decode()
        assert record == trust_record(trust, (self.root / PATH).read_bytes())
        return trust


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "trust: open\n")


def test_the_text_is_in_force_and_its_trust_recorded_when_the_agent_starts(machine: Machine) -> None:
    assert machine.in_force == "trust: open\n"
    assert machine.trust == "open"
    assert machine.adopted == []


def test_a_valid_text_is_adopted(machine: Machine) -> None:
    machine.write("trust: required\n")
    machine.reload.reload()

    assert [settings.trust for settings in machine.adopted] == [Trust.REQUIRED]
    assert machine.in_force == "trust: required\n"
    assert machine.trust == "required"
    assert machine.problems == ()


def test_a_text_that_means_the_same_interrupts_nothing(machine: Machine) -> None:
    machine.write("# as before\ntrust: open\n")
    machine.reload.reload()

    assert machine.adopted == []
    assert machine.in_force.startswith("# as before")
    assert machine.trust == "open"


@pytest.mark.parametrize(
    ("text", "what", "trust"),
    [
        ("trust: opn\n", "expected one of", "required"),
        ("trust: open\nlabels: [\n", "", "required"),
        ("trust: local\nsource: {type: etcd}\n", "the key endpoints is missing", "local"),
        ("# nothing\n", "was emptied; its previous settings stay in force", "local"),
    ],
)
def test_a_wrong_text_is_reported_and_ignored_until_it_is_right(
    machine: Machine, text: str, what: str, trust: str
) -> None:
    machine.write(text)
    machine.reload.reload()

    assert machine.adopted == []
    assert machine.in_force == "trust: open\n"
    assert what in machine.problems[0].what
    assert machine.trust == trust, "the next boot reads the file as it is"

    machine.write("trust: local\n")
    machine.reload.reload()
    assert machine.problems == ()
    assert [settings.trust for settings in machine.adopted] == [Trust.LOCAL]


def test_a_deleted_file_is_reported_and_its_settings_stay(machine: Machine) -> None:
    (machine.root / PATH).unlink()
    machine.reload.reload()

    assert "was deleted" in machine.problems[0].what
    assert machine.in_force == "trust: open\n"
    assert not (machine.root / RECORD).exists()


def test_the_next_agent_after_a_crash_follows_the_text_that_was_in_force(machine: Machine) -> None:
    machine.write("trust: opn\n")
    again = SettingsReload(cast(Any, machine), cast(Any, None), machine.root)
    again.reload()

    assert machine.in_force == "trust: open\n"
    assert "expected one of" in machine.problems[0].what


def test_an_agent_that_is_stopped_leaves_the_file_to_others(machine: Machine) -> None:
    machine.reload.close()

    assert not (machine.root / IN_FORCE).exists()
    assert (machine.root / RECORD).exists()


@pytest.mark.parametrize(("mode", "kept"), [(0o644, 0o644), (0o640, 0o640), (0o600, 0o640)])
def test_nobody_but_ordain_source_reads_the_text_in_force_if_not_the_file(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, mode: int, kept: int
) -> None:
    """Only ordain-source reads it in addition."""
    source = os.getegid()
    monkeypatch.setattr(grp, "getgrnam", {"ordain-source": SimpleNamespace(gr_gid=source)}.__getitem__)
    (machine.root / PATH).chmod(mode)

    machine.reload.reload()

    status = (machine.root / IN_FORCE).stat()
    assert stat.S_IMODE(status.st_mode) == kept
    assert status.st_gid == source

"""Exclusive boot also keeps out units that generators made, or that were installed, after the compile."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.apply.deviations.kept_out_units import KeptOutUnits
from ordain.agent.model import Generation, Job, Note, Observed, UnitState, Verb
from ordain.agent.plan.planner import plan
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.machine.installed_units import read_installed

EXCLUSIVE = "boot: {mode: exclusive}\n"
RUNNING = Observed(units={"made.service": UnitState(name="made.service", load_state="loaded", active_state="active")})
DOWN = Observed(units={"made.service": UnitState(name="made.service", load_state="loaded")})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    wanted(tmp_path, "usr/lib/systemd/system", "cron.service")
    return tmp_path


def wanted(root: Path, folder: str, unit: str) -> None:
    """Install a unit that multi-user.target wants."""
    links = root / folder / "multi-user.target.wants"
    links.mkdir(parents=True, exist_ok=True)
    (root / folder / unit).write_text("[Service]\nExecStart=/bin/true\n")
    (links / unit).symlink_to(f"../{unit}")


def generation(root: Path, sections: str) -> Generation:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}".encode())
    assert problems == ()
    found = compile(documents, facts_for("debian-12"), read_installed(root), shipped=shipped())
    return Generation(number=1, hash=sections, artifacts=found.artifacts, members=found.members)


def units(generation: Generation) -> list[str]:
    return [member.unit for member in generation.members]


def decided(root: Path, old: Generation, new: Generation, observed: Observed) -> list[Job | Note]:
    """Return the jobs and notes for made.service."""
    out = KeptOutUnits(root)
    found = plan(
        old,
        new,
        Observed(
            units=observed.units,
            kept_out=out.completed(old).members[len(old.members) :],
            keeps_out=out.completed(new).members[len(new.members) :],
        ),
    )
    decisions: tuple[Job | Note, ...] = (*found.stops, *found.jobs, *found.notes)
    return [decision for decision in decisions if decision.unit == "made.service"]


def test_a_unit_that_appears_after_the_compile_is_kept_out(root: Path) -> None:
    compiled = generation(root, EXCLUSIVE)
    out = KeptOutUnits(root)
    assert units(out.completed(compiled)) == ["cron.service"]

    wanted(root, "run/systemd/generator", "made.service")
    wanted(root, "etc/systemd/system", "late.service")

    assert units(out.completed(compiled)) == ["cron.service", "late.service", "made.service"]
    assert units(compiled) == ["cron.service"]


def test_a_unit_that_the_documents_name_or_allow_is_not_kept_out(root: Path) -> None:
    wanted(root, "run/systemd/generator", "made.service")
    named = generation(root, f"{EXCLUSIVE}services: {{made: {{unit: made.service}}}}\n")
    assert units(KeptOutUnits(root).completed(named)) == units(named)
    assert [m.unit for m in named.members if m.item == "boot"] == ["cron.service"]

    wanted(root, "usr/lib/systemd/system", "other.service")
    allowed = generation(root, "boot: {mode: exclusive, allow: [other.service]}\n")
    assert units(KeptOutUnits(root).completed(allowed)) == ["cron.service", "made.service"]


def test_additive_mode_keeps_nothing_out(root: Path) -> None:
    wanted(root, "run/systemd/generator", "made.service")
    additive = generation(root, "boot: {mode: additive}\n")

    assert KeptOutUnits(root).completed(additive) is additive


def test_a_switch_to_exclusive_stops_it_and_a_switch_back_starts_it(root: Path) -> None:
    wanted(root, "run/systemd/generator", "made.service")
    additive, exclusive = generation(root, "boot: {mode: additive}\n"), generation(root, EXCLUSIVE)

    (job,) = decided(root, additive, exclusive, RUNNING)
    assert isinstance(job, Job)
    assert (job.verb, job.reason) == (Verb.STOP, "exclusive mode keeps it out")
    assert decided(root, additive, exclusive, DOWN) == []
    (job,) = decided(root, exclusive, additive, DOWN)
    assert isinstance(job, Job)
    assert job.verb is Verb.START
    assert decided(root, exclusive, additive, RUNNING) == []


def test_a_unit_that_runs_although_it_is_kept_out_was_started_by_somebody_else(root: Path) -> None:
    wanted(root, "run/systemd/generator", "made.service")
    old, new = generation(root, EXCLUSIVE), generation(root, f"{EXCLUSIVE}services: {{web: {{command: [/bin/web]}}}}\n")

    (note,) = decided(root, old, new, RUNNING)
    assert isinstance(note, Note)
    assert note.what == "was started manually, although exclusive mode keeps it out"

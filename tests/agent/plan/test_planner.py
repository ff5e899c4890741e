"""Plans from one generation to another: the tables in this directory, and properties of any two generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.agent.generation import digest, keep_running, member_from_json
from ordain.agent.model import RUNNING, Change, Effect, Generation, Hold, NoteReason, Observed, Plan, UnitState, Verb
from ordain.agent.plan.changes.diff import diff
from ordain.agent.plan.describe import describe
from ordain.agent.plan.outcome import exit_status
from ordain.agent.plan.planner import plan
from ordain.agent.plan.unit_view import units_to_observe
from ordain.transforms.artifacts import UnitArtifact, UnitFile, UnitLink
from ordain.transforms.model import OnChange, OnRemove, Wanted

Units = Mapping[str, Mapping[str, Any]]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # reads 2,000 lines in a tenth of the time, for each worker
ROWS = [
    row
    for path in sorted(Path(__file__).parent.glob("*.yaml"))
    for row in yaml.load(path.read_text("utf-8"), Loader=_LOADER)
]
MEMBER_FIELDS = ("ours", "starter", "starts", "early", "on_change", "on_remove", "drift")
NOT_PLACED = ("mask", "member", "comment", "links", "held_back", "instance", "wanted", *MEMBER_FIELDS)


def generation(described: Units) -> Generation:
    """Return a generation described in the words of the tables."""
    artifacts: list[UnitArtifact] = []
    members = []
    for unit, words in described.items():
        ours = words.get("ours", True)
        drop_in = not ours or words.get("instance", False)
        if words.get("mask"):
            artifacts.append(UnitLink(path=f"early/{unit}", target="/dev/null"))
        elif text := content(words):
            name = f"normal/{unit}.d/00-ordain.conf" if drop_in else f"normal/{unit}"
            artifacts.append(UnitFile(path=name, content=text))
        artifacts += [UnitLink(path=f"normal/{t}.wants/{unit}", target=f"../{unit}") for t in words.get("links", ())]
        artifacts += [UnitLink(path=f"early/{t}.wants/{unit}", target="/dev/null") for t in words.get("held_back", ())]
        if words.get("member", True):
            fields = {name: words[name] for name in MEMBER_FIELDS if name in words}
            wanted = Wanted(words.get("wanted", "running" if words.get("starter", True) else "present"))
            item = f"services/{unit.partition('.')[0].partition('@')[0]}"
            members.append(member_from_json({"unit": unit, "item": item, "wanted": wanted, "ours": True, **fields}))
    artifacts.sort(key=lambda a: a.path)
    return Generation(
        hash=digest({}, artifacts, members) if described else "", artifacts=tuple(artifacts), members=tuple(members)
    )


def content(words: Mapping[str, Any]) -> str:
    lines = [f"# {words['comment']}"] if "comment" in words else []
    for name, values in words.items():
        if name not in NOT_PLACED:
            section, _, key = name.partition(".")
            for value in values if isinstance(values, list) else [values]:
                lines += [f"[{section}]", f"{key}={value}"]
    return "\n".join(lines) + "\n" if lines else ""


def observed(states: Mapping[str, Any]) -> Observed:
    """Return a machine described in the words of the tables."""
    found = {}
    for unit, state in states.items():
        fields = {"active_state": state} if isinstance(state, str) else dict(state)
        fields["triggered_by"] = tuple(fields.get("triggered_by", ()))
        found[unit] = UnitState(**{"name": unit, "load_state": "loaded", "invocation_id": "1", **fields})
    return Observed(units=found)


@pytest.mark.parametrize(
    ("path", "state", "jobs"),
    [
        ("/etc/systemd/system/web.service", "active", []),
        ("/etc/systemd/system/web.service", "inactive", ["start"]),
        ("/run/systemd/transient/web.service", "inactive", []),
    ],
)
def test_a_unit_that_a_file_of_somebody_else_hides_is_named_before_anything_is_done(
    path: str, state: str, jobs: list[str]
) -> None:
    old, new = (generation({"web.service": {"Service.ExecStart": f"/bin/serve {word}"}}) for word in "12")

    made = plan(old, new, replace(observed({"web.service": state}), hidden={"web.service": path}))

    assert [note.what.partition(" ")[0] for note in made.notes if note.why is NoteReason.HIDDEN] == [path]
    assert [job.verb for job in made.jobs] == jobs
    assert exit_status((), made) == 3


def waits(unit: str, keys: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the changes that a process lacks, described in the words of the tables."""
    return tuple(
        Change(unit=unit, section=section, key=key, old=(old,), new=(new,), effect=Effect.RESTART)
        for name, (old, new) in keys.items()
        for section, _, key in [name.partition(".")]
    )


def planned(row: Mapping[str, Any]) -> Plan:
    now = replace(
        observed(row.get("observed", {})),
        holds={unit: Hold(**words) for unit, words in row.get("holds", {}).items()},
        protected=row.get("protected", {}),
        waits={unit: waits(unit, keys) for unit, keys in row.get("waits", {}).items()},
        outdated={unit: waits(unit, keys) for unit, keys in row.get("outdated", {}).items()},
        released=frozenset(row.get("released", ())),
    )
    return plan(generation(row.get("old", {})), generation(row.get("new", {})), now)


def test_every_row_has_a_unique_id() -> None:
    ids = [row["id"] for row in ROWS]

    assert len(ids) >= 45
    assert len(set(ids)) == len(ids)
    known = {"id", "old", "new", "observed", "stops", "jobs", "notes", "reasons", "reload"}
    known |= {"holds", "protected", "waits", "outdated", "released"}
    assert [row["id"] for row in ROWS if row.keys() - known] == []


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_plan_is_that_of_the_table(row: Mapping[str, Any]) -> None:
    found = planned(row)

    assert [f"{job.verb} {job.unit}" for job in found.stops] == row.get("stops", [])
    assert [f"{job.verb} {job.unit}" for job in found.jobs] == row.get("jobs", [])
    assert found.reload is row.get("reload", True)
    notes = {note.unit: note.what for note in found.notes}
    assert len(notes) == len(found.notes)
    assert notes.keys() == row.get("notes", {}).keys()
    for unit, phrase in row.get("notes", {}).items():
        assert phrase in notes[unit]
    reasons = {job.unit: job.reason for job in (*found.stops, *found.jobs)}
    for unit, phrase in row.get("reasons", {}).items():
        assert phrase in reasons[unit]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_plan_names_every_unit_that_it_needs_to_observe(row: Mapping[str, Any]) -> None:
    old, new = generation(row.get("old", {})), generation(row.get("new", {}))
    known = units_to_observe(old, new, diff(old, new))
    triggers = {t for s in observed(row.get("observed", {})).units.values() for t in s.triggered_by}

    assert row.get("observed", {}).keys() - triggers <= known


def test_a_job_names_the_changes_that_cause_it() -> None:
    found = planned(
        {
            "old": {"web.service": {"Service.User": "a"}},
            "new": {"web.service": {"Service.User": "b"}},
            "observed": {"web.service": "active"},
        }
    )

    [change] = found.jobs[0].changes
    assert (change.section, change.key, change.old, change.new) == ("Service", "User", ("a",), ("b",))
    assert found.jobs[0].item == "services/web"


def test_a_kept_unit_stays_in_the_generation_until_it_stops_by_itself() -> None:
    old = generation({"web.service": {"Service.User": "a", "on_remove": "keep", "links": ["ordain-services.target"]}})
    gone = Generation(hash="gone")

    kept = keep_running(gone, old, {"web.service"})
    found = plan(old, kept, observed({"web.service": "active"}))

    assert [a.path for a in kept.artifacts] == ["normal/web.service"]
    assert (found.stops, found.jobs) == ((), ())
    assert "left running" in found.notes[0].what
    assert keep_running(gone, kept, {"web.service"}) == kept
    assert keep_running(gone, kept, set()) == gone


def test_a_plan_is_described_in_the_order_of_its_steps() -> None:
    found = planned(
        {
            "old": {"gone.service": {"Service.User": "a"}, "web.service": {"Service.User": "a\x1b[2J"}, **HELD},
            "new": {
                "web.service": {"Service.User": "b", "Service.MemoryMax": "1G"},
                **HELD,
                "db.service": {"Unit.Description": "new"},
            },
            "observed": {
                "gone.service": "active",
                "web.service": "active",
                "db.service": "active",
                "held.service": {"active_state": "inactive", "invocation_id": "1"},
            },
        }
    )

    assert describe(found) == (
        "stop    gone.service  removed from the documents\n"
        "manager reloads its unit files\n"
        "          db.service [Unit] Description: old → new\n"
        "restart web.service   [Service] User changed\n"
        "          [Service] MemoryMax: not set → 1G\n"
        "          [Service] User: a\N{REPLACEMENT CHARACTER}[2J → b\n"
        "\n"
        "Left alone:\n"
        "  held.service  was stopped manually; starts when its definition changes, or at the next boot\n"
    )
    assert describe(Plan()) == "Nothing to do.\n"


HELD: Units = {"held.service": {"Service.User": "a"}, "db.service": {"Unit.Description": "old"}}

unit_names = st.sampled_from(
    ["a.service", "b.service", "a.socket", "b.timer", "c.mount", "d.slice", "t@.service", "t@1.service", "e.target"]
)
keys = st.sampled_from(
    ["Unit.Description", "Unit.Requires", "Service.User", "Service.Type", "Service.MemoryMax", "Mount.Options"]
)
words = st.fixed_dictionaries(
    {},
    optional={
        "wanted": st.sampled_from([str(w) for w in Wanted]),
        "ours": st.booleans(),
        "starter": st.booleans(),
        "starts": st.sampled_from(["a.service", "b.service"]),
        "on_change": st.sampled_from([*OnChange]),
        "on_remove": st.sampled_from([*OnRemove]),
        "mask": st.booleans(),
        "member": st.booleans(),
        "links": st.just(["x.target"]),
    },
)
values = st.dictionaries(keys, st.sampled_from(["a.service", "b.service", "oneshot", "1G"]), max_size=3)
described = st.dictionaries(unit_names, st.builds(lambda a, b: {**a, **b}, words, values), max_size=6)
states = st.dictionaries(
    unit_names,
    st.fixed_dictionaries(
        {
            "active_state": st.sampled_from(
                ["active", "inactive", "failed", "activating", "deactivating", "reloading", "maintenance"]
            ),
            "load_state": st.sampled_from(["loaded", "not-found", "masked", "bad-setting"]),
            "unit_file_state": st.sampled_from(["", "masked", "masked-runtime", "generated"]),
            "condition_result": st.booleans(),
            "can_reload": st.booleans(),
            "triggered_by": st.sampled_from([(), ("b.timer",)]),
        }
    ),
)


@settings(deadline=None)
@given(described, states)
def test_the_plan_from_a_generation_to_itself_has_no_jobs(units_: Units, machine: Mapping[str, Any]) -> None:
    same = generation(units_)

    found = plan(same, same, observed(machine))

    assert not found
    assert found.changes == ()


@settings(max_examples=300, deadline=None)
@given(described, described, states)
@pytest.mark.thorough
def test_a_plan_has_jobs_only_for_its_own_units(old: Units, new: Units, machine: Mapping[str, Any]) -> None:
    before, after, now = generation(old), generation(new), observed(machine)

    found = plan(before, after, now)

    known = units_to_observe(before, after, diff(before, after))
    assert {job.unit for job in (*found.stops, *found.jobs)} <= known
    assert {note.unit for note in found.notes} | {change.unit for change in found.changes} <= known
    assert all(now.unit(job.unit).active_state in {*RUNNING, "failed"} for job in found.stops)
    assert {job.verb for job in found.stops} <= {Verb.STOP}
    assert Verb.STOP not in {job.verb for job in found.jobs}
    for jobs in (found.stops, found.jobs):
        assert len({job.unit for job in jobs}) == len(jobs)
    assert all(now.unit(job.unit).running for job in found.jobs if job.verb is Verb.RELOAD)
    assert "t@.service" not in {job.unit for job in (*found.stops, *found.jobs)}
    assert plan(before, after, now) == found
    assert describe(found)

"""The turn of a machine in a rollout (windows, splay, stages), and the progress of a rollout by reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC
from ordain.agent.delivery.fleet.rollout_policy import (
    RolloutState,
    Wait,
    decode_rollout,
    encode_rollout,
    stage_wait,
    window_wait,
)
from ordain.agent.delivery.fleet.rollout_progress import advance, count_machines, ignore, is_finished, name_machines
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, Rollout
from ordain.agent.delivery.spread import position
from ordain.agent.status import AgentState as Phase
from ordain.transforms.document.formats.maintenance_windows import next_opening, parse_window
from ordain.transforms.model import Facts
from ordain.transforms.systemd.values import EncodeError

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return the time that a text such as ``Tue 03:30`` means in one week of June."""
    day, _, time = text.partition(" ")
    hour, minute = map(int, time.split(":"))
    return MONDAY + timedelta(
        days=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun").index(day), hours=hour, minutes=minute
    )


@pytest.mark.parametrize(
    ("text", "now", "opening"),
    [
        ("02:00-05:00", "Mon 03:00", "Mon 03:00"),
        ("02:00-05:00", "Mon 05:00", "Tue 02:00"),
        ("02:00-05:00", "Mon 01:59", "Mon 02:00"),
        ("Sat,Sun 02:00-05:00", "Mon 03:00", "Sat 02:00"),
        ("Mon..Wed 22:00-02:00", "Tue 01:00", "Tue 01:00"),
        ("Mon 22:00-02:00", "Tue 01:59", "Tue 01:59"),
        ("Mon 22:00-02:00", "Mon 21:00", "Mon 22:00"),
        ("Tue 00:00-24:00", "Tue 23:59", "Tue 23:59"),
        ("Tue 00:00-00:00", "Mon 12:00", "Tue 00:00"),
        ("Sun 23:00-01:00", "Mon 00:30", "Mon 00:30"),
    ],
)
def test_a_window_opens_at_its_next_time(text: str, now: str, opening: str) -> None:
    assert next_opening([parse_window(text)], at(now)) == at(opening)


def test_a_window_that_has_closed_opens_next_week() -> None:
    assert next_opening([parse_window("Mon 22:00-02:00")], at("Tue 02:00")) == at("Mon 22:00") + timedelta(days=7)


@pytest.mark.parametrize(
    "text", ["", "daily", "25:00-26:00", "Sun..Mon 02:00-03:00", "02:00", "02:60-03:00", "1:00-24:01"]
)
def test_an_invalid_window_is_refused(text: str) -> None:
    with pytest.raises(EncodeError):
        parse_window(text)


def test_positions_are_evenly_spread_and_differ_between_releases() -> None:
    machines = [f"{n:032x}" for n in range(1000)]

    first = [position(machine, "stable 1") < 0.1 for machine in machines]
    second = [position(machine, "stable 2") < 0.1 for machine in machines]

    assert 70 < sum(first) < 130
    assert first != second
    assert position(machines[0], "stable 1") == position(machines[0], "stable 1")


def test_a_machine_waits_for_the_splay_within_a_window_of_the_release_and_of_its_own() -> None:
    rollout = Rollout(splay_sec=3600, windows=(parse_window("02:00-06:00"),))
    own = (parse_window("Tue 03:00-05:00"),)

    def until(now: str, place: float = 0.5, since: str = "Mon 00:00") -> str:
        wait = window_wait(rollout, own, place, at(now), at(since))
        return f"{wait.until:%a %H:%M}" if wait and wait.until else "now"

    assert until("Mon 12:00") == "Tue 03:00"
    assert until("Tue 03:00") == "Tue 03:30"
    assert until("Tue 03:30") == "now"
    assert until("Tue 03:45", since="Tue 03:40") == "Tue 04:10"
    assert until("Tue 03:45", place=0.0, since="Tue 03:40") == "now"
    assert window_wait(Rollout(), (), 0.9, at("Mon 12:00"), at("Mon 12:00")) is None


def test_windows_that_never_overlap_make_a_machine_wait_without_hanging() -> None:
    wait = window_wait(
        Rollout(windows=(parse_window("02:00-03:00"),)), (parse_window("04:00-05:00"),), 0.0, MONDAY, MONDAY
    )

    assert wait is not None


def test_a_stage_admits_machines_by_position_and_a_stopped_rollout_admits_none() -> None:
    rollout = Rollout(stages=(0.01, 0.5, 1.0))

    def waits(state: RolloutState | None, place: float) -> bool:
        return stage_wait(rollout, 7, state, place) is not None

    assert [waits(None, place) for place in (0.005, 0.4, 0.9)] == [False, True, True]
    assert [waits(RolloutState(number=7, share=0.5), place) for place in (0.005, 0.4, 0.9)] == [False, False, True]
    assert [waits(RolloutState(number=6, share=1.0), place) for place in (0.005, 0.4, 0.9)] == [False, True, True]
    assert waits(RolloutState(number=7, share=1.0, halted="no"), 0.0)
    assert stage_wait(Rollout(), 7, RolloutState(number=7, share=0.0, halted="no"), 0.0) == Wait(
        why="the rollout is stopped: no"
    )
    assert stage_wait(Rollout(), 7, None, 0.9) is None


def test_the_state_of_a_rollout_can_be_read_back_and_other_texts_are_refused() -> None:
    state = RolloutState(number=7, share=0.5, halted="x", opened=3.0)

    assert decode_rollout(encode_rollout(state)) == state
    for bad in (b"", b"[]", b'"x"', b"{}", b'{"number": 1'):
        with pytest.raises(ValueError):  # noqa: PT011 - any message will do
            decode_rollout(bad)


def release(**words: object) -> Release:
    rollout = {"stages": ["10%", "50%", "100%"], "stop-at": "5%", **words}
    return ReleaseDraft(channel="stable", number=2, documents={}, created="now", rollout=rollout).release()


def fleet(number: int = 100, channel: str = "stable") -> list[MachineReport]:
    return [
        MachineReport(machine=f"{n:032x}", release=ReleaseReference(channel=channel, number=1), seen=1000)
        for n in range(number)
    ]


def take(report: MachineReport, phase: Phase = Phase.CONVERGED) -> MachineReport:
    return replace(report, release=ReleaseReference(channel="stable", number=2), phase=phase)


def invited(reports: list[MachineReport], share: float) -> list[int]:
    return [n for n, r in enumerate(reports) if position(r.machine, "stable 2") < share]


def test_the_next_stage_opens_when_all_invited_machines_are_done() -> None:
    reports = fleet()
    first = advance(release(), reports, None, 1000)
    assert first == RolloutState(number=2, share=0.1, opened=1000)
    for n in invited(reports, 0.1)[1:]:
        reports[n] = take(reports[n])
    assert advance(release(), reports, first, 1001) == first, "one machine has not taken it yet"
    last = invited(reports, 0.1)[0]
    reports[last] = take(reports[last], Phase.APPLYING)
    assert advance(release(), reports, first, 1001) == first, "one machine is at work"
    reports[last] = take(reports[last], Phase.DEGRADED)

    assert advance(release(), reports, first, 1001) == RolloutState(number=2, share=0.5, opened=1001)


def test_a_stage_lasts_at_least_for_its_soak_time() -> None:
    reports = [take(report) for report in fleet()]
    state = RolloutState(number=2, share=0.1, opened=1000)

    assert advance(release(soak="1h"), reports, state, 4599) == state
    assert advance(release(soak="1h"), reports, state, 4600).share == 0.5


def test_lost_machines_do_not_delay_a_rollout() -> None:
    reports = fleet()
    now = 1000 + LOST_SEC + 1
    state = RolloutState(number=2, share=0.1, opened=1000)

    assert count_machines(release(), reports, state, now).lost == 100
    assert advance(release(), reports, state, now).share == 0.5


def test_too_many_rollbacks_stop_a_rollout_permanently() -> None:
    reports = [take(report) for report in fleet(20)] + fleet(80)[20:]
    state = RolloutState(number=2, share=0.5, opened=1000)
    reports[0] = take(reports[0], Phase.ROLLED_BACK)
    assert not advance(release(), reports, state, 1001).halted, "one of twenty is 5 %"
    reports[1] = take(reports[1], Phase.ROLLED_BACK)

    halted = advance(release(), reports, state, 1001)

    assert halted.halted.startswith("2 of 20 machines rolled back: 000")
    assert is_finished(release(), halted)
    assert advance(release(), [take(r) for r in reports], halted, 2000) == halted


def test_machines_of_other_channels_do_not_count() -> None:
    reports = [*fleet(10), *[replace(r, phase=Phase.ROLLED_BACK) for r in fleet(10, "canary")]]

    assert count_machines(release(), reports, RolloutState(number=2, share=1.0), 1000).all == 10


def test_machines_without_a_release_are_counted_in_the_channel_of_their_label() -> None:
    def report(machine: str, *channels: str) -> MachineReport:
        facts = Facts(id="debian", systemd=257, labels={"channel": channels} if channels else {})
        return MachineReport(machine=machine, phase=Phase.CONVERGED, facts=facts, generation=1, seen=1000)

    reports = [report("a"), report("b", "stable"), report("c", "canary"), report("d", "stable", "canary")]
    moved = replace(report("e"), release=ReleaseReference(channel="canary", number=release().number))
    state = RolloutState(number=2, share=1.0)

    counts = count_machines(release(), [*reports, moved], state, 1000)

    assert (counts.all, counts.invited, counts.done) == (3, 3, 0)
    assert advance(release(), [*reports, moved], replace(state, share=0.5, opened=0), 1000).share == 0.5


def test_the_last_stage_ends_it() -> None:
    reports = [take(report) for report in fleet()]
    state = advance(release(), reports, RolloutState(number=2, share=0.5, opened=0), 1)

    assert state.share == 1.0
    assert is_finished(release(), state)
    assert advance(release(), reports, state, 9) == state


def test_one_rollback_keeps_the_next_stage_closed_and_does_not_stop_the_rollout() -> None:
    state = RolloutState(number=2, share=0.1, opened=0)
    reports = fleet()
    for n in invited(reports, state.share):
        reports[n] = take(reports[n])
    bad = invited(reports, state.share)[0]
    reports[bad] = take(reports[bad], Phase.ROLLED_BACK)

    assert advance(release(), reports, state, 1001) == state
    assert count_machines(release(), reports, state, 1001).exceed(0.05)
    ignored = ignore(state, [reports[bad].machine])
    assert advance(release(), reports, ignored, 1001).share == 0.5


def test_the_only_machine_of_a_channel_can_stop_a_rollout() -> None:
    reports = [take(fleet(1)[0], Phase.ROLLED_BACK)]

    assert advance(release(), reports, RolloutState(number=2, share=0.5), 1001).halted


def test_a_rollout_that_reports_stopped_goes_on_without_the_ignored_machines() -> None:
    reports = [take(r, Phase.ROLLED_BACK if n < 2 else Phase.CONVERGED) for n, r in enumerate(fleet(20))]
    halted = advance(release(), reports, RolloutState(number=2, share=0.5, opened=0), 1001)

    still = advance(release(), reports, ignore(halted, [reports[0].machine]), 1001)
    assert not still.halted, "one of 19 is more than 5 %, but one alone does not stop it"
    assert still.share == 0.5
    assert advance(release(), reports, ignore(still, [reports[1].machine]), 1001).share == 1.0
    by_hand = RolloutState(number=2, share=0.5, halted="enough")
    assert ignore(by_hand, [reports[0].machine]).halted == "enough"


def test_a_report_of_a_release_that_does_not_exist_counts_for_nothing() -> None:
    state = RolloutState(number=2, share=0.5)
    future = [
        replace(r, release=ReleaseReference(channel="stable", number=3), phase=Phase.ROLLED_BACK) for r in fleet()
    ]
    other = [replace(r, release=ReleaseReference(channel="stable", number=2, hash="00")) for r in fleet()]

    for reports in (future, other):
        counts = count_machines(release(), reports, state, 1001)
        assert (counts.done, counts.back) == (0, 0)
        assert not advance(release(), reports, state, 1001).halted


def test_machines_are_named_by_their_host_names_if_these_are_host_names() -> None:
    one, two = fleet(2)
    reports = [replace(one, hostname="web1"), replace(two, hostname="x\x1b[2J\nweb9  converged")]

    assert name_machines(reports, {one.machine, two.machine}) == f"web1, {two.machine}"
    assert name_machines([], [f"{n:032x}" for n in range(7)]).endswith("and 2 more")

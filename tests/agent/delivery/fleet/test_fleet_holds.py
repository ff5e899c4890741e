"""Holds of the fleet: who is held, until when, and what a machine does meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ordain.agent.delivery.fleet.fleet_holds import (
    FleetHold,
    FleetHolds,
    HoldTarget,
    decode_holds,
    encode_holds,
)
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.protocol import ReleaseReference

NOW = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
WEB3 = MachineReport(
    machine="3" * 32,
    hostname="web3",
    labels={"role": ("web", "cache")},
    release=ReleaseReference(channel="stable", number=4),
)
HOLD = FleetHold(
    target=HoldTarget.MACHINE,
    subject="3" * 32,
    name="web3",
    since="2026-11-28T21:00:00+00:00",
    by="alice@desk",
    why="its disk is replaced",
    until="2026-11-30T08:00:00+00:00",
)


@pytest.mark.parametrize(
    ("target", "subject", "held"),
    [
        (HoldTarget.MACHINE, "3" * 32, True),
        (HoldTarget.MACHINE, "4" * 32, False),
        (HoldTarget.LABEL, "role=cache", True),
        (HoldTarget.LABEL, "role=db", False),
        (HoldTarget.CHANNEL, "stable", True),
        (HoldTarget.CHANNEL, "canary", False),
    ],
)
def test_a_machine_is_held_by_its_id_its_labels_and_its_channel(target: HoldTarget, subject: str, held: bool) -> None:
    hold = replace(HOLD, target=target, subject=subject)

    assert (FleetHolds(holds=(hold,)).of(WEB3, NOW) == hold) is held


@pytest.mark.parametrize(
    ("hold", "now", "over"),
    [
        (HOLD, NOW, False),
        (HOLD, datetime(2026, 11, 30, 8, 0, tzinfo=UTC), True),
        (HOLD, datetime(1970, 1, 1, tzinfo=UTC), False),
        (replace(HOLD, until=""), datetime(2099, 1, 1, tzinfo=UTC), False),
        (replace(HOLD, until="Monday"), datetime(2099, 1, 1, tzinfo=UTC), False),
        (replace(HOLD, until="1969-01-01T00:00:00+00:00"), datetime(1970, 1, 1, tzinfo=UTC), False),
    ],
    ids=[
        "not yet",
        "at its end",
        "a clock from before the hold",
        "no end",
        "an unreadable end",
        "a clock without time",
    ],
)
def test_a_hold_ends_at_its_time_by_a_clock_that_can_be_right(hold: FleetHold, now: datetime, over: bool) -> None:
    assert hold.is_over(now) is over


def test_the_hold_that_lasts_longest_counts() -> None:
    label = replace(HOLD, target=HoldTarget.LABEL, subject="role=web", until="2026-12-01T08:00:00+00:00")
    channel = replace(HOLD, target=HoldTarget.CHANNEL, subject="stable", until="")

    assert FleetHolds(holds=(label, HOLD)).of(WEB3, NOW) == label
    assert FleetHolds(holds=(label, channel, HOLD)).of(WEB3, NOW) == channel


def test_a_new_hold_replaces_that_of_its_subject_and_drops_ended_ones() -> None:
    ended = replace(HOLD, subject="4" * 32, until="2026-11-28T21:30:00+00:00")
    holds = FleetHolds(holds=(ended, HOLD)).with_hold(replace(HOLD, why="another disk"), NOW)

    assert [hold.why for hold in holds.holds] == ["another disk"]
    assert decode_holds(encode_holds(holds)) == holds
    assert holds.without(HoldTarget.MACHINE, HOLD.subject, NOW) == FleetHolds()


def test_a_machine_learns_who_holds_it_why_and_until_when() -> None:
    wait = HOLD.wait()

    assert wait.until == datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
    assert wait.why == (
        "the fleet holds machine web3 by alice@desk since Sat 2026-11-28 21:00:00 UTC because: its disk is replaced; "
        "ends Mon 2026-11-30 08:00:00 UTC"
    )

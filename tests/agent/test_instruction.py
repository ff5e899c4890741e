"""Instructions that last: their ends, over reboots and wrong clocks, and their texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ordain.agent.errors import Failure
from ordain.agent.instruction import (
    ClockReading,
    Expiry,
    Instruction,
    Terms,
    check_why,
    describe,
    expiry_of,
    instruct,
    left_sec,
    recount,
)

NOW_SEC = 1_795_000_000.0
HOUR = 3600
FIRST, SECOND = "1" * 32, "2" * 32


def clock(
    *,
    wall_sec: float = NOW_SEC,
    boot_sec: float = 1000.0,
    boot: str = FIRST,
    synchronized: bool = True,
    host_up_sec: float = 0.0,
) -> ClockReading:
    """Return a reading; in a container, the clock of the boot is that of a host that started earlier."""
    return ClockReading(
        wall_sec=wall_sec, boot_sec=host_up_sec + boot_sec, up_sec=boot_sec, boot=boot, synchronized=synchronized
    )


def end_of(at: ClockReading, lasts_sec: int = 4 * HOUR) -> Expiry:
    end = expiry_of(Terms(lasts_sec=lasts_sec), at)
    assert end is not None
    return end


def test_an_end_comes_when_its_time_has_passed() -> None:
    end = end_of(clock())

    assert left_sec(end, clock(wall_sec=NOW_SEC + HOUR, boot_sec=1000 + HOUR)) == 3 * HOUR
    assert left_sec(end, clock(wall_sec=NOW_SEC + 4 * HOUR, boot_sec=1000 + 4 * HOUR)) == 0


def test_the_time_that_the_machine_was_off_counts_if_the_clock_is_synchronized() -> None:
    end = recount(end_of(clock()), clock(wall_sec=NOW_SEC + HOUR, boot_sec=1000 + HOUR))
    rebooted = clock(wall_sec=NOW_SEC + 5 * HOUR, boot_sec=60, boot=SECOND)

    assert left_sec(end, rebooted) < 0
    assert left_sec(end, replace(rebooted, synchronized=False)) == 3 * HOUR - 60


def test_the_reboot_of_a_container_ends_nothing_although_its_host_runs_on() -> None:
    end = end_of(clock(synchronized=False, host_up_sec=99 * HOUR))
    rebooted = clock(synchronized=False, boot_sec=60, boot=SECOND, host_up_sec=100 * HOUR)

    assert left_sec(end, rebooted) == 4 * HOUR - 60


def test_a_clock_that_jumps_forward_ends_nothing_early() -> None:
    wrong = clock(wall_sec=0, boot_sec=20, synchronized=False)
    end = end_of(wrong)
    after_ntp = clock(wall_sec=NOW_SEC, boot_sec=80, synchronized=True)

    assert left_sec(end, after_ntp) == 4 * HOUR - 60
    counted = recount(end, after_ntp)
    assert (counted.until, counted.synchronized) == ("2026-11-18T15:05:40+00:00", True)
    assert left_sec(counted, clock(wall_sec=NOW_SEC + 4 * HOUR, boot_sec=60, boot=SECOND)) < 0


def test_a_clock_that_is_set_back_keeps_nothing_for_ever() -> None:
    end = end_of(clock(wall_sec=NOW_SEC + 365 * 24 * HOUR))

    for synchronized in (True, False):
        assert left_sec(end, clock(boot_sec=1000 + 4 * HOUR, synchronized=synchronized)) == 0


def test_an_instruction_ends_on_a_machine_that_reboots_again_and_again_without_a_clock() -> None:
    end, boots = end_of(clock(wall_sec=0, synchronized=False), HOUR), 0

    while left_sec(end, at := clock(wall_sec=0, boot_sec=30, boot=f"{boots:032}", synchronized=False)) > 0:
        end, boots = recount(end, at), boots + 1

    assert boots == HOUR / 30 - 1


def test_the_time_of_day_is_not_rewritten_at_every_look() -> None:
    end = end_of(clock(synchronized=False))

    for seconds in (1, 600, 3 * HOUR):
        at = clock(wall_sec=NOW_SEC + seconds + 0.4, boot_sec=1000 + seconds, synchronized=False)
        assert recount(end, at).until == end.until


def test_an_end_at_a_time_of_day_is_as_far_away_as_the_clock_says() -> None:
    end = expiry_of(Terms(until_sec=int(NOW_SEC) + 90), clock())

    assert end == Expiry(until="2026-11-18T11:08:10+00:00", left_sec=90, at_sec=1000, boot=FIRST, synchronized=True)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (Terms(until_sec=int(NOW_SEC) - 1), "is in the past"),
        (Terms(lasts_sec=2**40), "ten years"),
        (Terms(until_sec=2**62), "ten years"),
        (Terms(lasts_sec=1, until_sec=int(NOW_SEC) + 1), "not both"),
    ],
)
def test_an_impossible_end_is_refused(terms: Terms, words: str) -> None:
    with pytest.raises(Failure, match=words):
        expiry_of(terms, clock())


@pytest.mark.parametrize("why", ["two\nlines", "\x1b[31mred", "x" * 501])
def test_a_reason_is_one_line_of_visible_characters(why: str) -> None:
    with pytest.raises(Failure, match="the reason has"):
        check_why(why)


def test_the_text_of_an_instruction_names_who_when_why_and_until() -> None:
    given = instruct(Terms(why=" new disk ", lasts_sec=60), "alice", clock())

    assert describe(given) == (
        "by alice since Wed 2026-11-18 11:06:40 UTC because: new disk; ends Wed 2026-11-18 11:07:40 UTC"
    )
    assert describe(Instruction()) == "by an administrator"

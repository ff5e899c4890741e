"""The history keeps what a night of edits makes: by number and by age; failed generations do not count."""

from __future__ import annotations

from ordain.agent.state.history_retention import (
    AT_LEAST,
    DAYS,
    HOURS,
    LATEST,
    LATEST_FAILED,
    MAX_BYTES,
    KeptGeneration,
    retained,
)

HOUR, DAY = 3600, 86400
NOON = 20_000 * DAY + 12 * HOUR


def made(count: int, *, step: int, first: int = 1, start: int = NOON, size: int = 0) -> list[KeptGeneration]:
    return [KeptGeneration(number=first + n, saved=start + n * step, size=size) for n in range(count)]


def test_a_night_of_edits_leaves_the_states_of_each_hour_and_of_the_evening_before() -> None:
    evening = made(3, step=HOUR, start=NOON + 6 * HOUR)
    night = made(900, step=40, first=4, start=NOON + 10 * HOUR)  # ten hours

    kept = retained([*evening, *night])

    assert {3, 903} <= kept
    assert set(range(904 - LATEST, 904)) <= kept
    hours = {(g.saved // HOUR): g.number for g in night}
    assert set(hours.values()) <= kept
    assert len(kept) < LATEST + 20


def test_one_generation_of_each_day_is_kept_for_a_month() -> None:
    old = made(500, step=2 * HOUR)
    recent = made(LATEST, step=1, first=501, start=old[-1].saved + 1)

    kept = retained([*old, *recent])

    days = {g.saved // DAY: g.number for g in [*old, *recent]}
    last = recent[-1].saved // DAY
    assert {number for day, number in days.items() if last - day <= DAYS} <= kept
    assert not {number for day, number in days.items() if last - day > DAYS} & kept
    assert len(kept) <= LATEST + HOURS + DAYS + 2


def test_failed_generations_are_counted_apart_from_good_ones() -> None:
    good = made(LATEST, step=1)
    bad = [KeptGeneration(number=LATEST + 1 + n, saved=NOON + 200, failed=True) for n in range(300)]

    kept = retained([*good, *bad])

    assert {g.number for g in good} <= kept
    assert len(kept) == LATEST + LATEST_FAILED
    assert max(kept) == LATEST + 300


def test_large_generations_are_bound_by_their_space_but_the_latest_stay() -> None:
    assert len(retained(made(50, step=1, size=MAX_BYTES))) == AT_LEAST + 1
    assert retained(()) == set()

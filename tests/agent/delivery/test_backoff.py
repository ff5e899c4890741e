"""The wait before a source that failed is asked again."""

from __future__ import annotations

from ordain.agent.delivery.backoff import MAX_SEC, Backoff


def test_waits_grow_to_a_minute_and_begin_again_after_a_minute_without_failure() -> None:
    now = 0.0
    backoff = Backoff(uniform=lambda low, high: high, clock=lambda: now)

    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.succeeded()
    assert backoff.failed() == 60, "one answer in between changes nothing"
    backoff.succeeded()
    now += MAX_SEC
    backoff.succeeded()
    assert backoff.failed() == 1


def test_a_wait_can_be_zero_but_is_at_least_the_one_that_the_server_asked_for() -> None:
    backoff = Backoff(uniform=lambda low, high: low)

    assert backoff.failed() == 0
    assert backoff.failed(30) == 30
    assert backoff.failed(10**9) == 3600

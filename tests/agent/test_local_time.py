"""Times as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ordain.agent.delivery.fleet.rollout_gate import _now
from ordain.agent.local_time import local_time


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-28T12:17:51+00:00", "Sat 2026-11-28 13:17:51 CET"),
        ("2026-07-28T12:17:51Z", "Tue 2026-07-28 14:17:51 CEST"),
        ("", ""),
        ("yesterday", "yesterday"),
    ],
)
def test_times_are_local_as_systemctl_prints_them(text: str, shown: str) -> None:
    assert local_time(text) == shown


def test_times_are_of_the_time_zone_that_is_set_while_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC0")
        time.tzset()
        assert local_time(moment).endswith("12:00:00 UTC")

        patched.setenv("TZ", "CET-1")

        assert local_time(moment).endswith("13:00:00 CET")
        patched.setenv("TZ", "EET-2")
        assert _now().utcoffset() == timedelta(hours=2)
    time.tzset()

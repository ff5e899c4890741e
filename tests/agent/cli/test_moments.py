"""Times on the command line: the forms of systemd.time(7), held against systemd-analyze."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ordain.agent.cli.moments import coming, past
from ordain.agent.cli.parse import Usage

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 28, 22, 10, tzinfo=BERLIN)  # a Saturday


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Mon 08:00", "2026-11-30T08:00:00+01:00"),
        ("monday 08:00:30", "2026-11-30T08:00:30+01:00"),
        ("Sat 22:09", "2026-12-05T22:09:00+01:00"),
        ("Sat 22:11", "2026-11-28T22:11:00+01:00"),
        ("18:00", "2026-11-29T18:00:00+01:00"),
        ("tomorrow", "2026-11-29T00:00:00+01:00"),
        ("tomorrow 07:30", "2026-11-29T07:30:00+01:00"),
        ("2027-07-01", "2027-07-01T00:00:00+02:00"),
        ("2027-07-01T10:00", "2027-07-01T10:00:00+02:00"),
        ("Thu 2026-12-24 18:00", "2026-12-24T18:00:00+01:00"),
        ("2026-12-24 18:00 UTC", "2026-12-24T18:00:00+00:00"),
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00+00:00"),
        ("01-15 06:00", "2027-01-15T06:00:00+01:00"),
        ("+4h 30min", "2026-11-29T02:40:00+01:00"),
        ("2d left", "2026-11-30T22:10:00+01:00"),
        ("@1800000000", "2027-01-15T09:00:00+01:00"),
    ],
)
def test_an_end_is_the_next_such_moment(text: str, moment: str) -> None:
    assert coming(text, NOW).isoformat() == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Tue", "2026-11-24T00:00:00+01:00"),
        ("Sat", "2026-11-28T00:00:00+01:00"),
        ("23:00", "2026-11-27T23:00:00+01:00"),
        ("yesterday 12:00", "2026-11-27T12:00:00+01:00"),
        ("today", "2026-11-28T00:00:00+01:00"),
        ("now", "2026-11-28T22:10:00+01:00"),
        ("3h ago", "2026-11-28T19:10:00+01:00"),
        ("-3h", "2026-11-28T19:10:00+01:00"),
        ("2026-07-01", "2026-07-01T00:00:00+02:00"),
    ],
)
def test_a_beginning_is_the_last_such_moment(text: str, moment: str) -> None:
    assert past(text, NOW).isoformat() == moment


@pytest.mark.parametrize(
    "text",
    ["", "soon", "08:61", "25:00", "2026-02-30", "Fri 2026-12-24", "2001-01-01", "1h ago", "+soon", "+99y", "UTC"],
)
def test_other_texts_and_the_past_are_refused(text: str) -> None:
    with pytest.raises(Usage, match="write"):
        coming(text, NOW)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("text", ["Mon 08:00", "18:00", "Sat 00:00", "Thu 2099-12-24 18:00", "12-24 18:00:05"])
def test_systemd_computes_the_same_next_moment(text: str) -> None:
    now = datetime.now().astimezone()
    done = subprocess.run(
        ["systemd-analyze", "calendar", text],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    line = next(line for line in done.stdout.splitlines() if "Next elapse:" in line)
    elapse = datetime.strptime(line.split("elapse: ")[1], "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=ZoneInfo("UTC"))

    assert abs(coming(text, now.astimezone(ZoneInfo("UTC"))) - elapse) < timedelta(seconds=1)

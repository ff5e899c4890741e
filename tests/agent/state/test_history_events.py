"""The release that a generation came from, out of the events of the history."""

from __future__ import annotations

from ordain.agent.model import ChangeCause, ChangeOrigin
from ordain.agent.state.history_events import HistoryEvent, applied_revision


def event(
    generation: int, revision: str, *, rejected: int = 0, cause: ChangeCause = ChangeCause.DOCUMENTS
) -> HistoryEvent:
    origin = ChangeOrigin(cause=cause, revision=revision)
    return HistoryEvent(time="2026-11-28T12:00:00+00:00", generation=generation, rejected=rejected, origin=origin)


def test_the_release_in_force_is_that_of_the_last_apply_of_its_generation() -> None:
    """An event of a rollback names the release that failed, and one of a pause names none."""
    events = (
        event(3, "stable 2"),
        event(3, "stable 3"),
        event(3, "stable 5", rejected=4),
        event(3, "", cause=ChangeCause.PAUSE),
    )

    assert applied_revision(events, 3) == "stable 3"
    assert applied_revision(events, 4) == ""

"""A store that shows older versions than before is not believed for a time, and then it is."""

from __future__ import annotations

from ordain.agent.delivery.database.seen_generations import UNKNOWN, SeenGenerations

ALL = ("a", "b")


def test_versions_only_grow() -> None:
    seen = SeenGenerations(patience_sec=60.0)
    assert seen.older(ALL, {"a1": 1, "b1": 2}, {}, now=0.0) == []
    assert seen.older(ALL, {"a1": 2, "b1": 2}, {}, now=1.0) == []
    assert seen.older(ALL, {"a1": 1, "b1": 3}, {}, now=2.0) == ["a1"]
    assert seen.older(ALL, {"a1": 2, "b1": 2}, {}, now=3.0) == [], (
        "versions that were not believed are not compared with"
    )


def test_a_deletion_is_a_version_too() -> None:
    seen = SeenGenerations(patience_sec=60.0)
    seen.older(ALL, {"a1": 1, "b1": 2}, {}, now=0.0)
    assert seen.missing(("a",), []) == ["a1"]
    assert seen.missing(ALL, ["a1"]) == ["b1"]
    assert seen.older(ALL, {"a1": 1}, {"b1": UNKNOWN}, now=1.0) == ["b1"]
    assert seen.older(ALL, {"a1": 1}, {"b1": 3}, now=2.0) == []
    assert seen.missing(ALL, ["a1"]) == [], "it is known to be deleted"
    assert seen.older(ALL, {"a1": 1, "b1": 2}, {}, now=3.0) == ["b1"]
    assert seen.older(ALL, {"a1": 1, "b1": 4}, {}, now=4.0) == []


def test_documents_that_stay_older_count_after_the_patience() -> None:
    seen = SeenGenerations(patience_sec=60.0)
    seen.older(ALL, {"a1": 3, "b1": 1}, {}, now=0.0)
    assert seen.older(ALL, {"a1": 1}, {"b1": UNKNOWN}, now=100.0) == ["a1", "b1"]
    assert seen.older(("a",), {"a1": 1}, {}, now=159.0) == ["a1"], "the time of each listing is its own"
    assert seen.older(ALL, {"a1": 1}, {"b1": UNKNOWN}, now=159.9) == ["a1", "b1"]
    assert seen.older(ALL, {"a1": 1}, {"b1": UNKNOWN}, now=160.0) == []
    assert seen.older(ALL, {"a1": 1}, {}, now=161.0) == []
    assert seen.older(ALL, {"a1": 2, "b1": 1}, {}, now=162.0) == [], "it begins from there again"

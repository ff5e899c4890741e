"""The effect table, compared with systemd's own list of keys."""

from __future__ import annotations

from collections import Counter

import pytest

from ordain.agent.model import Effect
from ordain.agent.plan.changes.directive_effects import EFFECT_RULES, effect, effect_rule
from ordain.transforms.systemd.directives import lookup

ROWS = [(section, key) for row in EFFECT_RULES for section in row.sections for key in row.keys]


def test_systemd_knows_every_key_of_the_table() -> None:
    assert [(section, key) for section, key in ROWS if lookup(section, key) is None] == []


def test_each_key_has_one_row() -> None:
    assert [row for row, count in Counter(ROWS).items() if count > 1] == []


def test_every_row_has_a_source_and_is_milder_than_the_default() -> None:
    assert [row for row in EFFECT_RULES if not row.source or row.effect is Effect.RESTART] == []


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("Unit", "Description", Effect.MANAGER),
        ("Unit", "After", Effect.MANAGER),
        ("Unit", "Requires", Effect.RESTART),
        ("Unit", "ConditionPathExists", Effect.RESTART),
        ("Service", "ExecReload", Effect.MANAGER),
        ("Service", "Restart", Effect.MANAGER),
        ("Service", "KillSignal", Effect.MANAGER),
        ("Service", "TasksMax", Effect.MANAGER),
        ("Slice", "CPUQuota", Effect.MANAGER),
        ("Service", "Slice", Effect.RESTART),
        ("Service", "Delegate", Effect.RESTART),
        ("Service", "LimitNOFILE", Effect.RESTART),
        ("Service", "ExecStart", Effect.RESTART),
        ("Service", "ProtectSystem", Effect.RESTART),
        ("Service", "NoSuchKey", Effect.RESTART),
        ("Mount", "What", Effect.RESTART),
        ("Timer", "OnCalendar", Effect.RESTART),
        ("Socket", "ListenStream", Effect.RESTART),
        ("Socket", "MaxConnections", Effect.MANAGER),
        ("Swap", "TimeoutSec", Effect.RESTART),
        ("Install", "WantedBy", Effect.NOTHING),
        # a key means something in its own section only
        ("Unit", "MemoryMax", Effect.RESTART),
    ],
)
def test_the_effect_of_a_key(section: str, key: str, expected: Effect) -> None:
    assert effect_rule(section, key).effect is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(("ro",), ("rw",), Effect.RELOAD), (("ro",), (), Effect.RESTART), ((), ("ro",), Effect.RESTART)],
)
def test_a_remount_changes_options_but_does_not_remove_them(
    old: tuple[str, ...], new: tuple[str, ...], expected: Effect
) -> None:
    assert effect("Mount", "Options", old, new) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("a.service b.service",), ("b.service",), Effect.MANAGER),
        (("a.service", "b.service"), ("b.service a.service",), Effect.MANAGER),
        (("a.service",), (), Effect.MANAGER),
        (("a.service",), ("a.service", "b.service"), Effect.RESTART),
        (("a.service",), ("b.service",), Effect.RESTART),
    ],
)
def test_a_removed_dependency_needs_no_restart(old: tuple[str, ...], new: tuple[str, ...], expected: Effect) -> None:
    assert effect("Unit", "Requires", old, new) is expected
    assert effect("Unit", "Conflicts", old, new) is Effect.RESTART

"""A plan in words: the lines of the journal, and the words for files."""

from __future__ import annotations

import pytest

from ordain.agent.model import Change, Effect, FileAction, FileChange, Job, Plan, Verb
from ordain.agent.plan.describe import announcements, describe
from ordain.transforms.render.cause_comments import Cause

CAUSE = (Cause(path="/etc/ordain/documents/web.yaml", line=7, layer="web", pointer="services/web/x"),)


def change(unit: str, key: str, effect: Effect) -> Change:
    return Change(
        unit=unit, section="Service", key=key, old=("1",), new=("2",), effect=effect, causes=CAUSE
    )  # fmt: skip


def test_the_journal_gets_a_line_for_each_unit_file_and_value_with_the_unit_it_is_about() -> None:
    mode = Change(unit="/etc/motd", key="mode", old=("0644",), new=("0600",), causes=CAUSE)
    plan = Plan(
        reload=True,
        stops=(
            Job(unit="old.service", verb=Verb.STOP, reason="no document has it"),
            Job(unit="a.socket", verb=Verb.STOP, reason="has to be bound again"),
        ),
        jobs=(
            Job(unit="a.socket", verb=Verb.START, reason="its address changed"),
            Job(unit="web.service", verb=Verb.RESTART, reason="ExecStart changed"),
        ),
        changes=(
            change("web.service", "ExecStart", Effect.RESTART),
            change("db.service", "MemoryMax", Effect.MANAGER),
            change("db.service", "Description", Effect.NOTHING),
        ),
        settings=(Change(unit="services/web", key="drift", new=("enforce",), causes=CAUSE),),
        files=(
            FileChange(path="/etc/motd", what=FileAction.CHANGED, changes=(mode,)),
            FileChange(path="/etc/new", what=FileAction.NEW, causes=CAUSE),
        ),
    )  # fmt: skip

    assert list(announcements(plan)) == [
        ("old.service", "stop old.service: no document has it"),
        ("a.socket", "start a.socket: its address changed"),
        (
            "web.service",
            "restart web.service: [Service] ExecStart: 1 → 2 (web.yaml:7 services/web/x)",
        ),
        (
            "db.service",
            "change db.service without a restart: [Service] MemoryMax: 1 → 2 (web.yaml:7 services/web/x)",
        ),
        ("", "change services/web drift: not set → enforce  (web.yaml:7 services/web/x)"),
        ("", "change /etc/motd: mode: 0644 → 0600 (web.yaml:7 services/web/x)"),
        ("", "place /etc/new  (web.yaml:7 services/web/x)"),
    ]


@pytest.mark.parametrize(
    ("path", "what", "word"),
    [
        ("/etc/a", FileAction.NEW, "place"),
        ("/etc/a", FileAction.CHANGED, "change"),
        ("/etc/a", FileAction.REMOVED, "restore"),
        ("/run/systemd/network/10-a.network", FileAction.REMOVED, "remove"),
    ],
)
def test_the_word_for_a_file_says_what_becomes_of_it(path: str, what: FileAction, word: str) -> None:
    assert describe(Plan(files=(FileChange(path=path, what=what),))).split() == [word, path]

"""Unit files keep their meaning, and what a document cannot say is named."""

from __future__ import annotations

import pytest

from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from support.importing.import_accounting import NAMES

SERVICE = "[Service]\nExecStart=/usr/bin/a\n"


def convert(**files: str) -> tuple[DocumentDraft, list[str]]:
    """Import files, in whose names ``_`` stands for a dot; return the draft and the problems."""
    draft = DocumentDraft()
    inputs = [InputFile(path=name.replace("_", "."), data=text.encode()) for name, text in files.items()]
    file_types.convert(inputs, NAMES, draft)
    return draft, [problem.what for problem in draft.problems]


def test_the_descriptions_of_a_timer_stay_with_its_service() -> None:
    timer = "[Unit]\nDescription=Each day\nDocumentation=man:a(8) man:b(8)\n[Timer]\nOnCalendar=daily\n"
    draft, problems = convert(
        a_service=f"[Unit]\nDocumentation=man:a(8)\n{SERVICE}", a_timer=f"{timer}[Install]\nWantedBy=timers.target\n"
    )

    assert draft.entries("services")["a"] == {
        "command": "/usr/bin/a",
        "type": "simple",
        "documentation": ["man:a(8)", "man:b(8)"],
        "schedule": "daily",
        "state": "running",
    }
    assert draft.comments["services", "a"] == "a.service\na.timer: Each day"
    assert not problems


@pytest.mark.parametrize(
    ("lines", "section", "named"),
    [
        ("ListenStream=/run/a\nListenDatagram=/run/b", "services", 0),
        ("ListenDatagram=/run/b\nListenStream=/run/a", "units", 0),
        ("ListenStream=/run/a\nListenDatagram=/run/b\nListenStream=/run/c", "units", 1),
        ("ListenStream=/run/x\nListenStream=\nListenDatagram=/run/b\nListenStream=/run/c", "units", 0),
        ("ListenDatagram=/run/x\nListenStream=\nListenStream=/run/b", "services", 0),
    ],
)
def test_a_service_gets_its_sockets_in_the_order_of_the_file(lines: str, section: str, named: int) -> None:
    socket = f"[Socket]\n{lines}\n[Install]\nWantedBy=sockets.target\n"
    draft, problems = convert(a_service=SERVICE, a_socket=socket)

    assert [name for name, entries in draft.sections.items() if entries] == [section]
    assert [problem.partition(",")[0] for problem in problems] == ["the order of ListenStream"][:named]


@pytest.mark.parametrize("together", [True, False])
def test_also_is_named_unless_the_import_has_the_unit(together: bool) -> None:
    one = f"{SERVICE}[Install]\nWantedBy=multi-user.target\nAlso=b.service\n"
    other = {"b_service": f"{SERVICE}[Install]\nWantedBy=multi-user.target\n"} if together else {}
    _, problems = convert(a_service=one, **other)

    assert len(problems) == (not together)

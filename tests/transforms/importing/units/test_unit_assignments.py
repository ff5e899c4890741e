"""An import reports the lines of a unit file that systemd would skip, or that a document cannot hold."""

from __future__ import annotations

import pytest

from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units import unit_assignments


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[Service]\nType=simple\n[Install\nAlias=b.service\n", 3, "'[Install' is not a section header"),
        ("[Service]\nType\n", 2, "'Type' is not an assignment"),
        ("[Service]\n=simple\n", 2, "'=simple' is not an assignment"),
        ("Type=simple\n[Service]\n", 1, "'Type=simple' is above the first section"),
        ("[Socket]\nListenStream=80\n", 2, "a service has no section [Socket]"),
        ("[Service]\nTyp=simple\n", 2, "no version of systemd knows Typ= in [Service]"),
        ("[Service]\n# a comment\nTy!pe=x\n", 3, "[Service] Ty!pe= is not the name of a setting"),
    ],
    ids=["open section", "no equals sign", "no key", "no section", "section of another type", "unknown key", "bad key"],
)
def test_a_line_that_cannot_be_converted_is_reported_with_its_place(text: str, line: int, what: str) -> None:
    draft = DocumentDraft()

    assignments = unit_assignments.read("a.service", InputFile(path="a.service", data=text.encode()), draft)

    (problem,) = draft.problems
    assert (problem.where.path, problem.where.line) == ("a.service", line)
    assert problem.what.startswith(what)
    assert problem.hint
    assert [one.value for one in assignments] == (["simple"] if text.startswith("[Service]\nType=") else [])

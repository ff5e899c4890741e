"""A set of documents has a budget: beyond it, the set is refused with a place, whatever a memo remembers."""

from __future__ import annotations

import pytest

from ordain.transforms import set_budget
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.machine_catalog import read_documents
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.memo import Memo
from ordain.transforms.set_budget import Spent

FACTS = facts_for("debian-12")
HEAD = b"ordain: v1\nkind: Layer\nname: n%d\n"


@pytest.fixture(autouse=True)
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Spent(bytes=20_000, values=2_000, steps=4_000)
    monkeypatch.setattr(set_budget, "_LIMITS", limits)


def refusal(files: list[tuple[str, bytes]], memo: Memo) -> Problem:
    """Return the problem for which the files are refused."""
    with pytest.raises(Refused) as refused, set_budget.one_set():
        compile(read_documents(files, memo)[0], FACTS, shipped=shipped(), memo=memo)
    (problem,) = refused.value.problems
    return problem


def values(number: int) -> tuple[str, bytes]:
    rows = b"".join(b"  k%d: [1,2,3,4,5,6,7,8,9]\n" % row for row in range(30))
    return f"{number}.yaml", HEAD % number + b"values:\n" + rows


def templates(number: int, count: int = 1) -> tuple[str, bytes]:
    loop = b"{% for i in range(900) %}{% endfor %}"
    rows = (
        b"  t%d-%d: {command: /bin/a, description: {template: '%s'}}\n" % (number, row, loop) for row in range(count)
    )
    return f"{number}.yaml", HEAD % number + b"services:\n" + b"".join(rows)


def test_a_set_of_too_many_bytes_is_refused_at_the_file_that_is_too_much() -> None:
    problem = refusal([(f"{n}.yaml", HEAD % n + b"#" * 4_900) for n in range(9)], Memo())

    assert (problem.where.path, problem.code) == ("4.yaml", "Budget")
    assert "more than 20,000 bytes" in problem.what


def test_a_set_of_too_many_values_is_refused_at_the_file_that_is_too_much() -> None:
    problem = refusal([values(n) for n in range(9)], Memo())

    assert (problem.where.path, problem.code) == ("6.yaml", "Budget")
    assert "more than 2,000 values" in problem.what


def test_a_set_whose_templates_take_too_many_steps_is_refused_at_the_template_that_is_too_much() -> None:
    problem = refusal([templates(n, 3) for n in range(3)], Memo())

    assert (problem.where.path, problem.where.line, problem.where.pointer) == ("1.yaml", 6, "services/t1-1")
    assert "more than 4,000 steps of templates" in problem.what


@pytest.mark.parametrize("make", [values, templates])
def test_a_memo_does_not_enlarge_the_budget(make: object) -> None:
    memo, files = Memo(), [make(n) for n in range(4)]  # type: ignore[operator]
    with set_budget.one_set():
        compile(read_documents(files, memo)[0], FACTS, shipped=shipped(), memo=memo)

    files += [make(n) for n in range(4, 9)]  # type: ignore[operator]

    assert refusal(files, memo) == refusal(files, Memo())


def test_a_slice_of_a_long_text_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_budget, "_LIMITS", Spent(bytes=1 << 20, values=2_000, steps=1 << 20))
    text = b"{% for i in range(60000) %}{% set q = values.s[::-1] %}{% endfor %}"
    document = HEAD % 1 + b"values: {s: '%s'}\nservices: {a: {command: /a, description: {template: \"%s\"}}}\n"
    documents, _ = read_documents([("a.yaml", document % (b"x" * 60_000, text))])

    problems = compile(documents, FACTS, shipped=shipped()).problems

    assert ["too many steps" in problem.what for problem in problems if problem.code == "Template"] == [True]

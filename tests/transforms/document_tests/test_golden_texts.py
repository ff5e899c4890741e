"""Golden texts: the files of a machine as one text, and its differences from an earlier one."""

from __future__ import annotations

import pytest

from ordain.transforms.artifacts import Artifact, RegularFile, SymbolicLink
from ordain.transforms.document_tests.golden_texts import LONGEST, SHOWN, GoldenDifference, differences, golden_text


def file(path: str, content: str, mode: int = 0o644) -> Artifact:
    return RegularFile(path=path, item="files/x", content=content, mode=mode)


OLD = (file("/etc/a", "one\ntwo\nthree\n"), file("/etc/b", "b\n"), SymbolicLink(path="/etc/c", item="", target="/x"))


def changes(*new: Artifact) -> list[tuple[int, str]]:
    return [(d.line, d.what) for d in differences(golden_text(OLD), new)]


def test_the_text_is_that_of_render_without_the_comments_of_causes() -> None:
    content = "# Made by Ordain from documents; changes to this file are lost.\n# web.yaml:3 web files/x\na\n# mine\n"
    assert golden_text([file("/etc/a", content)]) == "=== /etc/a 0644\na\n# mine\n"


def test_the_same_files_do_not_differ() -> None:
    assert changes(*OLD) == []
    assert golden_text(()) == ""
    assert differences("", ()) == ()


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ((file("/etc/a", "one\n2\nthree\n"), *OLD[1:]), [(3, "/etc/a: expected 'two', found '2'")]),
        ((file("/etc/a", "one\nthree\n"), *OLD[1:]), [(3, "/etc/a: 'two' is missing")]),
        ((file("/etc/a", "one\ntwo\nx\ny\nthree\n"), *OLD[1:]), [(4, "/etc/a: 'x' and 1 more is new")]),
        (
            (file("/etc/a", "one\ntwo\nthree\n", 0o600), *OLD[1:]),
            [(1, "/etc/a: expected '=== /etc/a 0644', found '=== /etc/a 0600'")],
        ),
        (
            (*OLD[:2], SymbolicLink(path="/etc/c", item="", target="/y")),
            [(7, "/etc/c: expected '=== /etc/c -> /x', found '=== /etc/c -> /y'")],
        ),
        (OLD[1:], [(1, "/etc/a is not placed")]),
        ((*OLD, file("/etc/d", "d")), [(8, "/etc/d is placed, and the golden text does not have it")]),
    ],
)
def test_each_difference_has_its_line_in_the_golden_text(
    new: tuple[Artifact, ...], expected: list[tuple[int, str]]
) -> None:
    assert changes(*new) == expected


def test_a_difference_names_its_cause() -> None:
    new = file("/etc/b", "# web.yaml:3 web files/x\nc\n")
    assert differences(golden_text(OLD[:2]), (OLD[0], new)) == (
        GoldenDifference(line=6, what="/etc/b: expected 'b', found 'c'", cause="web.yaml:3"),
    )


def test_many_differences_are_counted() -> None:
    old = [file(f"/etc/{i:02}", "old") for i in range(SHOWN + 5)]
    new = [file(f"/etc/{i:02}", "new") for i in range(SHOWN + 5)]
    listed = differences(golden_text(old), new)
    assert len(listed) == SHOWN + 1
    assert listed[-1].what == "5 more lines or groups of lines differ"


@pytest.mark.parametrize(("cut", "what"), [(LONGEST + 4, "is missing"), (3, "expected")])
def test_of_a_long_file_the_first_difference_is_found(cut: int, what: str) -> None:
    lines = [str(i) for i in range(LONGEST + 5)]
    changed = lines[:cut] if what == "is missing" else [*lines[:cut], "x", *lines[cut + 1 :]]
    (difference,) = differences(golden_text([file("/etc/a", "\n".join(lines))]), [file("/etc/a", "\n".join(changed))])
    assert (difference.line, what in difference.what) == (cut + 2, True)

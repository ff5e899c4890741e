"""Golden texts: all files of a machine as one text, and its differences from the text of an earlier run.

The text is that of `ordainctl render` without the comments that name causes, because those change whenever a line moves
in a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ordain.transforms.artifact_text import as_text
from ordain.transforms.artifacts import Artifact
from ordain.transforms.render.cause_comments import is_written_comment, lines_with_causes

FOLDER = "golden"
HEAD = "=== "
LONGEST = 2000
"""The lines of a file up to which all differences are found; that takes the square of the lines."""
SHOWN = 10
"""The differences of one machine that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenDifference:
    """A difference from a golden text: its line there, counted from 1, a sentence, and the cause, "" if unknown."""

    line: int
    what: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    number: int
    cause: str = ""


def golden_path(test: str, system: str) -> str:
    """Return the path of a golden text below the folder of the tests."""
    return f"{FOLDER}/{test}/{system}.txt"


def golden_text(artifacts: Iterable[Artifact]) -> str:
    """Return the text that is compared, and that ``--update`` writes."""
    return "".join(f"{line.text}\n" for line in _actual_lines(artifacts))


def differences(golden: str, artifacts: Iterable[Artifact]) -> tuple[GoldenDifference, ...]:
    """Return the differences of the files of a machine from a golden text, by line there; at most `SHOWN` and one."""
    expected = [_Line(text, number) for number, text in enumerate(golden.splitlines(), 1)]
    listed = list(_differences(_by_file(expected), _by_file(_actual_lines(artifacts)), len(expected)))
    listed.sort(key=lambda difference: difference.line)
    if len(listed) > SHOWN:
        rest = GoldenDifference(
            line=listed[SHOWN].line, what=f"{len(listed) - SHOWN:,} more lines or groups of lines differ"
        )
        return (*listed[:SHOWN], rest)
    return tuple(listed)


def _actual_lines(artifacts: Iterable[Artifact]) -> list[_Line]:
    lines = [
        _Line(text, 0, f"{cause.path}:{cause.line}" if cause else "")
        for text, cause in lines_with_causes(as_text(artifacts).removesuffix("\n"))
        if not is_written_comment(text)
    ]
    return [line for line in lines if line.text or len(lines) > 1]


def _by_file(lines: Iterable[_Line]) -> Mapping[str, list[_Line]]:
    """Return the lines of each file by its path. The first line of a file has its mode or its target."""
    files: dict[str, list[_Line]] = {}
    current: list[_Line] = files.setdefault("", [])
    for line in lines:
        if line.text.startswith(HEAD):
            path = line.text.removeprefix(HEAD).partition(" ")[0]
            current = files.setdefault(path, [])
        current.append(line)
    return files


def _differences(
    expected: Mapping[str, Sequence[_Line]], actual: Mapping[str, Sequence[_Line]], end: int
) -> Iterator[GoldenDifference]:
    for path, old in expected.items():
        new = actual.get(path, ())
        if old and not new and path:
            yield GoldenDifference(line=old[0].number, what=f"{path} is not placed")
        else:
            yield from _in_file(path, old, new, end)
    for path, new in actual.items():
        if path not in expected:
            cause = next((line.cause for line in new if line.cause), "")
            yield GoldenDifference(
                line=end + 1, what=f"{path} is placed, and the golden text does not have it", cause=cause
            )


def _in_file(path: str, old: Sequence[_Line], new: Sequence[_Line], end: int) -> Iterator[GoldenDifference]:
    before, after = [line.text for line in old], [line.text for line in new]
    if before == after:
        return
    for i, i_end, j, j_end in _changes(before, after):
        line = old[i].number if i < len(old) else old[-1].number if old else end
        cause = next((line.cause for line in new[j:j_end] if line.cause), "")
        name = path or "a line before the first file"
        yield GoldenDifference(line=line, what=f"{name}: {_change(before[i:i_end], after[j:j_end])}", cause=cause)


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    if max(len(before), len(after)) > LONGEST:
        same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
        first = min(len(before), len(after)) if same is None else same
        yield first, first + 1, first, first + 1
        return
    for tag, i, i_end, j, j_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield i, i_end, j, j_end


def _change(before: Sequence[str], after: Sequence[str]) -> str:
    if not after:
        return f"{_quoted(before)} is missing"
    if not before:
        return f"{_quoted(after)} is new"
    return f"expected {_quoted(before)}, found {_quoted(after)}"


def _quoted(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"{lines[0]!r}{more}"

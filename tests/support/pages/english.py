"""Marks of English that a reader has to read twice, in docs, messages, docstrings, comments and names of tests.

`PYTHONPATH=tests python3 -m support.pages.english [PATH…]` lists them as ``file:line: mark: text``. The style sheet
is in HACKING.md.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.pages.syntax_nodes import nodes_of

TREE = Path(__file__).parents[3]
PLACES = (
    *(
        "README.md",
        "HACKING.md",
        "NEWS.md",
        "SECURITY.md",
        "docs",
        "agent",
        "generator",
        "transforms",
        "tests",
        "bench",
    ),
    *("units", "examples", "packaging", "Makefile"),
)
OTHERS_WORDS = (
    "tests/golden",
    "tests/imports",
    "tests/cases",
    "docs/reference/sections",
    "docs/reference/documents.md",
    "docs/man/ordain-document.5.rst",
    "packaging/typing",
    "packaging/debian/copyright",
)
"""Made from what is checked elsewhere, or the words of other projects."""

MARKS: dict[str, str] = {
    "a headless clause": r"(?:^|(?<=[.;:!] ))(?:What|Whether|Who|How|Why|Where|Which|Of what|Of which)\b(?![^.?]*\?)",
    "is no X (is not a X, there is no X, invalid X)": (
        r"(?<!\b[Tt]here )\b(?:is|are|was|were) no (?!longer\b|more than\b|less than\b|one\b)"
    ),
    "gone by (takes effect, applies)": r"\b(?:gone|goes|go|went) by (?!default\b)",
    "by hand, a hand (an administrator)": r"\bby hand\b|\b(?:a|the|no|whose|admin's|administrator's) hands?\b",
    "told of (reported, names)": r"\b(?:is|are|was|were|be) told of\b",
    "stands (is)": r"\bstands\b(?! for\b)",
    "not there (not found, missing)": r"\b(?:is|are|was|were) not there\b|\bthat is there\b|\bwhat is there\b",
    "real (takes effect)": r"\b(?:is|are|becomes?|made|makes? \w+|it) real\b(?! \w)|\breal at the next\b",
    "go back (roll back)": r"\b(?:goes|go|went|gone|going|way|takes?|taken|took) back\b",
    "in vain (without success)": r"\bin vain\b",
    "admin (administrator)": r"(?<!\bserver )\badmins?\b(?!_|-group)",  # words of CouchDB and of the database
    "a label of purity (the package says it)": r"; (?:pure|effect|effects)\.",
    "what X comes to (what X results in)": r"\bcomes? to\b(?! (?:an end|mind))",
    "a clause for a noun (name the thing)": (
        r"\b(?:of|for|with|by|than|from|on) (?:what|who|whom) (?:is|are|was|were|it|they|has|have|does|no)\b"
    ),
}
_MARKS = {name: re.compile(pattern) for name, pattern in MARKS.items()}
EMPTY_NAMES = frozenset("each found it res stuff that them there these thing things this those tmp".split())
"""Names of variables that hold something, but do not say what it is."""
CODE = ("agent", "generator", "transforms")
_NAMES = re.compile(
    r"^test_(?:what|who|whose|why|where|whether)_|_is_no_(?!longer)|_by_hand|_gone_by|_told_of|_not_there|_stands_|_in_vain"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A phrase to write again."""

    path: Path
    line: int
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.mark}: {self.text}"


def marks_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each mark in ``text``, with the words around it."""
    text = " ".join(re.sub(r"``[^`]*``|`[^`]*`", "X", text).split())
    for name, pattern in _MARKS.items():
        for match in pattern.finditer(text):
            yield name, text[max(0, match.start() - 30) : match.end() + 40]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a person reads in the file, by paragraph, with its line."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py" or (source.startswith("#!") and "python" in source.partition("\n")[0]):
        yield from _python(source)
    elif path.suffix in {".md", ".rst"}:
        yield from _prose(source)
    else:
        yield from _comments_of_lines(source)


def _python(source: str) -> Iterator[tuple[int, str]]:
    for node in nodes_of(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _NAMES.search(node.name):
            yield node.lineno, f"What {node.name}"
    comment: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            first = first if comment else token.start[0]
            comment.append(token.string.lstrip("# "))
        elif token.type not in {tokenize.NL, tokenize.NEWLINE} and comment:
            yield first, " ".join(comment)
            comment = []


def _prose(source: str) -> Iterator[tuple[int, str]]:
    paragraph: list[str] = []
    first, code = 0, False
    for number, line in enumerate([*source.split("\n"), ""], 1):
        if line.startswith("```"):
            code = not code
        if line.strip() and not code and not line.startswith(("    ", "```", "\t", ".. ", "<!--")):
            first = first if paragraph else number
            if line.startswith(("|", "* ", "- ", "#")) and paragraph:
                yield first, " ".join(paragraph)
                paragraph, first = [], number
            paragraph.append(line.strip().lstrip("#*|- "))
        elif paragraph:
            yield first, " ".join(paragraph)
            paragraph = []


def _comments_of_lines(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.split("\n"), 1):
        if match := re.search(r"(?:^|\s)#+ (.*)|^(?:Description|ExecStart)=(.*)|echo '(.*)'", line):
            yield number, next(group for group in match.groups() if group is not None)


def marks(paths: list[Path]) -> Iterator[Mark]:
    """Yield every mark in the files at or below ``paths``."""
    for top in paths:
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            own = path.resolve().relative_to(TREE).as_posix()
            hidden = any(part.startswith((".", "__pycache__")) or part.endswith(".egg-info") for part in path.parts)
            if not path.is_file() or path.is_symlink() or hidden or own.startswith(OTHERS_WORDS):
                continue
            if own == Path(__file__).resolve().relative_to(TREE).as_posix():
                continue
            try:
                for line, text in texts(path):
                    yield from (Mark(Path(own), line, name, words) for name, words in marks_in(text))
            except (UnicodeDecodeError, SyntaxError):
                continue


def empty_names(top: Path) -> Iterator[Mark]:
    """Yield each variable and parameter in the modules below ``top`` with one of `EMPTY_NAMES`."""
    for path in sorted(top.rglob("*.py")):
        for node in nodes_of(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg) and node.arg in EMPTY_NAMES:
                yield Mark(path.relative_to(TREE), node.lineno, "a name that says nothing", node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in EMPTY_NAMES:
                yield Mark(path.relative_to(TREE), node.lineno, "a name that says nothing", node.id)


if __name__ == "__main__":
    left = list(
        marks([Path(arg) for arg in sys.argv[1:]] or [TREE / place for place in PLACES if (TREE / place).exists()])
    )
    print(*left, sep="\n")
    print(f"{len(left)} marks")

"""The table of codes has every code that the source can emit, and no other."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.agent.apply.room import NoRoom
from ordain.agent.cli.manual.codes import CODES, GROUPS, STATES
from ordain.agent.delivery.protocol import SourceFault
from ordain.agent.errors import Failure
from ordain.agent.state.holds import UnreadableHolds
from ordain.agent.status import AgentState
from ordain.agent.system.dbus.bus import BusError
from ordain.transforms.machine.rootfs import UnsafeFile
from support.pages.syntax_nodes import nodes_of

TREE = Path(__file__).parents[4]
CODE = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
_KINDS = (Failure, BusError, NoRoom, UnreadableHolds, UnsafeFile, *Failure.__subclasses__())
OPERATIONS = {kind.__name__ for kind in _KINDS} - {"LockedKey"}
"""The agent names a failed operation after its exception; LockedKey is raised in ordainctl only."""
pytestmark = pytest.mark.skipif(not (TREE / "pyproject.toml").exists(), reason="needs the source tree")


class Source:
    """The syntax trees of the three parts, with their constants and the position of every parameter ``code``."""

    def __init__(self) -> None:
        paths = [path for part in ("agent", "transforms", "generator") for path in (TREE / part).rglob("*.py")]
        self.trees = [ast.parse(path.read_bytes()) for path in paths]
        self.constants: dict[str, list[ast.expr]] = defaultdict(list)
        self.positions: dict[str, set[int]] = defaultdict(set)
        for tree in self.trees:
            for node in nodes_of(tree):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self.constants[node.targets[0].id].append(node.value)
                elif isinstance(node, ast.ClassDef):
                    for method in node.body:
                        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                            self._parameter(node.name, method)
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._parameter(node.name, node)

    def _parameter(self, name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        names = [argument.arg for argument in function.args.args]
        if "code" in names:
            self.positions[name].add(names.index("code") - (names[0] in {"self", "cls"}))

    def codes(self) -> set[str]:
        """Return every text that is passed or assigned as a ``code``, or is the default of a parameter ``code``."""
        expressions = [code for tree in self.trees for node in nodes_of(tree) for code in self._expressions(node)]
        return {text for code in expressions for text in self._texts(code) if CODE.fullmatch(text)}

    def _expressions(self, node: ast.AST) -> Iterator[ast.expr]:
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
                yield from (node.args[i] for i in self.positions[name] if i < len(node.args))
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.expr() as value):
                yield value
            case ast.arguments():
                names = [argument.arg for argument in (*node.args, *node.kwonlyargs)]
                defaults = [*[None] * (len(node.args) - len(node.defaults)), *node.defaults, *node.kw_defaults]
                yield from (d for name, d in zip(names, defaults, strict=True) if name == "code" and d is not None)

    def _texts(self, expression: ast.expr) -> Iterator[str]:
        match expression:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp(body=body, orelse=orelse):
                yield from (*self._texts(body), *self._texts(orelse))
            case ast.Name(id=name) if name.isupper():
                yield from (text for value in self.constants[name] for text in self._texts(value))


@functools.cache
def codes_in_source() -> frozenset[str]:
    return frozenset(Source().codes())


def test_every_code_in_the_source_has_a_meaning_and_a_remedy() -> None:
    codes = codes_in_source()

    assert len(codes) > 60
    assert (codes | set(SourceFault)) - set(CODES) == set()


def test_every_code_in_the_table_is_in_the_source() -> None:
    known = codes_in_source() | set(SourceFault) | OPERATIONS | {"OSError"}

    assert set(CODES) - known == set()


def test_every_operation_that_can_fail_is_in_the_table() -> None:
    assert set(CODES) >= OPERATIONS


def test_every_state_is_in_the_table() -> None:
    assert set(STATES) == set(AgentState)


def test_a_code_is_in_one_group_and_its_texts_are_sentences() -> None:
    rows = [(code, text) for group in GROUPS for code, texts in group.codes.items() for text in texts]

    assert len(rows) == 2 * len(CODES)
    assert [code for code, text in rows if not text.endswith(".")] == []
    assert [page for group in GROUPS for code, page in group.pages.items() if code not in group.codes] == []

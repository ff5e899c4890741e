"""Documents are compiled only once, as long as neither they nor the machine change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import CompileCache
from ordain.agent.compile.compiler import compile_texts
from ordain.agent.compile.executor import run_inline
from ordain.agent.model import Generation

TEXT = b"ordain: v1\nkind: Layer\nname: base\nservices: {web: {command: [/usr/bin/sleep, infinity]}}\n"
UNIT = "[Service]\nExecStart=/usr/bin/true\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    return tmp_path


def test_the_same_documents_on_the_same_machine_are_not_compiled_again(root: Path) -> None:
    compiler = CompileCache(root, run_inline)
    first, problems = compiler.compile([("/a.yaml", TEXT)], Generation())

    again, repeated = compiler.compile([("/a.yaml", TEXT)], first)

    assert again is first
    assert repeated == problems
    assert first == compile_texts([("/a.yaml", TEXT)], root, Generation())[0]


def _install(root: Path) -> None:
    (root / "usr/lib/systemd/system/web.service").write_text(UNIT)


def _upgrade(root: Path) -> None:
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=14\n")


def _transform(root: Path) -> None:
    (root / "etc/ordain/transforms").mkdir(parents=True)
    (root / "etc/ordain/transforms/own.yaml").write_text("ordain: v1\nkind: Transform\nname: own\n")


@pytest.mark.parametrize("change", [_install, _upgrade, _transform])
def test_a_change_of_the_machine_compiles_the_documents_again(root: Path, change: Callable[[Path], None]) -> None:
    compiler = CompileCache(root, run_inline)
    first, _ = compiler.compile([("/a.yaml", TEXT)], Generation())

    change(root)
    again, _ = compiler.compile([("/a.yaml", TEXT)], first)

    assert again is not first


def test_the_result_does_not_depend_on_earlier_compiles(root: Path) -> None:
    compiler = CompileCache(root, run_inline)
    other = TEXT.replace(b"web", b"db")
    first, _ = compiler.compile([("/a.yaml", TEXT)], Generation())
    second, _ = compiler.compile([("/a.yaml", other)], first)

    back, _ = compiler.compile([("/a.yaml", TEXT)], second)

    assert (second.hash, back.hash) == (
        compile_texts([("/a.yaml", other)], root, first)[0].hash,
        compile_texts([("/a.yaml", TEXT)], root, second)[0].hash,
    )

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


def test_a_kept_result_serves_the_next_call_and_no_other(root: Path) -> None:
    called: list[str] = []

    def counting(function: str, /, *arguments: object) -> object:
        called.append(function)
        return run_inline(function, *arguments)

    compiler = CompileCache(root, counting)
    first, problems = compiler.compile([("/a.yaml", TEXT)], Generation(), keep=True)

    assert compiler.compile([("/a.yaml", TEXT)], Generation()) == (first, problems)
    assert len(called) == 1

    compiler.compile([("/a.yaml", TEXT)], Generation())
    assert len(called) == 2


@pytest.mark.parametrize("other", [TEXT.replace(b"web", b"db"), TEXT + b"# a comment\n"])
def test_a_kept_result_is_not_that_of_other_documents(root: Path, other: bytes) -> None:
    compiler = CompileCache(root, run_inline)
    compiler.compile([("/a.yaml", TEXT)], Generation(), keep=True)

    new, _ = compiler.compile([("/a.yaml", other)], Generation())

    assert new == compile_texts([("/a.yaml", other)], root, Generation())[0]


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


@pytest.mark.parametrize(("match", "again_compiled"), [(b"{cpus: '>=2'}", True), (b"{arch: x86-64}", False)])
def test_a_changed_fact_compiles_only_documents_that_use_it(root: Path, match: bytes, again_compiled: bool) -> None:
    present = root / "sys/devices/system/cpu/present"
    present.parent.mkdir(parents=True)
    present.write_text("0-1\n")
    compiler = CompileCache(root, run_inline)
    texts = [("/a.yaml", TEXT), ("/b.yaml", TEXT.replace(b"base", b"b").replace(b"web", b"b") + b"match: " + match)]
    first, _ = compiler.compile(texts, Generation())
    digest = compiler.machine_digest()

    present.write_text("0\n")
    again, _ = compiler.compile(texts, first)

    assert (again is not first) is again_compiled
    assert (compiler.machine_digest() != digest) is again_compiled


def test_a_template_gets_a_fact_as_a_number(root: Path) -> None:
    (root / "sys/devices/system/cpu").mkdir(parents=True)
    (root / "sys/devices/system/cpu/present").write_text("0-7\n")
    text = TEXT + b"files: {/etc/w.conf: {content: {template: 'workers {{ facts.cpus // 2 }}'}}}\n"

    made, _ = compile_texts([("/a.yaml", text)], root, Generation())

    assert [a.content for a in made.artifacts if a.path == "/etc/w.conf"] == ["workers 4"]  # type: ignore[union-attr]

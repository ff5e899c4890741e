"""Tests that documents must pass before a store or a release has them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.agent.cli.main import main

TREE = Path(__file__).parents[4]
PAGE = (TREE / "docs/howto/test-documents.md").read_text()
LAYER, TEST = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
WRONG = LAYER.replace("1G", "2G")
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs ordainctl beside the documents of the how-to page and an empty store."""
    monkeypatch.chdir(tmp_path)
    Path("documents/tests").mkdir(parents=True)
    Path("store").mkdir()
    Path("documents/web.yaml").write_text(LAYER)
    Path("documents/tests/web.yaml").write_text(TEST)

    def run(line: str, status: int = 0) -> str:
        words = shlex.split(line.replace("/srv/store", str(tmp_path / "store")))[1:]
        assert main(words, root=tmp_path / "root") == status, capsys.readouterr()
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


def stored(run: Run) -> list[str]:
    return [document["name"] for document in json.loads(run("ordainctl documents list --json --store /srv/store"))]


def test_the_commands_of_the_page_write_documents_that_pass(run: Run) -> None:
    lines = re.findall(r"^    (ordainctl (?:store|documents) .*)$", PAGE, re.MULTILINE)
    assert len(lines) == 2
    assert run(lines[0]) == "changes need no reason\ndocuments must pass tests\n"
    assert run(lines[1]) == "layer/web: new\n"


def test_documents_that_fail_are_not_written(run: Run) -> None:
    run("ordainctl store policy --tests required --store /srv/store")
    Path("documents/web.yaml").write_text(WRONG)
    said = run("ordainctl documents put documents --store /srv/store", status=1)
    assert "documents/tests/web.yaml:9:15: the unit web.service does not contain 'MemoryMax=1G'" in said
    assert "documents/tests: 2 of 2 tests failed; nothing was written" in said
    assert stored(run) == []


def test_the_tests_judge_all_documents_as_they_would_be(run: Run) -> None:
    run("ordainctl documents put documents --store /srv/store")
    run("ordainctl store policy --tests required --store /srv/store")
    Path("site.yaml").write_text(
        "ordain: v1\nkind: Layer\nname: more\ntier: site\nservices: {web: {limits: {memory: 3G}}}\n"
    )
    said = run("ordainctl documents put site.yaml --tests documents/tests --store /srv/store", status=1)
    assert "but 'MemoryMax=3G'; the cause is at site.yaml:5" in said
    assert "2 of 2 tests failed" in run(
        "ordainctl documents delete web --tests documents/tests --store /srv/store", status=1
    )
    assert stored(run) == ["web"]


@pytest.mark.parametrize("command", ["put site.yaml", "delete web"])
def test_a_change_without_tests_is_refused_if_the_policy_demands_them(run: Run, command: str) -> None:
    run("ordainctl documents put documents --store /srv/store")
    run("ordainctl store policy --tests required --store /srv/store")
    Path("site.yaml").write_text("ordain: v1\nkind: Layer\nname: more\n")
    said = run(f"ordainctl documents {command} --store /srv/store", status=1)
    assert "store accepts only documents that pass tests; name the folder of the tests with --tests DIR" in said
    assert stored(run) == ["web"]


def test_the_rules_of_a_policy_are_set_one_by_one(run: Run) -> None:
    run("ordainctl store policy required --store /srv/store")
    run("ordainctl store policy --tests required --why audit --store /srv/store")
    run("ordainctl store policy optional --why audit --store /srv/store")
    assert json.loads(run("ordainctl store policy --json --store /srv/store")) == {
        "why": "optional",
        "tests": "required",
    }


def test_tests_are_run_for_the_directory_of_a_machine_only_when_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "root/etc/ordain/documents").mkdir(parents=True)
    Path("documents/web.yaml").write_text(WRONG)
    put = "ordainctl documents put documents/web.yaml"
    assert "2 of 2 tests failed" in run(f"{put} --tests documents/tests", status=1)
    assert run(put) == "layer/web: new\n"


def test_a_release_is_made_and_published_only_if_its_documents_pass(run: Run) -> None:
    create = "ordainctl release create documents --tests documents/tests --number 1 --output one.json"
    run(create)
    run("ordainctl store policy --tests required --store /srv/store")
    run("ordainctl release publish one.json documents --store /srv/store")

    Path("documents/web.yaml").write_text(WRONG)
    assert "2 of 2 tests failed; nothing was written" in run(create.replace("one", "two"), status=1)
    assert not Path("two.json").exists()
    run("ordainctl release create documents --number 2 --output two.json")
    assert "2 of 2 tests failed" in run("ordainctl release publish two.json documents --store /srv/store", status=1)
    assert [release["number"] for release in json.loads(run("ordainctl release list --json --store /srv/store"))] == [1]

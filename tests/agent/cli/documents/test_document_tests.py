"""ordainctl test: Test documents against documents, on any system."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from ordain.agent.cli.main import main
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.transforms.document.reader import read

TREE = Path(__file__).parents[4]
PAGE = (TREE / "docs/howto/test-documents.md").read_text()
LAYER, TEST = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
HEAD = "ordain: v1\nkind: Test\nname: t\nsystems: debian-13\nlabels: {role: web}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which has the documents of the how-to page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents/tests").mkdir(parents=True)
    (tmp_path / "documents/web.yaml").write_text(LAYER)
    (tmp_path / "documents/tests/web.yaml").write_text(TEST)
    return tmp_path


def test_commands_of_the_page_and_of_the_help_succeed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"^    (ordainctl .*)$", PAGE, re.MULTILINE)
    assert len(shown) == 2
    for line in (*shown, *(words for words, _ in COMMANDS["test"].examples)):
        assert main(shlex.split(line)[1:]) == 0, line
        assert capsys.readouterr().out == "2 tests: 0 failed; 100 % of the layers were tested\n"


def test_the_failure_on_the_page_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/web.yaml").write_text(LAYER.replace("1G", "2G"))
    assert main(["test", "documents/"]) == 1
    out = capsys.readouterr().out
    assert " ".join(out.splitlines()[0].split()) in " ".join(PAGE.split())
    assert "2 tests: 2 failed" in out


@pytest.mark.parametrize(
    ("expectation", "failure"),
    [
        ("layers: base", "6:9: the layer base does not match; `ordainctl match` says why"),
        ("other-layers: [web]", "6:16: the layer web matches; `ordainctl match` says why"),
        ("units: {no.service: {contains: a}}", "6:9: the unit no.service is not placed"),
        (
            "units: {web.service: {state: absent}}",
            "6:9: the unit web.service is placed; the cause is at documents/web.yaml:6",
        ),
        (
            "units: {web.service: {contains: [MemoryMax=1G, MemoryMax=1]}}",
            "6:48: the unit web.service does not contain 'MemoryMax=1', but 'MemoryMax=1G'; "
            "the cause is at documents/web.yaml:6",
        ),
        (
            "units: {web.service: {lacks: MemoryMax=1G}}",
            "6:30: the unit web.service contains 'MemoryMax=1G'; the cause is at documents/web.yaml:6",
        ),
        ("files: {/etc/x: {contains: a}}", "6:9: the file /etc/x is not placed"),
        ("problems: NotInstalled", "6:11: there is no problem with the code NotInstalled"),
    ],
)
def test_a_failure_names_the_expectation_and_the_cause(
    folder: Path, capsys: pytest.CaptureFixture[str], expectation: str, failure: str
) -> None:
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}{expectation}\n")
    assert main(["test", "documents"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"t on debian-13: documents/tests/web.yaml:{failure}"


def test_a_blocked_item_fails_unless_the_test_names_its_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/web.yaml").write_text(
        LAYER.replace("/usr/bin/web", "[/bin/echo, {template: '{{ nothing }}'}]")
    )
    (folder / "documents/tests/web.yaml").write_text(HEAD)
    assert main(["test", "documents"]) == 1
    line = capsys.readouterr().out.splitlines()[0]
    code = re.search(r"\[(\w+)\]; the cause is at documents/web\.yaml:6", line)
    assert code, line
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}problems: {code[1]}\n")
    assert main(["test", "documents"]) == 0


def test_a_layer_that_no_test_matches_is_listed_and_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/suse.yaml").write_text("ordain: v1\nkind: Layer\nname: suse\nmatch: {os: suse}\n")
    assert main(["test", "--min-coverage", "50", "documents"]) == 0
    assert "documents/suse.yaml:1:1: no test matches the Layer suse\n" in capsys.readouterr().out
    assert main(["test", "--min-coverage", "51", "documents"]) == 1
    assert "50 % of the layers were tested, less than 51 %; add tests" in capsys.readouterr().err
    assert main(["test", "--min-coverage", "101", "documents"]) == 2


def test_results_are_written_as_junit_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/tests/web.yaml").write_text(f'{HEAD}units: {{web.service: {{contains: "a\\x07<"}}}}\n')
    assert main(["test", "--junit", "out.xml", "--json", "documents"]) == 1
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert [(f["path"], f["line"]) for f in case["failures"]] == [("documents/tests/web.yaml", 6)]
    suite = ElementTree.parse(folder / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "the unit web.service does not contain" in str(failure.text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD.replace("systems", "system"), "system"),
        (HEAD.replace("debian-13", "debian-1x"), 'unknown system "debian-1x"'),
        (HEAD.replace("debian-13", "[]"), "the test names no system, so it tests nothing"),
        (f"{HEAD}node: web-9\n", "node: there is no Node document called 'web-9'"),
        (LAYER, "kind"),
    ],
)
def test_a_wrong_test_is_refused_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    (folder / "documents/tests/web.yaml").write_text(text)
    assert main(["test", "documents"]) == 1
    err = capsys.readouterr().err
    assert "documents/tests/web.yaml:" in err
    assert problem in err


def test_a_folder_without_tests_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/tests/web.yaml").unlink()
    assert main(["test", "documents"]) == 1
    assert "documents/tests: there is no test" in capsys.readouterr().err


def test_a_transform_of_the_site_is_tested(folder: Path) -> None:
    transform = "ordain: v1\nkind: Transform\nname: site\nservices: {shop: {unit: shop-server.service}}\n"
    (folder / "documents/transform.yaml").write_text(transform)
    (folder / "documents/web.yaml").write_text(
        "ordain: v1\nkind: Layer\nname: w\nservices: {shop: {restart: always}}\n"
    )
    (folder / "documents/tests/web.yaml").write_text(
        f"{HEAD}units: {{shop-server.service: {{contains: Restart=always}}}}\n"
    )
    assert main(["test", "documents"]) == 0


def test_a_test_among_the_documents_of_a_machine_is_named() -> None:
    documents, (problem,) = read("t.yaml", HEAD.encode())
    assert documents == ()
    assert problem.what == "a Test among documents for machines"


def test_machines_and_stores_leave_the_folder_of_tests_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = asyncio.run(DirectorySource(folder / "documents").read())
    assert [Path(path).name for path, _ in snapshot.texts] == ["web.yaml"]

    (folder / "store").mkdir()
    assert main(["documents", "put", "--store", str(folder / "store"), "documents"]) == 0
    assert capsys.readouterr().out == "layer/web: new\n"


def test_the_example_passes() -> None:
    assert main(["test", str(TREE / "examples")]) == 0

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
GOLDEN = "documents/tests/golden"
PACKAGES = "ordain: v1\nkind: Layer\nname: packages\npackages: [nginx, redis]\n"
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
    shown = re.findall(r"^    (ordainctl test .*)$", PAGE, re.MULTILINE)
    assert len(shown) == 3
    for line in (*shown, *(words for words, _ in COMMANDS["test"].examples)):
        assert main([word.replace("web*", "*") for word in shlex.split(line)[1:]]) == (
            1 if "coverage" in line else 0
        ), line
        assert capsys.readouterr().out.splitlines()[-1].startswith("2 tests: 0 failed"), line


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
        (
            "packages: {nginx: absent}",
            "6:19: the package nginx is installed; the cause is at documents/packages.yaml:4:12",
        ),
        ("packages: [squid]", "6:12: the package squid is not installed"),
        (
            "packages: {redis-server: {version: 7.*, hold: true}}",
            "6:36: the package redis-server has version: any, not 7.*; the cause is at documents/packages.yaml:4:19",
        ),
        (
            "packages: {redis: {hold: true}}",
            "6:26: the package redis has hold: false, not true; the cause is at documents/packages.yaml:4:19",
        ),
        ("problems: NotInstalled", "6:11: there is no problem with the code NotInstalled"),
    ],
)
def test_a_failure_names_the_expectation_and_the_cause(
    folder: Path, capsys: pytest.CaptureFixture[str], expectation: str, failure: str
) -> None:
    (folder / "documents/packages.yaml").write_text(PACKAGES)
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}{expectation}\n")
    assert main(["test", "documents"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"t on debian-13: documents/tests/web.yaml:{failure}"


def test_a_package_is_named_as_in_the_documents_or_as_on_the_system(folder: Path) -> None:
    document = PACKAGES.replace("[nginx, redis]", "{redis: {hold: true}, nginx: {version: 1.22.*}, exim: absent}")
    (folder / "documents/packages.yaml").write_text(document)
    wanted = "{redis: {hold: true}, redis-server: present, nginx: {version: 1.22.*}, exim: absent, apache: absent}"
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}packages: {wanted}\n")
    assert main(["test", "documents"]) == 0


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


def test_parts_that_no_test_reaches_are_listed_and_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/suse.yaml").write_text("ordain: v1\nkind: Layer\nname: suse\nmatch: {os: suse}\n")
    (folder / "documents/transform.yaml").write_text(
        "ordain: v1\nkind: Transform\nname: site\nservices: {shop: {unit: shop.service}}\n"
        "network: {renderer: networkd}\n"
    )
    assert main(["test", "--min-coverage", "16", "documents"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "documents/suse.yaml:1:1: no test matches the Layer suse",
        "documents/transform.yaml:4:18: no test uses services/shop of the Transform site",
        "documents/transform.yaml:5:10: no test uses network of the Transform site",
        "documents/web.yaml:4:15: no test has a machine that does not fulfil the condition role of the Layer web",
        "2 tests: 0 failed; they reached 33 % of the documents' parts",
    ]
    assert main(["test", "--min-coverage", "34", "documents"]) == 1
    assert "the tests reached 33 % of the parts, less than 34 %; add tests" in capsys.readouterr().err
    assert main(["test", "--min-coverage", "101", "documents"]) == 2


def test_roles_and_packages_are_rows_that_a_test_can_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/transform.yaml").write_text(
        "ordain: v1\nkind: Transform\nname: site\ntier: site\n"
        "roles:\n  sale: {services: [shop], default: shop}\n  till: {services: [shop]}\n"
        "services: {shop: {unit: shop.service}}\npackages:\n  shopd: shop-daemon\n  tilld: till-daemon\n"
        "package-managers:\n  apt: {about: ours}\npackage-manager: {name: apt}\n"
    )
    rows = ("roles/sale", "roles/till", "services/shop", "packages/shopd", "packages/tilld")
    assert main(["test", "documents"]) == 0
    assert _unused_rows(capsys) == [*rows, "package-managers/apt", "package-manager"]
    (folder / "documents/sale.yaml").write_text(
        "ordain: v1\nkind: Layer\nname: sale\nservices: {sale: {state: running}}\npackages: shopd\n"
    )
    assert main(["test", "documents"]) == 0
    assert _unused_rows(capsys) == ["roles/till", "packages/tilld"]


def _unused_rows(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.findall(r"no test uses (\S+) of the Transform site", capsys.readouterr().out)


def test_a_machine_that_a_condition_keeps_out_tests_the_condition(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "documents/tests/web.yaml").open("a") as file:
        file.write("---\nordain: v1\nkind: Test\nname: db\nsystems: debian-13\nother-layers: web\n")
    assert main(["test", "--min-coverage", "100", "documents"]) == 0
    assert capsys.readouterr().out == "3 tests: 0 failed; they reached 100 % of the documents' parts\n"


def test_the_facts_of_a_machine_can_be_named(folder: Path) -> None:
    match = "{arch: arm64, root: ram, mac: '52:54:00:00:00:01', system-product-name: R640, systemd: '>=259'}"
    (folder / "documents/web.yaml").write_text(LAYER.replace("{role: web}", match))
    facts = match.replace("'>=259'", "259")
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}facts: {facts}\nlayers: web\n")
    assert main(["test", "documents"]) == 0
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}facts: {facts.replace('259', '258')}\nlayers: web\n")
    assert main(["test", "documents"]) == 1


def test_golden_texts_are_written_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/tests/web.yaml").write_text(f"{HEAD}golden: true\n")
    assert main(["test", "documents"]) == 1
    missing = f"t on debian-13: documents/tests/web.yaml:6:9: {GOLDEN}/t/debian-13.txt is missing; "
    assert capsys.readouterr().out.startswith(f"{missing}`ordainctl test --update` writes it\n")

    assert main(["test", "--update", "documents"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{GOLDEN}/t/debian-13.txt: written"
    golden = (folder / f"{GOLDEN}/t/debian-13.txt").read_text()
    assert "\nMemoryMax=1G\n" in golden
    assert "web.yaml" not in golden

    (folder / "documents/web.yaml").write_text(f"# a line above\n{LAYER}".replace("1G", "2G"))
    assert main(["test", "documents"]) == 1
    line = golden.splitlines().index("MemoryMax=1G") + 1
    assert capsys.readouterr().out.splitlines()[0] == (
        f"t on debian-13: {GOLDEN}/t/debian-13.txt:{line}: normal/web.service: expected 'MemoryMax=1G', "
        "found 'MemoryMax=2G'; the cause is at documents/web.yaml:7"
    )


def test_a_golden_text_of_no_test_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / GOLDEN / "old").mkdir(parents=True)
    (folder / GOLDEN / "old/debian-13.txt").touch()
    main(["test", "documents"])
    assert f"{GOLDEN}/old/debian-13.txt: no test compares this golden text; remove it" in capsys.readouterr().out


def test_some_of_the_tests_can_be_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "documents/tests/web.yaml").open("a") as file:
        file.write(f"---\n{HEAD}layers: nothing\n")
    assert main(["test", "documents", "--only", "web*"]) == 0
    assert capsys.readouterr().out == "2 tests: 0 failed\n"
    assert main(["test", "documents", "--only", "web-memry"]) == 1
    assert "there is no test called 'web-memry'; did you mean" in capsys.readouterr().err
    assert main(["test", "documents", "--only", "t", "--min-coverage", "5"]) == 2


def test_validate_checks_tests_beside_documents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "documents"]) == 0
    assert capsys.readouterr().out == "1 document: valid\n1 test: valid; `ordainctl test` runs them\n"
    assert main(["validate", "documents/tests"]) == 0
    assert capsys.readouterr().out == "1 test: valid; `ordainctl test` runs them\n"
    (folder / "documents/tests/more.yaml").write_text(f"{TEST}layer: web\n")
    assert main(["validate", "documents"]) == 1
    assert "documents/tests/more.yaml:11:1: error: layer: unknown key" in capsys.readouterr().err


def test_the_schema_of_tests_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "Test"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["kind"]["enum"] == ["Test"]


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
        (f"{TEST}---\n{TEST}", "two tests have the name web-memory; the other is at documents/tests/web.yaml:1:1"),
        (f"{HEAD}facts: {{arch: amd64}}\n", "facts/arch"),
        (f"{HEAD}facts: {{arch: amd64}}\n", "(write x86-64)"),
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

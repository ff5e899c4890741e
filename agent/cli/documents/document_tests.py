"""test: runs the Test documents beside documents, without root, for any system."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import contents, read_valid, transforms
from ordain.agent.cli.documents.target_machine import as_node
from ordain.agent.cli.json_shapes import JsonTestCase, JsonTestFailure, JsonTestRun
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.transforms.control_characters import visible
from ordain.transforms.errors import Refused, only_errors

if TYPE_CHECKING:  # the compiler takes long to import
    from ordain.transforms.document_tests import CaseResult, UnmetExpectation

FOLDER = "tests"
"""The folder beside the documents. Sources, releases and stores read no folder below that of the documents."""


def test(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl test`."""
    from ordain.transforms.document_tests import read_tests, run_tests

    least = _percent(request.min_coverage) if request.min_coverage is not None else 0
    folder = Path(request.directory)
    documents, _ = read_valid([str(folder)])
    files, problems = contents([str(folder / FOLDER)])
    readings = [read_tests(path, data) for path, data in files]
    problems = (*problems, *(problem for _, wrong in readings for problem in wrong))
    if only_errors(problems):
        raise Refused(problems)
    tests = [test for read, _ in readings for test in read]
    if not tests:
        raise Failure(f"{folder / FOLDER}: there is no test; write documents with `kind: Test` there")
    run = run_tests(tests, documents, transforms(request.root), as_node)
    if request.junit:
        _write_junit(Path(request.junit), run.cases)
    failed = sum(bool(case.failures) for case in run.cases)
    if request.json:
        listed = [
            JsonTestCase(
                test=case.test,
                system=case.system,
                failures=[
                    JsonTestFailure(path=f.where.path, line=f.where.line, what=f.what, cause=f.cause)
                    for f in case.failures
                ],
            )
            for case in run.cases
        ]
        console.json(JsonTestRun(cases=listed, untested=[d.name for d in run.untested], coverage=run.percent))
    else:
        for case in run.cases:
            for failure in case.failures:
                console.line(f"{case.test} on {case.system}: {failure}", Style.BAD)
        for document in run.untested:
            console.line(f"{document.where}: no test matches the {document.kind} {document.name}", Style.WARN)
        console.line(f"{plural(len(run.cases), 'test')}: {failed} failed; {run.percent} % of the layers were tested")
    if run.percent < least:
        console.note(f"ordainctl: {run.percent} % of the layers were tested, less than {least} %; add tests", Style.BAD)
    return Exit.REFUSED if failed or run.percent < least else Exit.OK


def _percent(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= 100):
        raise Usage(f"--min-coverage must be a number from 0 to 100, not {text!r}")
    return int(text)


def _write_junit(path: Path, cases: Iterable[CaseResult]) -> None:
    """Write the results as JUnit XML, as CI systems read it. Raises `Failure`."""
    cases = tuple(cases)
    failed = str(sum(bool(case.failures) for case in cases))
    suite = ElementTree.Element("testsuite", name="ordain", tests=str(len(cases)), failures=failed)
    for case in cases:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=visible(case.test),
            name=visible(case.system),
            file=visible(case.where.path),
            line=str(case.where.line),
        )
        if case.failures:
            text = _lines(case.failures)
            ElementTree.SubElement(element, "failure", message=text.partition("\n")[0]).text = text
    try:
        path.write_bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def _lines(failures: Iterable[UnmetExpectation]) -> str:
    """Return one line for each failure, without characters that XML cannot hold."""
    return "\n".join(visible(str(failure)) for failure in failures)

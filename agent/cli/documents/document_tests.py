"""test: runs the Test documents beside documents, without root, for any system."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import TESTS, contents, read_valid, test_folders, transforms
from ordain.agent.cli.documents.target_machine import as_node
from ordain.agent.cli.json_shapes import JsonTestCase, JsonTestFailure, JsonTestRun, JsonUntestedPart
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.transforms.control_characters import visible
from ordain.transforms.errors import Refused, did_you_mean, only_errors
from ordain.transforms.model import Document

if TYPE_CHECKING:  # the compiler takes long to import
    from ordain.transforms.document_tests.read_tests import DocumentTest
    from ordain.transforms.document_tests.run_tests import CaseResult, SuiteResult, UnmetExpectation


def test(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl test`."""
    if request.only and request.min_coverage is not None:
        raise Usage(
            "--only and --min-coverage cannot be used together: a part of the tests reaches a part of the documents"
        )
    least = _percent(request.min_coverage) if request.min_coverage is not None else 0
    documents, _ = read_valid([request.directory])
    folder = Path(request.directory) / TESTS
    tests = _selected(read_folder(folder), request.only)
    run = run_folder(folder, tests, documents, request.root)
    if request.update:
        written = list(_update(run))
        run = run_folder(folder, tests, documents, request.root)
    else:
        written = []
    if request.junit:
        _write_junit(Path(request.junit), run.cases)
    if request.json:
        console.json(_as_json(run))
    else:
        for path in written:
            console.line(f"{path}: written", Style.GOOD)
        _print(run, console, all_tests=not request.only)
        for path in () if request.only else _stale(folder, run):
            console.line(f"{path}: no test compares this golden text; remove it", Style.WARN)
    percent = run.coverage.percent
    if percent < least:
        console.note(
            f"ordainctl: the tests reached {percent} % of the parts, less than {least} %; add tests", Style.BAD
        )
    return Exit.REFUSED if run.failed or percent < least else Exit.OK


def read_folder(folder: Path) -> tuple[DocumentTest, ...]:
    """Return the tests in a folder. Raises `Refused` for invalid ones, `Failure` if there is none."""
    from ordain.transforms.document_tests.read_tests import doubled_tests, read_tests

    files, problems = contents([str(folder)])
    readings = [read_tests(path, data) for path, data in files]
    tests = tuple(test for read, _ in readings for test in read)
    problems = (*problems, *(problem for _, wrong in readings for problem in wrong), *doubled_tests(tests))
    if only_errors(problems):
        raise Refused(problems)
    if not tests:
        raise Failure(f"{folder}: there is no test; write documents with `kind: Test` there")
    return tests


def run_folder(folder: Path, tests: Iterable[DocumentTest], documents: tuple[Document, ...], root: Path) -> SuiteResult:
    """Return the results of the tests of a folder. Raises `Refused`, and `Failure` for a golden text."""
    from ordain.transforms.document_tests.run_tests import run_tests

    return run_tests(tests, documents, transforms(root), as_node, str(folder), _golden_text)


def run_required(folders: Sequence[Path], documents: tuple[Document, ...], root: Path, console: Console) -> None:
    """Print the failures of the tests in ``folders`` on ``documents``. Raises `Failure` if there is one."""
    for folder in folders:
        run = run_folder(folder, read_folder(folder), documents, root)
        if run.failed:
            _print(run, console, all_tests=False)
            raise Failure(
                f"{folder}: {len(run.failed)} of {plural(len(run.cases), 'test')} failed; nothing was written"
            )


def folders_beside(files: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders with tests beside documents: below a directory, or in the directory of a file."""
    directories = dict.fromkeys(str(path if path.is_dir() else path.parent) for path in map(Path, files))
    return tuple(test_folders(directories))


def _selected(tests: tuple[DocumentTest, ...], patterns: Sequence[str]) -> tuple[DocumentTest, ...]:
    """Return the tests whose names match one of ``patterns``, all without patterns. Raises `Failure` for none."""
    names = [test.name for test in tests]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = did_you_mean(pattern, names)
            raise Failure(f"there is no test called {pattern!r}" + (f"; {hint}" if hint else ""))
    return tuple(test for test in tests if not patterns or any(fnmatchcase(test.name, p) for p in patterns))


def _print(run: SuiteResult, console: Console, *, all_tests: bool) -> None:
    for case in run.cases:
        for failure in case.failures:
            console.line(f"{case.test} on {case.system}: {failure}", Style.BAD)
    for part in run.coverage.untested if all_tests else ():
        console.line(f"{part.where}: {part.what}", Style.WARN)
    reached = f"; they reached {run.coverage.percent} % of the documents' parts" if all_tests else ""
    console.line(f"{plural(len(run.cases), 'test')}: {len(run.failed)} failed{reached}")


def _as_json(run: SuiteResult) -> JsonTestRun:
    cases = [
        JsonTestCase(
            test=case.test,
            system=case.system,
            failures=[
                JsonTestFailure(path=f.where.path, line=f.where.line, what=f.what, cause=f.cause) for f in case.failures
            ],
        )
        for case in run.cases
    ]
    untested = [JsonUntestedPart(path=p.where.path, line=p.where.line, what=p.what) for p in run.coverage.untested]
    return JsonTestRun(cases=cases, untested=untested, parts=run.coverage.parts, coverage=run.coverage.percent)


def _golden_text(path: str) -> str | None:
    """Return a golden text, None if there is none. Raises `Failure` if it cannot be read."""
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _update(run: SuiteResult) -> Iterator[str]:
    """Write the golden texts that differ, and yield their paths. Raises `Failure`."""
    for case in run.cases:
        if case.golden is not None:
            try:
                Path(case.golden_path).parent.mkdir(parents=True, exist_ok=True)
                Path(case.golden_path).write_text(case.golden)
            except OSError as error:
                raise Failure(f"{error.filename or case.golden_path}: {error.strerror}") from error
            yield case.golden_path


def _stale(folder: Path, run: SuiteResult) -> list[str]:
    """Return the golden texts that no test compares."""
    from ordain.transforms.document_tests.golden_texts import FOLDER as GOLDEN

    compared = {case.golden_path for case in run.cases}
    return sorted(str(path) for path in (folder / GOLDEN).glob("*/*.txt") if str(path) not in compared)


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

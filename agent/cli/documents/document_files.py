"""The documents on the command line: read from files, directories and standard input."""

from __future__ import annotations

import errno
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

from ordain.agent.delivery.source.local_files import NOT_READ, misnamed_documents
from ordain.agent.model import RawDocument, RawDocuments
from ordain.agent.system.bounded_reads import HINT, NotAnswering, read_in_time
from ordain.transforms.document.text.node import SUFFIXES
from ordain.transforms.errors import Problem, Refused, Where, only_errors, warning
from ordain.transforms.model import Document

STANDARD_INPUT = "-"
LONGEST = 64 << 20
"""The most bytes of a file that are read; documents are smaller, and so is what `import` converts."""
SETTINGS = "agent.yaml"
TESTS = "tests"
"""The folder beside documents that has their Tests. Sources, releases and stores read no folder below their own."""


def contents(names: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES) -> tuple[RawDocuments, tuple[Problem, ...]]:
    """Return the path and bytes of every file that ``names`` lead to, and a problem for each that cannot be read.

    Of a directory, the files whose names end with one of ``suffixes`` count.
    """
    files: list[RawDocument] = []
    problems: list[Problem] = []
    for name in names:
        try:
            files += _contents(name, suffixes)
        except NotAnswering as error:
            problems.append(Problem(where=Where(path=name), what=str(error), hint=HINT, code="MountNotAnswering"))
        except OSError as error:
            where = Where(path=str(error.filename or name))
            hint = "run it as root" if isinstance(error, PermissionError) else ""
            problems.append(Problem(where=where, what=error.strerror or str(error), hint=hint, code="Unreadable"))
    return tuple(files), tuple(problems)


def valid(files: RawDocuments) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return every document in ``files``, and warnings. Raises `Refused` for errors."""
    documents, problems = _read(files)
    if only_errors(problems):
        raise Refused(problems)
    return documents, problems


def read_files(names: Sequence[str]) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return every document in the files that ``names`` lead to, and all problems."""
    files, problems = contents(names)
    documents, wrong = _read(files)
    return documents, (*problems, *_misnamed(names), *wrong)


def _read(files: RawDocuments) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    from ordain.transforms.document.reader import read  # the schema of documents, which `contents` does not need

    readings = [read(path, data) for path, data in files]
    documents = tuple(document for read_documents, _ in readings for document in read_documents)
    return documents, tuple(problem for _, wrong in readings for problem in wrong)


def _misnamed(names: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning for each document in the directories of ``names`` that is not read because of its name."""
    for name in names:
        try:
            misnamed: list[str] = read_in_time(name, partial(list, misnamed_documents(Path(name))))
        except NotAnswering:  # which is a problem already
            continue
        for file in misnamed:
            where, hint = Where(path=str(Path(name) / file)), "rename it, or move it elsewhere"
            yield warning("", where, NOT_READ, hint, "NotRead")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesRead:
    """The content of files of every type, with all problems.

    ``settings`` are the paths of files with settings of the agent, ``tests`` the number of Tests. ``texts`` are the
    files with documents for machines.
    """

    documents: tuple[Document, ...]
    texts: RawDocuments
    settings: tuple[str, ...]
    tests: int
    problems: tuple[Problem, ...]


def read_all(names: Sequence[str]) -> FilesRead:
    """Return the content of the files that ``names`` lead to, and of the Tests beside the documents.

    Runs may be in XML.
    """
    from ordain.transforms.runs.run_xml import read_runs

    files, problems = contents([*names, *map(str, test_folders(names))])
    settings = tuple((path, data) for path, data in files if _is_settings(path, data))
    tests = tuple((path, data) for path, data in files if _is_test(path, data))
    texts = tuple(file for file in files if file not in settings and file not in tests)
    readings = [read_runs(path, data) for path, data in texts]
    wrong = [problem for _, faults in readings for problem in faults]
    number = 0
    if settings:
        from ordain.transforms.machine import agent_yaml  # its tables take as long to import as the rest of `validate`

        wrong += [problem for path, data in settings for problem in agent_yaml.read(data, path).problems]
    if tests:
        from ordain.transforms.document_tests.read_tests import doubled_tests, read_tests

        tests_read = [read_tests(path, data) for path, data in tests]
        all_tests = tuple(test for read, _ in tests_read for test in read)
        wrong += [*(problem for _, faults in tests_read for problem in faults), *doubled_tests(all_tests)]
        number = len(all_tests)
    return FilesRead(
        documents=tuple(document for read_documents, _ in readings for document in read_documents),
        texts=texts,
        settings=tuple(path for path, _ in settings),
        tests=number,
        problems=(*problems, *_misnamed(names), *wrong),
    )


def test_folders(names: Iterable[str]) -> Iterator[Path]:
    """Yield the folders with Tests below the directories among ``names``."""
    for name in names:
        try:
            if read_in_time(name, (Path(name) / TESTS).is_dir) and name != STANDARD_INPUT:
                yield Path(name) / TESTS
        except NotAnswering:  # which `contents` reports
            continue


def _is_test(path: str, data: bytes) -> bool:
    """Return whether a file holds Tests: by its folder, and its content."""
    return (
        PurePath(path).parent.name == TESTS
        and re.search(rb'^kind:[ \t]*["\']?Test\b|"kind"\s*:\s*"Test"', data, re.M) is not None
    )


def _is_settings(path: str, data: bytes) -> bool:
    """Return whether a file holds settings of the agent: by its name, unless it has the first key of a document."""
    return PurePath(path).name == SETTINGS and not re.search(rb'^ordain:|"ordain"', data, re.M)


def read_valid(names: Sequence[str]) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the documents in the files that ``names`` lead to, and warnings. Raises `Refused` for errors."""
    documents, problems = read_files(names)
    if only_errors(problems):
        raise Refused(problems)
    return documents, problems


def transforms(root: Path) -> tuple[Document, ...]:
    """Return the transformation database: the shipped documents and the administrator's. Raises `Refused`."""
    from ordain.transforms.catalog.shipped import shipped

    added = root / "etc/ordain/transforms"
    documents, _ = read_valid([str(added)]) if added.is_dir() else ((), ())
    return (*shipped(), *documents)


def _contents(name: str, suffixes: tuple[str, ...]) -> Iterator[RawDocument]:
    if name == STANDARD_INPUT:
        yield "<stdin>", _bounded(sys.stdin.buffer, "<stdin>")
        return
    path = Path(name)
    kind = stat.S_IFMT(read_in_time(name, path.stat).st_mode)
    if kind == stat.S_IFDIR:
        names = read_in_time(name, lambda: sorted(file.name for file in path.iterdir()))
        files = [path / file for file in names if file.endswith(suffixes) and not file.startswith(".")]
        yield from read_in_time(name, lambda: [(str(file), _read_file(file)) for file in files])
    elif kind == stat.S_IFREG:
        yield name, read_in_time(name, partial(_read_file, path))
    else:  # a pipe is waited for as long as somebody writes to it
        yield name, _read_file(path)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file, str(path))


def _bounded(file: BinaryIO, name: str) -> bytes:
    """Return all of a file. Raises `OSError` for more than `LONGEST`, which /dev/zero would have, too."""
    data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise OSError(errno.EFBIG, f"larger than {LONGEST >> 20} MiB", name)
    return data

"""`ordainctl import`: golden cases, round trips, and input that means harm.

``tests/imports/NAME/`` holds ``input/`` (the files that are imported, as one run of the command over that directory and
those in it) or ``root/`` and ``links.txt`` (a whole root, whose links git and sdists would not keep), ``expected.yaml``
and ``problems.txt`` (absent = none). ``pytest --update tests/test_import.py`` rewrites the last two.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_cases import hold

from ordain.agent.cli.main import main
from ordain.agent.cli.table import COMMANDS
from ordain.transforms.documents import read
from ordain.transforms.importing import kinds

HERE = Path(__file__).parent
CASES = sorted(path.name for path in (HERE / "imports").iterdir())


def machine(case: Path, where: Path) -> Path:
    root = where / "root"
    shutil.copytree(case / "root", root)
    for line in (case / "links.txt").read_text().splitlines():
        link, _, target = line.partition(" -> ")
        (root / link).symlink_to(target)
    return root


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """The root of the machine on which the command runs."""
    root = tmp_path / "debian"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    return root


@pytest.mark.parametrize("name", CASES)
def test_case(
    name: str,
    request: pytest.FixtureRequest,
    debian: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = HERE / "imports" / name
    if (case / "root").is_dir():
        machine(case, tmp_path)
        monkeypatch.chdir(tmp_path)
        words = ["--root", "root"]
    else:
        monkeypatch.chdir(case / "input")
        words = sorted(path.name for path in Path().iterdir())

    status = main(["import", "--name", name, *words], root=debian)

    said = capsys.readouterr()
    update = request.config.getoption("--update")
    hold(case / "expected.yaml", said.out, update)
    hold(case / "problems.txt", said.err, update)
    assert status == (3 if said.err else 0)
    assert read("out.yaml", said.out.encode())[1] == ()
    assert said.err.count("\n") == 0 or said.err.splitlines()[-1].endswith("not carried")


def test_the_kinds_on_the_command_line_are_those_there_are() -> None:
    (option,) = (a for a in COMMANDS["import"].arguments if a.flag == "--from")

    assert set(option.choices) == set(kinds.Kind)

"""Golden scripts: ten runs on six systems, byte for byte.

``tests/runs/documents/NAME.yaml`` is rendered for each system as ``tests/runs/expected/NAME.SYSTEM.txt``, or refused
with the problems there. ``pytest --update tests/transforms/runs`` rewrites them; the diff is reviewed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.runs.run_render import cause_texts, render_runs, script_text
from ordain.transforms.runs.scheduler_rows import run_systems
from support.outputs.golden import compare
from support.samples.run_samples import SYSTEMS

HERE = Path(__file__).parents[2] / "runs"
NAMES = sorted(path.stem for path in (HERE / "documents").glob("*.yaml"))


def test_there_are_ten_runs_for_six_systems() -> None:
    assert (len(NAMES), len(SYSTEMS)) == (10, 6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run_is_rendered_as_its_golden_text(name: str, system: str, request: pytest.FixtureRequest) -> None:
    documents, problems = read(f"{name}.yaml", (HERE / "documents" / f"{name}.yaml").read_bytes())
    assert problems == ()
    systems, _ = run_systems(shipped())
    try:
        rendered = render_runs(documents, systems, system)
    except Refused as refused:
        text = "".join(f"! {problem}\n" for problem in refused.problems)
    else:
        text = "".join(f"! {problem}\n" for problem in rendered.problems)
        for script in rendered.scripts:
            after = "".join(f" after {run} ({condition})" for run, condition in script.after)
            text += f"=== {script.name}{after}\n{script_text(script)}"
            text += "".join(
                f"argument {line.text}   from {', '.join(cause_texts(line))}\n" for line in script.arguments
            )
    compare(HERE / "expected" / f"{name}.{system}.txt", text, request.config.getoption("--update"))


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("path", sorted((HERE / "expected").glob("*.txt")), ids=lambda path: path.stem)
def test_a_golden_script_is_valid_for_the_shell(path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    for script in path.read_text().split("=== ")[1:]:
        body = script.partition("\n")[2].partition("\nargument ")[0]
        done = subprocess.run([shell, "-n"], input=body, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

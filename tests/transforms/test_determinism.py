"""The same documents, Transforms and facts render to the same bytes in any surroundings.

See docs/design/contract.md, rule 3.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parents[1]
SURROUNDINGS = {
    "another seed of hashes": {"PYTHONHASHSEED": "1"},
    "yet another seed of hashes": {"PYTHONHASHSEED": "4294967295"},
    "a locale of another alphabet": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "the other side of the world": {"TZ": "Pacific/Kiritimati"},
}


def rendered(cwd: Path, order: str, **environment: str) -> bytes:
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-P", str(HERE / "support/programs/render_everything.py"), order],
        cwd=cwd,
        env={**inherited, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", **environment},
        capture_output=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def usual() -> bytes:
    text = rendered(Path("/"), "0")
    assert text.count(b'"normal/') > 200
    return text


@pytest.mark.skipif(not (HERE.parent / "examples").is_dir(), reason="the examples are not beside the tests")
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_a_render_does_not_depend_on_its_surroundings(what: str, usual: bytes, tmp_path: Path) -> None:
    order = str(1 + list(SURROUNDINGS).index(what))
    assert rendered(tmp_path, order, **SURROUNDINGS[what]) == usual, f"{what}, documents in the order of seed {order}"

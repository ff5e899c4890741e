"""The commands of signed-releases.md with which jq and openssl check a release, on a release that Ordain has signed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from support.pages.page_blocks import blocks

TREE = Path(__file__).parents[4]
TEST = str(Path(__file__).relative_to(TREE))
(BLOCK,) = [block for block in blocks(TREE / "docs/howto/signed-releases.md", TREE) if block.reason == TEST]
PROGRAMS = ("bash", "jq", "xxd", "openssl")


@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"it needs {', '.join(PROGRAMS)}")
def test_others_can_check_a_release_with_jq_and_openssl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/a.yaml").write_text("ordain: v1\nkind: Layer\nname: a\nservices: {a: {command: /bin/x}}\n")
    assert main(["release", "keygen", str(tmp_path / "ops")]) == 0
    create = ["release", "create", str(tmp_path / "documents"), "--number=1", f"--key={tmp_path}/ops.key"]
    assert main([*create, f"--output={tmp_path}/r.json"]) == 0
    capsys.readouterr()

    def checked() -> str:
        done = subprocess.run(["bash", "-ec", BLOCK.text], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "Signature Verified Successfully" in checked()
    manifest = (tmp_path / "r.json").read_text()
    (tmp_path / "r.json").write_text(manifest.replace('"number": 1', '"number": 2'))
    assert "Verified Successfully" not in checked()

"""ordainctl packages, with the documents of the how-to page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.transforms.document.reader import read

PAGE = (Path(__file__).parents[4] / "docs/howto/install-packages.md").read_text()
LAYER, KEYS, TRANSFORM = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
HEAD = "ordain: v1\nkind: Layer\nname: more\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, whose documents are those of the page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/web.yaml").write_text(LAYER)
    return tmp_path


def test_the_command_of_the_page_lists_its_packages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"^    ordainctl (packages .*)$", PAGE, re.MULTILINE)
    assert main(command.split()) == 0
    assert capsys.readouterr().out.splitlines() == ["htop", "nginx"]


@pytest.mark.parametrize(
    ("system", "listed"),
    [
        ("debian-13", ["bind9", "nginx=1.22.*", "vim-nox"]),
        ("rocky-9", ["bind", "editor", "nginx-1.22.*"]),
        ("opensuse-leap-16.0", ["bind", "editor", "nginx=1.22.*"]),
    ],
)
def test_each_system_has_its_own_names_and_versions(
    folder: Path, capsys: pytest.CaptureFixture[str], system: str, listed: list[str]
) -> None:
    (folder / "documents/web.yaml").write_text(
        f"{HEAD}{KEYS.replace('htop: {}', 'bind: {}')}  editor: {{}}\n---\n{TRANSFORM}"
    )
    assert main(["packages", "--os", system, "documents"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == listed


def test_json_has_the_manager_and_each_wish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "documents/web.yaml").write_text(f"{HEAD}{KEYS}")
    assert main(["packages", "--json", "--os", "fedora-42", "documents"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["manager"] == "dnf"
    assert [(p["name"], p["argument"], p["state"], p["hold"]) for p in shown["packages"]] == [
        ("htop", "htop", "present", False),
        ("nginx", "nginx-1.22.*", "present", True),
        ("telnet", "telnet", "absent", False),
    ]


def test_a_system_without_a_package_manager_has_exit_status_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packages", "--os", "flatcar", "documents"]) == 3
    assert "[NoPackageManager]" in capsys.readouterr().err


def test_the_documents_of_the_page_are_valid() -> None:
    for text in (LAYER, f"{HEAD}{KEYS}", TRANSFORM):
        assert read("x.yaml", text.encode())[1] == ()


def test_a_service_of_a_vendor_has_the_package_of_its_vendor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text("ordain: v1\nkind: Layer\nname: a\npackages: [telegraf, mongodb]\n")
    assert main(["packages", "--os", "debian-12", str(tmp_path / "a.yaml")]) == 0
    assert capsys.readouterr().out.split() == ["mongodb-org", "telegraf"]

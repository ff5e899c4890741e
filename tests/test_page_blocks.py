"""Every block of commands in README and docs is run by a test, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.documentation.test_manual_commands import NOT_RUN, RUN_BY_PAGE
from integration.documentation.test_tutorial import HOW_TO

from ordain.agent.cli.commands.all_commands import COMMANDS
from rig.proof.proof_tutorial import PAGE as DISKLESS
from support.pages.page_blocks import Block, blocks

TREE = Path(__file__).parents[1]
GENERATED = {TREE / "docs/reference/sections", TREE / "docs/reference/runs"}
"""Pages of documents and what they become, each of which is compiled when the page is made."""
STEP_PAGES = {"docs/tutorial.md", *(f"docs/howto/{name}.md" for name in HOW_TO), str(DISKLESS.relative_to(TREE))}
"""The pages whose steps `tests/integration/documentation/test_tutorial.py` or `make proof ONLY=diskless` does."""
PAGES = [
    TREE / "README.md",
    TREE / "HACKING.md",
    *(path for path in sorted((TREE / "docs").rglob("*.md")) if not GENERATED & set(path.parents)),
    *sorted((TREE / "docs").rglob("*.rst")),
]


def fault(block: Block) -> str:
    """Return the reason why nobody knows whether a block works, "" if a test runs it or it says why not."""
    if block.console:
        return "" if block.page in STEP_PAGES else "no test carries out the steps of this page"
    if block.page in RUN_BY_PAGE:
        return ""
    if block.kind == "not run":
        return "" if len(block.reason.split()) > 4 else "the reason is too short"
    if block.kind == "run by":
        test = TREE / block.reason
        if not test.is_file():
            return f"there is no {block.reason}"
        known = block.page.rpartition("/")[2] in test.read_text() or "page_blocks" in test.read_text()
        return "" if known else f"{block.reason} does not read this page"
    return "write <!-- run by: TEST --> or <!-- not run: REASON --> above it"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TREE)))
def test_every_block_of_commands_is_run_or_says_why_not(page: Path) -> None:
    found = {f"{block.page}:{block.line}": fault(block) for block in blocks(page, TREE)}

    assert {place: reason for place, reason in found.items() if reason} == {}


def test_a_new_block_without_a_mark_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    page.write_text(
        "# New\n\nDo this:\n\n    ordainctl apply\n\nand\n\n<!-- not run: because -->\n\n    sudo make x\n\n"
        "```console\nweb1# ordainctl status\n```\n\n<!-- run by: tests/missing.py -->\n\n    systemctl stop x\n\n"
        "Not a command:\n\n    services: {a: {command: ordainctl}}\n\n<!-- not run: it needs a whole other planet -->\n"
        "\n"
        "```sh\n$ ordainctl apply\n```\n"
    )

    assert [(block.line, fault(block) != "") for block in blocks(page, tmp_path)] == [
        (5, True),
        (11, True),
        (14, True),
        (19, True),
        (28, False),
    ]


def test_every_command_is_run_with_its_examples_or_says_why_not() -> None:
    assert set(NOT_RUN) <= set(COMMANDS)
    assert all(len(reason.split()) > 3 for reason in NOT_RUN.values())

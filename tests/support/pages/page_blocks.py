"""The blocks of commands in the pages of the documentation, and how each of them is known to work.

A block of commands is run by a test, or the page says why not, in a comment before it that no reader sees:

    <!-- not run: it needs two machines with a GPU -->          Markdown
    .. not run: it needs two machines with a GPU                reStructuredText
    <!-- run by: tests/integration/test_x.py -->                a test reads the page and runs this block
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMANDS = frozenset(
    """apt apt-get bash busctl cat cd chown chmod cp cpio curl docker dpkg dracut echo env etcdctl find git gpg gzip
    install ip jq journalctl kubectl ln ls make mkdir mkosi mmdebstrap mount mv openssl ordain-agent ordain-generator
    ordainctl pip podman printf pytest put python python3 qemu-system-x86_64 rm rsync scp sed sh ssh sudo systemctl
    systemd-analyze systemd-creds systemd-nspawn systemd-run touch tee umount update-initramfs useradd wget""".split()
)
"""The first words of lines that are commands."""
DATA = frozenset(("yaml", "json", "toml", "ini"))
"""The languages of fenced blocks that hold no commands."""
_PROMPT = re.compile(r"^(?:\w+[#$] |[$#] )?(?:\(cd |[A-Z_]+=\S+ )*(?P<word>[A-Za-z0-9_./-]+)")
_MARK = re.compile(r"(?:<!--|\.\.) (?P<kind>not run|run by): (?P<text>.+?)(?: -->)?$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands: its page, its first line (from 1), its text, and the comment before it, if there is one.

    ``console``: its steps are in the notation of `page_steps`.
    """

    page: str
    line: int
    text: str
    kind: str = ""
    reason: str = ""
    console: bool = False


def blocks(path: Path, root: Path) -> Iterator[Block]:
    """Yield the blocks of commands of a page."""
    lines = path.read_text().split("\n")
    found = _markdown(lines) if path.suffix == ".md" else _restructured(lines)
    for start, text, console in found:
        if any(_is_command(line) for line in text):
            mark = _mark_before(lines, start)
            kind, reason = (mark["kind"], mark["text"].strip()) if mark else ("", "")
            yield Block(str(path.relative_to(root)), start + 1, "\n".join(text), kind, reason, console)


def _is_command(line: str) -> bool:
    match = _PROMPT.match(line.strip())
    return match is not None and match["word"].rpartition("/")[2] in COMMANDS and not line.strip().endswith(":")


def _mark_before(lines: list[str], start: int) -> re.Match[str] | None:
    """Return the comment above the line ``start``, over empty lines and the line that opens the block."""
    at = start - 1
    while at >= 0 and (not lines[at].strip() or lines[at].startswith("```")):
        at -= 1
    for near in range(at, max(at - 3, -1), -1):
        if mark := _MARK.match(lines[near].strip()):
            return mark
    return None


def _markdown(lines: list[str]) -> Iterator[tuple[int, list[str], bool]]:
    """Yield first line (from 0), text and notation of each fenced block and each indented one."""
    at = 0
    while at < len(lines):
        if fence := re.match(r"\s*```(\w*)", lines[at]):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().startswith("```")), len(lines))
            if fence[1] not in DATA:
                yield at + 1, lines[at + 1 : end], fence[1] == "console"
            at = end + 1
        elif lines[at].startswith("    ") and lines[at].strip() and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield at, lines[at:end], False
            at = end
        else:
            at += 1


def _restructured(lines: list[str]) -> Iterator[tuple[int, list[str], bool]]:
    """Yield the literal blocks, which follow a line that ends in ``::``."""
    for at, line in enumerate(lines):
        if line.rstrip().endswith("::") and not line.startswith(".. "):
            start = at + 1
            while start < len(lines) and not lines[start].strip():
                start += 1
            indent = len(line) - len(line.lstrip())
            end = start
            while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
                end += 1
            yield start, lines[start:end], False

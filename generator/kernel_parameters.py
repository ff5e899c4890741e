"""What kernel parameters were before the documents set them, kept for this boot and put back.

the file of ours, /proc/sys ─▶ a record in /run; of what it no longer names, the old values again
"""

from __future__ import annotations

import glob
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILE = "run/sysctl.d/99-q-ordain.conf"
RECORD = "run/ordain/sysctl.json"
PROGRAM = ("usr/lib/systemd/systemd-sysctl", "lib/systemd/systemd-sysctl")


def save_and_restore(root: Path) -> dict[str, str]:
    """Note what the parameters of the file are, where that is not known yet, and put back those it does not name.

    Called when the file is placed and before systemd-sysctl reads it. Where files of others name a parameter too, what
    they say is made real again. Returns what could not be put back, by file of /proc/sys.
    """
    named = set(_named(root))
    before: dict[str, str] = _read(root)
    if not named and not before:
        return {}
    wrong: dict[str, str] = {}
    for path in sorted(before.keys() - named):
        value = before.pop(path)
        try:
            if (root / path).read_text() != value:
                (root / path).write_text(value)
        except OSError as error:
            wrong[f"/{path}"] = f"cannot be put back: {error.strerror}"
        else:
            _by_others(root, path)
    for path in sorted(named - before.keys()):
        try:
            before[path] = (root / path).read_text()
        except (OSError, UnicodeDecodeError):
            continue  # it can only be written, or is not there: nothing to go back to
    target = root / RECORD
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(before, sort_keys=True))
    return wrong


def _named(root: Path) -> Iterator[str]:
    """The files of /proc/sys that ours sets, globs expanded (sysctl.d(5): the first separator says which it is)."""
    try:
        lines = (root / FILE).read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name = line.partition("=")[0].strip().removeprefix("-")
        if not name or name[0] in "#;":
            continue
        first = next((char for char in name if char in "./"), "")
        path = name.translate(str.maketrans("./", "/.")) if first == "." else name
        yield from sorted(glob.glob(f"proc/sys/{path}", root_dir=root))


def _by_others(root: Path, path: str) -> None:
    for program in PROGRAM:
        if (root / program).exists():
            prefix = path.removeprefix("proc/sys")
            subprocess.run([str(root / program), f"--prefix={prefix}"], capture_output=True, check=False, timeout=10)
            return


def _read(root: Path) -> dict[str, str]:
    try:
        found = json.loads((root / RECORD).read_text())
        return {str(path): str(value) for path, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}

"""The values of kernel parameters before the documents set them: saved for this boot, and restored.

our file in sysctl.d, /proc/sys ─▶ a record in /run, and the old values of parameters that the file no longer sets
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path

from ordain.generator.phases import SYSCTL_RECORD

FILE = "run/sysctl.d/99-q-ordain.conf"
PROGRAM = ("usr/lib/systemd/systemd-sysctl", "lib/systemd/systemd-sysctl")


def save_and_restore(root: Path) -> dict[str, str]:
    """Save the values of the parameters in our file, and restore those that the file no longer sets.

    This runs after the file is placed and before systemd-sysctl reads it. A value that is saved already is kept. If a
    file of somebody else sets a restored parameter, systemd-sysctl applies that value. Return the parameters that could
    not be restored, by file in /proc/sys.
    """
    named = set(_named(root))
    before: dict[str, str] = _read(root)
    if not named and not before:
        return {}
    problems: dict[str, str] = {}
    for path in sorted(before.keys() - named):
        value = before.pop(path)
        try:
            if (root / path).read_text() != value:
                (root / path).write_text(value)
        except OSError as error:
            problems[f"/{path}"] = f"cannot restore the previous value: {error.strerror}; it is back after a reboot"
        else:
            _apply_other_files(root, path)
    for path in sorted(named - before.keys()):
        try:
            before[path] = (root / path).read_text()
        except (OSError, UnicodeDecodeError):
            continue  # it is write-only or missing, so there is no value to restore
    target = root / SYSCTL_RECORD
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(before, sort_keys=True))
    return problems


def _named(root: Path) -> Iterator[str]:
    """Yield the files in /proc/sys that our file sets, with globs expanded.

    The first separator in a name decides whether ``.`` or ``/`` separates its parts (sysctl.d(5)).
    """
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


def _apply_other_files(root: Path, path: str) -> None:
    for program in PROGRAM:
        if (root / program).exists():
            prefix = path.removeprefix("proc/sys")
            # Keys that no file sets any more are rare, and this module is loaded at each boot.
            import subprocess

            subprocess.run([str(root / program), f"--prefix={prefix}"], capture_output=True, check=False, timeout=10)
            return


def _read(root: Path) -> dict[str, str]:
    try:
        record = json.loads((root / SYSCTL_RECORD).read_text())
        return {str(path): str(value) for path, value in record.items()}
    except (OSError, ValueError, AttributeError):
        return {}

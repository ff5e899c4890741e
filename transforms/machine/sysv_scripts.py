"""SysV scripts, and the units that systemd-sysv-generator makes from them at boot.

    root/etc/init.d, root/etc/rc?.d ──read_scripts──▶ Script

The generated units are in no directory that outlives a boot, so this module predicts them. Otherwise such a script
would start although documents want it stopped, or in exclusive mode. Source: src/sysv-generator/sysv-generator.c of
systemd 252 and 257, and its output for the scripts in tests/transforms/machine/test_sysv_scripts.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.systemd import unit_name

GENERATED = "run/systemd/generator.late"
"""The directory of the generated units."""
GENERATORS = ("usr/lib/systemd/system-generators", "lib/systemd/system-generators")
TARGETS = {
    "rc1.d": "rescue.target",
    "rc2.d": "multi-user.target",
    "rc3.d": "multi-user.target",
    "rc4.d": "multi-user.target",
    "rc5.d": "graphical.target",
}
_START = lazy_pattern(r"S\d\d(.+)")
_HEADER = lazy_pattern(r"^### BEGIN INIT INFO$(.*?)^### END INIT INFO$", re.MULTILINE | re.DOTALL)
_FIELD = lazy_pattern(r"^# ?([A-Za-z-]+):(.*)$", re.MULTILINE)
_UNIT = """\
[Unit]
Description={description}
{wants}[Service]
Type=forking
KillMode=process
RemainAfterExit=yes
ExecStart=/etc/init.d/{script} start
ExecStop=/etc/init.d/{script} stop
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One script. ``unit`` and ``text`` are the generated unit, ``provides`` its other names; ``targets`` start it.

    ``path`` is the real path of the script.
    """

    unit: str
    text: str
    path: str
    provides: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def read_scripts(root: Path) -> Iterator[Script]:
    """Yield the scripts below ``root`` by name, also those that have a unit; none if its systemd ignores scripts."""
    if not any("systemd-sysv-generator" in rootfs.names(root, top) for top in GENERATORS):
        return
    started = _started(root)
    for name in sorted(rootfs.names(root, "etc/init.d")):
        unit = _unit(name)
        path = rootfs.chase(root, f"etc/init.d/{name}")
        if not unit_name.is_valid(unit) or not path.is_file() or not os.access(path, os.X_OK):
            continue
        fields = _fields(root, name)
        needs = (*fields.get("required-start", ()), *fields.get("should-start", ()))
        network = "$network" in needs
        yield Script(
            unit=unit,
            text=_UNIT.format(
                description=" ".join(("LSB:", *fields.get("short-description", (name,)))),
                wants="Wants=network-online.target\n" if network else "",
                script=name,
            ),
            path=os.fspath(path),
            provides=tuple(
                other
                for provided in fields.get("provides", ())
                if (other := _unit(provided)) != unit and not provided.startswith("$") and unit_name.is_valid(other)
            ),
            targets=tuple(dict.fromkeys(target for run, target in TARGETS.items() if name in started[run])),
        )


def _unit(name: str) -> str:
    return f"{name.removesuffix('.sh')}.service"


def _started(root: Path) -> Mapping[str, frozenset[str]]:
    """Return for each runlevel the names of the scripts that it starts."""
    return {
        run: frozenset(match[1] for link in rootfs.names(root, f"etc/{run}") if (match := _START.fullmatch(link)))
        for run in TARGETS
    }


def _fields(root: Path, name: str) -> Mapping[str, tuple[str, ...]]:
    """Return the words of the LSB header by field, in lower case."""
    try:
        data = rootfs.read(root, f"etc/init.d/{name}") or b""
    except OSError:
        return {}
    header = _HEADER.search(data.decode("utf-8", "replace"))
    return {key.lower(): tuple(words.split()) for key, words in _FIELD.findall(header[1])} if header else {}

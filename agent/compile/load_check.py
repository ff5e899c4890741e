"""Units that PID 1 would refuse to load, found before anything is touched: it asks `systemd-analyze verify`.

    changed units ──▶ a directory in place of the generator's ──systemd-analyze──▶ unit, reason

systemd-analyze loads them with the code of PID 1 (src/analyze/analyze-verify.c), together with the drop-ins of the
distribution and of administrators. A thousand units take a quarter of a second. If it cannot run, nothing is found,
and the apply looks at the LoadState after the reload.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.unit_name import is_template, template_of

PROGRAM = "/usr/bin/systemd-analyze"
LONGEST_SEC = 30.0
ARGUMENTS_BYTES = 100_000
"""The most bytes of unit names in one call; more would not be faster."""
DIRECTORIES = (
    "{made}/early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "{made}/normal",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "{made}/late",
)
"""The directories in which PID 1 looks for units, with ours in place of those of the generator."""
_BAD = lazy_pattern(r"^Unit (\S+) has a bad unit file setting\.$")
_REFUSING = " Refusing."


def unloadable_units(new: Generation, last: Generation) -> Iterator[tuple[str, str, str]]:
    """Yield item, unit and reason of each unit of ``new`` that PID 1 would not load, if ``last`` has it otherwise."""
    changed = {a.path: a for a in new.artifacts if isinstance(a, UnitFile)}
    before = {a.path: a.content for a in last.artifacts if isinstance(a, UnitFile)}
    changed = {path: a for path, a in changed.items() if before.get(path) != a.content}
    units: dict[str, set[str]] = {}
    instances = {template_of(member.unit): member.unit for member in new.members if template_of(member.unit)}
    for path, artifact in changed.items():
        unit = unit_of(path)
        unit = instances.get(unit, "") if is_template(unit) else unit
        if unit:
            units.setdefault(unit, set()).add(artifact.item)
    for unit, reason in _refused(new, sorted(units)).items():
        for item in sorted(units.get(unit, ())):
            yield item, unit, reason


def unit_of(path: str) -> str:
    """Return the unit of an artifact: ``normal/web.service.d/00-ordain.conf`` → ``web.service``."""
    return path.split("/")[1].removesuffix(".d")


def _refused(generation: Generation, units: Iterable[str]) -> Mapping[str, str]:
    refused: dict[str, str] = {}
    groups = list(_groups(units))
    if not groups or not Path(PROGRAM).exists():
        return refused
    wanted = {name for group in groups for unit in group for name in (unit, template_of(unit))}
    with tempfile.TemporaryDirectory(prefix="ordain-units-") as made:
        for artifact in generation.artifacts:
            if isinstance(artifact, UnitFile) and unit_of(artifact.path) in wanted:
                path = Path(made, artifact.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(artifact.content, "utf-8")
        for group in groups:
            refused |= refusals(_verify(group, made))
    return refused


def _groups(units: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for unit in units:
        group.append(unit)
        size += len(unit) + 1
        if size > ARGUMENTS_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _verify(units: Iterable[str], made: str) -> str:
    environment = {
        "SYSTEMD_UNIT_PATH": ":".join(directory.format(made=made) for directory in DIRECTORIES),
        "SYSTEMD_LOG_COLOR": "0",
        "SYSTEMD_LOG_TARGET": "console",
        "LC_ALL": "C.UTF-8",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    }
    import subprocess  # which a first boot does without

    command = [PROGRAM, "verify", "--man=no", "--recursive-errors=no", "--", *units]
    try:
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=LONGEST_SEC, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr.decode("utf-8", "replace")


def refusals(output: str) -> dict[str, str]:
    """Return the units that the output of systemd-analyze says PID 1 would not load, each with the reason.

    >>> refusals("a.service: It has no ExecStart=. Refusing.\\nUnit a.service has a bad unit file setting.\\n")
    {'a.service': 'It has no ExecStart='}
    """
    lines = output.splitlines()
    refused = {}
    for line in lines:
        if match := _BAD.match(line):
            unit = match[1]
            own = [text.removeprefix(f"{unit}: ") for text in lines if text.startswith(f"{unit}: ")]
            own += [text.rpartition("/")[2] for text in lines if f"/{unit}:" in text or f"/{unit}.d/" in text]
            reasons = [text for text in own if text.endswith(_REFUSING)] or own
            refused[unit] = reasons[-1].removesuffix(_REFUSING).rstrip(".") if reasons else "its settings are invalid"
    return refused

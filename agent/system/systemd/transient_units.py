"""Commands that PID 1 runs for the agent, because the sandbox of the agent's own service forbids them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import BusError, Variant
from ordain.agent.system.systemd.systemd1 import Systemd

REPORTED_LINES = 3
"""The number of last lines of output that are reported when a command fails."""
TAKEN_SEC = 0.2
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"
NO_PROPERTIES: Mapping[str, Variant] = {}


async def run(
    systemd: Systemd,
    unit: str,
    description: str,
    commands: Sequence[tuple[str, ...]],
    *,
    output: Path,
    seconds: float,
    errors: Path | None = None,
    more: Mapping[str, Variant] = NO_PROPERTIES,
) -> str:
    """Run ``commands`` one after the other as the transient service ``unit``; return ``""``, or the error.

    While another process has a unit of this name, such as the agent or ordainctl, this waits for it, for ``seconds``.
    A command that begins with ``-`` may fail. The file ``output`` has the output afterwards, and ``errors`` the error
    output, which otherwise goes there as well. ``more`` are further properties of the unit, such as those of a sandbox.
    """
    atomic_files.make_folder(output.parent)
    words = [
        (argv[0].lstrip("-"), [argv[0].lstrip("-"), *map(_literal, argv[1:])], argv[0][0] == "-") for argv in commands
    ]
    properties = {
        "Description": Variant("s", description),
        "Type": Variant("s", "oneshot"),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "ExecStart": Variant("a(sasb)", words),
        "TimeoutStartUSec": Variant("t", int(seconds * 1e6)),
        "StandardOutputFileToTruncate": Variant("s", str(output)),
        "StandardErrorFileToAppend": Variant("s", str(errors or output)),
        **more,
    }
    deadline = time.monotonic() + seconds
    try:
        while not (job := await _queue_unless_taken(systemd, unit, properties)):
            if time.monotonic() > deadline:
                return f"{unit} of another process still runs after {seconds:.0f} seconds"
            await asyncio.sleep(TAKEN_SEC)
        result = await systemd.wait(job, seconds + 1)
    except BusError as error:
        return str(error)
    if result == "done":
        return ""
    lines = [line for line in _text(output).splitlines() if line.strip()]
    return " | ".join(lines[-REPORTED_LINES:]) or f"{commands[0][0]}: {result or 'lost'}"


async def _queue_unless_taken(systemd: Systemd, unit: str, properties: Mapping[str, Variant]) -> str:
    """Return the path of the job of a new transient unit, "" while there is one of this name."""
    try:
        return await systemd.queue_transient(unit, properties)
    except BusError as error:
        if error.error != UNIT_EXISTS:
            raise
        return ""


def _literal(word: str) -> str:
    """Return ``word`` such that PID 1 passes it on as it is: it replaces variables (systemd.service(5))."""
    return word.replace("$", "$$")


def _text(path: Path) -> str:
    try:
        return atomic_files.read(path).decode("utf-8", "replace")
    except OSError:
        return ""

"""Commands that PID 1 runs for the agent, because the sandbox of the agent's own service forbids them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ordain.agent.system import atomic_files
from ordain.agent.system.bus import BusError, Variant
from ordain.agent.system.systemd1 import Systemd

REPORTED_LINES = 3
"""The number of last lines of output that are reported when a command fails."""


async def run(
    systemd: Systemd, unit: str, description: str, commands: Sequence[tuple[str, ...]], *, output: Path, seconds: float
) -> str:
    """Run ``commands`` one after the other as the transient service ``unit``; return ``""``, or the error.

    A command that begins with ``-`` may fail. The file ``output`` has the output afterwards.
    """
    atomic_files.make_folder(output.parent)
    words = [(argv[0].lstrip("-"), [argv[0].lstrip("-"), *argv[1:]], argv[0][0] == "-") for argv in commands]
    properties = {
        "Description": Variant("s", description),
        "Type": Variant("s", "oneshot"),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "ExecStart": Variant("a(sasb)", words),
        "TimeoutStartUSec": Variant("t", int(seconds * 1e6)),
        "StandardOutputFileToTruncate": Variant("s", str(output)),
        "StandardErrorFileToAppend": Variant("s", str(output)),
    }
    try:
        job = await systemd.queue_transient(unit, properties)
        result = await systemd.wait(job, seconds + 1)
    except BusError as error:
        return str(error)
    if result == "done":
        return ""
    lines = [line for line in _text(output).splitlines() if line.strip()]
    return " | ".join(lines[-REPORTED_LINES:]) or f"{commands[0][0]}: {result or 'lost'}"


def _text(path: Path) -> str:
    try:
        return atomic_files.read(path).decode("utf-8", "replace")
    except OSError:
        return ""

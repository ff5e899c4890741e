"""Commands that PID 1 runs for the agent, which itself may do next to nothing; effect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ordain.agent.system import atomic_files
from ordain.agent.system.bus import BusError, Variant
from ordain.agent.system.systemd1 import Systemd

LINES = 3
"""Of what a command says, the last lines tell why it failed."""


async def run(
    systemd: Systemd, unit: str, description: str, commands: Sequence[tuple[str, ...]], *, said: Path, seconds: float
) -> str:
    """Run ``commands`` one after the other as the transient service ``unit``; "" if all did, else what was wrong.

    One that begins with ``-`` may fail. What they print is in the file ``said`` afterwards.
    """
    atomic_files.make_folder(said.parent)
    words = [(argv[0].lstrip("-"), [argv[0].lstrip("-"), *argv[1:]], argv[0][0] == "-") for argv in commands]
    properties = {
        "Description": Variant("s", description),
        "Type": Variant("s", "oneshot"),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "ExecStart": Variant("a(sasb)", words),
        "TimeoutStartUSec": Variant("t", int(seconds * 1e6)),
        "StandardOutputFileToTruncate": Variant("s", str(said)),
        "StandardErrorFileToAppend": Variant("s", str(said)),
    }
    try:
        job = await systemd.queue_transient(unit, properties)
        result = await systemd.wait(job, seconds + 1)
    except BusError as error:
        return str(error)
    if result == "done":
        return ""
    lines = [line for line in _text(said).splitlines() if line.strip()]
    return " | ".join(lines[-LINES:]) or f"{commands[0][0]}: {result or 'lost'}"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

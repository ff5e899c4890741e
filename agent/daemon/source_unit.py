"""The agent's hand on ordain-source.service: it runs with the settings of agent.yaml, or not at all; effect.

The names of credentials are configuration, and ImportCredential= came with systemd 254. So the agent writes a drop-in
into `FOLDER`, where a link that is part of the package makes PID 1 look; it holds names and places, never a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.handover_source import FOLDER as HANDOVER
from ordain.agent.delivery.source.handover_source import NAME, UNIT, read_handover
from ordain.agent.model import Verb
from ordain.agent.source_settings import SourceSettings
from ordain.agent.system import atomic_files
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.machine import rootfs

FOLDER = "run/ordain/source.d"
DROP_IN = "credentials.conf"
ENCRYPTED = ("etc/credstore.encrypted", "run/credstore.encrypted", "usr/lib/credstore.encrypted")
STOP_SEC = 15.0


async def see_to(systemd: Systemd, root: Path, settings: SourceSettings) -> None:
    """Have `UNIT` run with ``settings``, or stop. Raises `Unavailable` and OSError."""
    state = (await systemd.list_units([UNIT]))[UNIT]
    if not settings.remote:
        if state.running:
            await systemd.wait(await systemd.queue(Verb.STOP, UNIT), STOP_SEC)
        return
    changed = _place(root, "".join(drop_in(root, settings)))
    if changed:
        await systemd.reload()
    if not state.running or changed or not _works(root, settings):
        await systemd.restart(UNIT)


def drop_in(root: Path, settings: SourceSettings) -> Iterator[str]:
    """The lines that have PID 1 hand the credentials over; it searches for those in plain text itself."""
    if settings.credentials:
        yield "# Made by ordain-agent of /etc/ordain/agent.yaml.\n[Service]\n"
    for name in settings.credentials:
        place = next((f"/{folder}/{name}" for folder in ENCRYPTED if rootfs.exists(root, f"{folder}/{name}")), "")
        yield f"LoadCredentialEncrypted={name}:{place}\n" if place else f"LoadCredential={name}\n"


def _place(root: Path, text: str) -> bool:
    """Have the drop-in hold ``text``; whether that changed anything."""
    path = root / FOLDER / DROP_IN
    now = path.read_text() if path.exists() else ""
    if now == text:
        return False
    if text:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic_files.replace(path, text.encode())
    else:
        path.unlink()
    return True


def _works(root: Path, settings: SourceSettings) -> bool:
    """Whether `UNIT` has ``settings`` and is connected; else a credential may have come, which takes a restart."""
    try:
        found = read_handover(root / HANDOVER / NAME)
    except SourceError:
        return False
    return found.settings == settings.digest and found.health is not None and found.health.connected

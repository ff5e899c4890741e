"""Runs ordain-source.service with the settings of agent.yaml, or stops it if the source is not remote.

The names of credentials are configuration, and ImportCredential= exists only since systemd 254. So the agent writes a
drop-in into `FOLDER`, where PID 1 finds it by a link that is part of the package. It holds names and paths, never a
secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ordain.agent.delivery.identity.key_file import is_sealed, path_for_pid1, place_of_key
from ordain.agent.delivery.identity.machine_key import CREDENTIAL as MACHINE_KEY
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.handover_source import FOLDER as HANDOVER
from ordain.agent.delivery.source.handover_source import NAME, UNIT, read_handover
from ordain.agent.model import Verb
from ordain.agent.source_settings import SourceSettings
from ordain.agent.system import atomic_files
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.machine import rootfs

FOLDER = "run/ordain/source.d"
DROP_IN = "credentials.conf"
ENCRYPTED = ("etc/credstore.encrypted", "run/credstore.encrypted", "usr/lib/credstore.encrypted")
PLAIN = ("etc/credstore", "run/credstore", "usr/lib/credstore")
STOP_SEC = 15.0


async def configure_source_unit(systemd: Systemd, root: Path, settings: SourceSettings) -> None:
    """Have `UNIT` run with ``settings``, or stop it. Raises `Unavailable` and OSError."""
    state = (await systemd.list_units([UNIT]))[UNIT]
    if not settings.remote:
        if state.running:
            await systemd.wait(await systemd.queue(Verb.STOP, UNIT), STOP_SEC)
        return
    changed = _write_drop_in(root, "".join(drop_in(root, settings)))
    if changed:
        await systemd.reload()
    if not state.running or changed or not _is_connected(root, settings):
        await systemd.restart(UNIT)


def drop_in(root: Path, settings: SourceSettings) -> Iterator[str]:
    """Yield the lines that give the credentials to the service. PID 1 searches for those in plain text itself.

    The times of the machine's own key and of credentials are comments, so that the service starts anew after a change.
    """
    machine_key = place_of_key(root)
    if settings.credentials or machine_key:
        yield "# Made by ordain-agent from /etc/ordain/agent.yaml.\n[Service]\n"
    if machine_key:
        yield _time_of(root, machine_key)
        sealed = is_sealed(machine_key)
        place = path_for_pid1(machine_key)
        yield f"LoadCredentialEncrypted={MACHINE_KEY}:{place}\n" if sealed else f"LoadCredential={MACHINE_KEY}\n"
    for name in settings.credentials:
        sealed_place, place = (_place(root, name, folders) for folders in (ENCRYPTED, PLAIN))
        yield _time_of(root, sealed_place or place)
        yield f"LoadCredentialEncrypted={name}:{sealed_place}\n" if sealed_place else f"LoadCredential={name}\n"


def _place(root: Path, name: str, folders: Iterable[str]) -> str:
    """Return the path of a credential in the first of ``folders`` that has it, "" if none has."""
    return next((f"/{folder}/{name}" for folder in folders if rootfs.exists(root, f"{folder}/{name}")), "")


def _time_of(root: Path, place: str) -> str:
    """Return a comment with the time at which a file, or the target of a link, was changed; "" if there is none."""
    try:
        return f"# {place} of {rootfs.chase(root, place).stat().st_mtime_ns}\n" if place else ""
    except OSError:  # it is being replaced
        return ""


def _write_drop_in(root: Path, text: str) -> bool:
    """Write the drop-in, or remove it if ``text`` is empty. Return whether that changed anything."""
    path = root / FOLDER / DROP_IN
    if text == (path.read_text() if path.exists() else ""):
        return False
    if text:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic_files.replace(path, text.encode(), atomic_files.PUBLIC)
    else:
        path.unlink()
    return True


def _is_connected(root: Path, settings: SourceSettings) -> bool:
    """Return whether `UNIT` has ``settings`` and is connected. If not, a restart may give it a new credential."""
    try:
        handover = read_handover(root / HANDOVER / NAME)
    except SourceError:
        return False
    return handover.settings == settings.digest and handover.health is not None and handover.health.connected

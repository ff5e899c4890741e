"""The highest release of each channel that this machine has accepted, so that it never accepts an older one.

root/var/lib/ordain/releases.json    accepted releases, {CHANNEL: {number, hash}}; lasts as long as /var
root/run/ordain/releases.json        the same, where /var cannot be written: until the next boot
root/usr/lib/ordain/releases.json    the floor that an image was built with: all that a ramdisk keeps over a boot
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ordain.agent.delivery.release.verify import AcceptedRelease
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files

FLOOR = "usr/lib/ordain/releases.json"
PATHS = ("var/lib/ordain/releases.json", "run/ordain/releases.json")


def read_highest(root: Path) -> dict[str, AcceptedRelease]:
    """Return the highest accepted release of each channel in any of the files.

    Raises ValueError for a file that cannot be read: an attacker would want the machine to forget, so a damaged file
    does not count as an empty one.
    """
    highest: dict[str, AcceptedRelease] = {}
    for path in (FLOOR, *PATHS):
        for channel, accepted in _read(root / path).items():
            if channel not in highest or accepted.number >= highest[channel].number:
                highest[channel] = accepted
    return highest


def record_accepted(root: Path, channel: str, accepted: AcceptedRelease) -> None:
    """Record that a release was accepted, unless it is recorded already."""
    highest = read_highest(root)
    if highest.get(channel) == accepted:
        return
    _write(root, {**highest, channel: accepted})


def forget_accepted(root: Path, channel: str) -> AcceptedRelease | None:
    """Forget the accepted release of ``channel`` and return it, so that an older one can be accepted.

    The floor of the image stays.
    """
    forgotten = read_highest(root).get(channel)
    if forgotten is not None:
        for path in PATHS:
            others = {name: accepted for name, accepted in _read(root / path).items() if name != channel}
            if (root / path).exists():
                atomic_files.replace(root / path, _text(others))
    return forgotten


def _read(path: Path) -> dict[str, AcceptedRelease]:
    try:
        data = json.loads(atomic_files.read(path))
        return {str(channel): from_json(AcceptedRelease, value) for channel, value in data.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        message = f"{path}: cannot read the accepted releases: {error}"
        raise ValueError(f"{message}; if you remove the file, this machine also accepts older releases") from None


def _write(root: Path, accepted: Mapping[str, AcceptedRelease]) -> None:
    persistent, until_reboot = (root / path for path in PATHS)
    try:
        atomic_files.make_folder(persistent.parent)
        atomic_files.replace(persistent, _text(accepted))
    except OSError:
        atomic_files.make_folder(until_reboot.parent)
        atomic_files.replace(until_reboot, _text(accepted))
    else:
        until_reboot.unlink(missing_ok=True)


def _text(accepted: Mapping[str, AcceptedRelease]) -> bytes:
    return json.dumps({channel: to_json(release) for channel, release in sorted(accepted.items())}, indent=1).encode()

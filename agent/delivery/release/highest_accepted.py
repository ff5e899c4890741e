"""The highest release of each channel that this machine took, so that no older one is taken again; effect.

root/var/lib/ordain/releases.json    what was taken, {CHANNEL: {number, hash}}; with a /var of its own, over reboots
root/run/ordain/releases.json        the same, where /var cannot be written: until the reboot
root/usr/lib/ordain/releases.json    what an image was built with: its floor, all that a ramdisk remembers over a reboot
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
    """The highest release of each channel by any of the records. Raises ValueError for one that cannot be read:

    to forget is what an attacker would want, so a damaged record is not an empty one.
    """
    found: dict[str, AcceptedRelease] = {}
    for path in (FLOOR, *PATHS):
        for channel, accepted in _read(root / path).items():
            if channel not in found or accepted.number >= found[channel].number:
                found[channel] = accepted
    return found


def record_accepted(root: Path, channel: str, accepted: AcceptedRelease) -> None:
    """Record that a release was taken; written only if it is news."""
    known = read_highest(root)
    if known.get(channel) == accepted:
        return
    _write(root, {**known, channel: accepted})


def forget_accepted(root: Path, channel: str) -> AcceptedRelease | None:
    """Forget what was taken of ``channel``, so that an operator can have an older release; the image's floor stays."""
    known = read_highest(root)
    gone = known.pop(channel, None)
    if gone is not None:
        for path in PATHS:
            left = {name: accepted for name, accepted in _read(root / path).items() if name != channel}
            if (root / path).exists():
                atomic_files.replace(root / path, _text(left))
    return gone


def _read(path: Path) -> dict[str, AcceptedRelease]:
    try:
        data = json.loads(path.read_bytes())
        return {str(channel): from_json(AcceptedRelease, each) for channel, each in data.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: damaged ({error}); remove it if you know why, and older releases can be taken"
        ) from None


def _write(root: Path, all_: Mapping[str, AcceptedRelease]) -> None:
    lasting, passing = (root / path for path in PATHS)
    try:
        atomic_files.make_folder(lasting.parent)
        atomic_files.replace(lasting, _text(all_))
    except OSError:
        atomic_files.make_folder(passing.parent)
        atomic_files.replace(passing, _text(all_))
    else:
        passing.unlink(missing_ok=True)


def _text(all_: Mapping[str, AcceptedRelease]) -> bytes:
    return json.dumps({channel: to_json(accepted) for channel, accepted in sorted(all_.items())}, indent=1).encode()

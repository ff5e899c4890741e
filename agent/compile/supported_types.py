"""Types of units that the running system cannot have, for example in a container.

PID 1 loads such a unit, and refuses every job for it ("not supported"). It looks at the same things when it starts
(`automount_supported`, `swap_supported` in src/core).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.machine import rootfs

REASONS = {
    "automount": "its kernel or container has no autofs",
    "swap": "a container has no swap of its own",
}
"""The types, and the reason why a system may lack them."""
CONTAINER = "run/systemd/container"


def unsupported_types(root: Path) -> tuple[str, ...]:
    """Return the types of units that the system that runs on ``root`` cannot have; none if no system runs there."""
    if not rootfs.exists(root, "proc/self/mountinfo"):
        return ()
    supported = {"automount": _has_autofs(root), "swap": _has_swap(root)}
    return tuple(kind for kind in REASONS if not supported[kind])


def _has_autofs(root: Path) -> bool:
    """Return whether PID 1 finds /dev/autofs, which the agent's own /dev does not have (PrivateDevices=).

    A container sees the devices of the kernel in /proc/misc, whether it has them or not.
    """
    if rootfs.exists(root, "dev/autofs") or b" autofs " in _read(root, "proc/self/mountinfo"):
        return True
    return b" autofs\n" in _read(root, "proc/misc") and not rootfs.exists(root, CONTAINER)


def _has_swap(root: Path) -> bool:
    return rootfs.exists(root, "proc/swaps") and not rootfs.exists(root, CONTAINER)


def _read(root: Path, path: str) -> bytes:
    try:
        return (root / path).read_bytes()
    except OSError:
        return b""


def unsupported_units(generation: Generation, types: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield item, unit and reason of each unit of ``generation`` that the system cannot have."""
    for artifact in generation.artifacts if types else ():
        name = artifact.path.rpartition("/")[2]
        kind = name.rpartition(".")[2]
        if isinstance(artifact, UnitFile) and kind in types and artifact.path.count("/") == 1:
            yield artifact.item, name, REASONS[kind]

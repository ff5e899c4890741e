"""An even spread of machines, the same at every computation, and without a list of the machines."""

from __future__ import annotations

import hashlib


def position(machine: str, title: str) -> float:
    """Return the place of a machine in the order that ``title`` gives all of them, from 0 to just below 1.

    Each title gives another order, so that no machine is always the first.

    >>> 0 <= position("0" * 32, "stable 42") < 1
    True
    """
    digest = hashlib.sha256(f"{machine} {title}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48

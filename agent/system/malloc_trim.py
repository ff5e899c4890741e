"""Memory goes back to the machine once the work is done; effect."""

from __future__ import annotations

import ctypes
import gc

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim_memory() -> None:
    """Free what an apply left behind.

    A thousand services leave some ten MB in cycles and in the gaps of glibc's heap, which it keeps for the next time;
    for us that may be next month. Without glibc there is no `malloc_trim(3)`, and not that trouble.
    """
    gc.collect()
    if _trim is not None:
        _trim(0)

"""Work that may be done elsewhere: functions by name, so that who has it done needs not load what does it."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

MAKE = "ordain.agent.compile.compiler:make"
TAKE = "ordain.agent.delivery.release.admission:admit_snapshot"


class Elsewhere(Protocol):
    """Has a function called, here or in another process."""

    def __call__(self, function: str, /, *arguments: object) -> Any:
        """What ``function`` (``MODULE:NAME``) returns; raises what it raises."""


def here(function: str, /, *arguments: object) -> Any:
    """An `Elsewhere` in this process."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)

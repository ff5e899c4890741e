"""Work that may be done elsewhere: functions by name, so that who has it done needs not load what does it."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

COMPILE = "ordain.agent.compile.compiler:compile_generation"
ADMIT = "ordain.agent.delivery.release.admission:admit_snapshot"


class Executor(Protocol):
    """Has a function called, here or in another process."""

    def __call__(self, function: str, /, *arguments: object) -> Any:
        """What ``function`` (``MODULE:NAME``) returns; raises what it raises."""


def run_inline(function: str, /, *arguments: object) -> Any:
    """An `Executor` in this process."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)

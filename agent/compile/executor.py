"""Executors: they call a function by its name, in this process or in another one.

Whoever has a function called by name does not load the module that holds it, nor the libraries of that module.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

COMPILE = "ordain.agent.compile.compiler:compile_generation"
COMPILE_WITH_INPUTS = "ordain.agent.compile.compiler:compile_with_inputs"
REQUIRE_DOCUMENT = "ordain.agent.compile.compiler:require_document"
WARM_UP = "ordain.agent.compile.compiler:warm_up"
ADMIT = "ordain.agent.delivery.release.admission:admit_snapshot"


class Executor(Protocol):
    """Calls functions, in this process (`run_inline`) or in another one (`worker.Worker`)."""

    def __call__(self, function: str, /, *arguments: object) -> Any:
        """Return the result of ``function`` (``MODULE:NAME``); raise what it raises."""


def run_inline(function: str, /, *arguments: object) -> Any:
    """Call the function in this process; this is an `Executor`."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)

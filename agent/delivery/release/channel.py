"""Whose releases a machine takes: those of the channel that its label names; pure."""

from __future__ import annotations

from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.transforms.model import Facts

STABLE = "stable"
LABEL = "channel"
"""The label that says it: on the kernel command line or in agent.yaml, as a Node comes with a release."""


def channel_of(facts: Facts) -> str:
    """The channel of a machine. Raises `SourceError` for a machine of two."""
    named = facts.labels.get(LABEL, ())
    if len(named) > 1:
        raise SourceError(f"this machine has {len(named)} channels: {', '.join(named)}", code=SourceFault.SETTINGS)
    return named[0] if named else STABLE

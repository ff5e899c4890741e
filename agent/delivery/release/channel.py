"""The channel of a machine: it accepts the releases of the channel that its label names."""

from __future__ import annotations

from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.transforms.model import Facts

STABLE = "stable"
LABEL = "channel"
"""The label that names the channel: from the kernel command line or agent.yaml, as a Node is itself in a release."""


def channel_of(facts: Facts) -> str:
    """Return the channel of a machine. Raises `SourceError` for a machine with two."""
    named = facts.labels.get(LABEL, ())
    if len(named) > 1:
        message = f"this machine has {len(named)} channels: {', '.join(named)}"
        raise SourceError(message, code=SourceFault.SETTINGS, hint=f"keep one value of the label {LABEL}")
    return named[0] if named else STABLE

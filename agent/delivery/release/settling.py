"""The command that settles a conflict of a document, a release or an order to the fleet, by its key in the store."""

from __future__ import annotations

from ordain.agent.delivery.database.document_keys import DOCUMENTS, MACHINES, parse_key
from ordain.agent.delivery.release.change_log import POLICY
from ordain.agent.delivery.release.publish_lock import INTERNAL

_COMMANDS = {
    POLICY: "ordainctl store policy required|optional",
    f"{INTERNAL}holds": "ordainctl fleet hold, or ordainctl fleet follow",
    f"{INTERNAL}machines": "ordainctl fleet allow FILE",
}
_PUBLISH = "ordainctl release publish RELEASE FILES"


def settled_by(key: str) -> str:
    """Return the remedy for a conflict at ``key``.

    >>> settled_by("releases/_machines")
    'settle it with `ordainctl fleet allow FILE`'
    """
    return f"settle it with `{_command(key)}`"


def _command(key: str) -> str:
    if key in _COMMANDS:
        return _COMMANDS[key]
    if key.startswith(DOCUMENTS):
        parts = parse_key(key)
        return f"ordainctl documents put {parts[2] if parts else 'FILE'}.yaml"
    if key.startswith(MACHINES):
        return "ordainctl fleet identity"
    if key.endswith("/rollout"):
        channel = key.split("/")[1]
        return f"ordainctl release rollout {channel} --open SHARE, or --stop REASON"
    return _PUBLISH

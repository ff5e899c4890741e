"""The limit on removals that a source may cause without an administrator or a signature.

Empty, unauthorized, truncated or foreign answers never get here, because the source refuses them, and
`delivery.release.admission` refuses unsigned documents. An answer that gets here looks right, but may remove most of a
machine: never act on nothing (docs/design/contract.md).
"""

from __future__ import annotations

from ordain.agent.errors import RemovalLimitExceeded
from ordain.agent.model import Generation

_SHOWN = 5


def check_removals(old: Generation, new: Generation, max_removal: int) -> None:
    """Raise `RemovalLimitExceeded` if more than ``max_removal`` percent of the items of ``old`` are not in ``new``."""
    items = {member.item for member in old.members}
    removed = sorted(items - {member.item for member in new.members})
    if len(removed) * 100 > max_removal * len(items):
        names = ", ".join(removed[:_SHOWN]) + (", …" if len(removed) > _SHOWN else "")
        limit = f"max-removal allows {max_removal} %; nothing was changed"
        raise RemovalLimitExceeded(
            f"the source no longer has {len(removed)} of {len(items)} services ({names}), but {limit}"
        )

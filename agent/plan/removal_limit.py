"""Never act on nothing: what a server is believed without a hand or a signature; pure.

Empty, unauthorised, truncated or foreign answers never get here: `sources` refuses them, and `release.admit` what
nobody signed. What is left looks right, and takes most of a machine away.
"""

from __future__ import annotations

from ordain.agent.errors import RemovalLimitExceeded
from ordain.agent.model import Generation

_SHOWN = 5


def check_removals(old: Generation, new: Generation, max_removal: int) -> None:
    """Raises `RemovalLimitExceeded` if more than ``max_removal`` percent of what ``old`` holds is not in ``new``."""
    held = {member.item for member in old.members}
    gone = sorted(held - {member.item for member in new.members})
    if len(gone) * 100 > max_removal * len(held):
        names = ", ".join(gone[:_SHOWN]) + (", …" if len(gone) > _SHOWN else "")
        raise RemovalLimitExceeded(
            f"the source no longer has {len(gone)} of {len(held)} services ({names}); what was applied stays"
        )

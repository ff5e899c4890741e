"""Never act on nothing: what is believed of a source without a hand or a signature; pure.

Empty, unauthorised, truncated or foreign answers never get here: `sources` refuses them. What is left is what looks
right: documents that nobody signed, and documents that take most of a machine away.
"""

from __future__ import annotations

from ordain.agent.failure import Withheld
from ordain.agent.model import Generation
from ordain.agent.settings import Settings, Trust
from ordain.agent.sources import Fault, Snapshot, SourceError
from ordain.agent.sources.settings import Kind

_SHOWN = 5


def admit(snapshot: Snapshot, settings: Settings) -> Snapshot:
    """``snapshot`` if ``trust`` takes it; ``local`` takes unsigned documents of a directory. Raises `SourceError`."""
    trusted = settings.trust is Trust.OPEN or (settings.trust is Trust.LOCAL and settings.source.type is Kind.DIRECTORY)
    if snapshot.signed or trusted or not snapshot.texts:
        return snapshot
    what = f"the documents of {settings.source.location} are not signed, and `trust: {settings.trust}` takes no such"
    raise SourceError(what, code=Fault.UNSIGNED, hint="publish a signed release, or set `trust: open` in agent.yaml")


def believe(old: Generation, new: Generation, max_removal: int) -> None:
    """Raises `Withheld` if more than ``max_removal`` percent of what ``old`` holds is not in ``new``."""
    held = {member.item for member in old.members}
    gone = sorted(held - {member.item for member in new.members})
    if len(gone) * 100 > max_removal * len(held):
        names = ", ".join(gone[:_SHOWN]) + (", …" if len(gone) > _SHOWN else "")
        raise Withheld(
            f"the source no longer has {len(gone)} of {len(held)} services ({names}); what was applied stays"
        )

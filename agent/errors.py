"""What can keep an operation from being done, apart from wrong documents (`transforms.errors.Refused`).

Failure
├── Unavailable   no bus, no systemd, or it did not answer in time
├── Busy          another apply is under way
├── Denied        the caller may not
├── Withheld      it would take away more than is believed of a source
├── Rejected      it failed before, and nothing has changed since
├── Aside         the machine is on its way down
└── NotYet        a later version will
"""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """Nothing was changed, and why. ``name`` is the D-Bus error, ``exit_status`` that of ordainctl."""

    name: ClassVar[str] = "org.ordain.Error.Failed"
    exit_status: ClassVar[int] = 1


class Unavailable(Failure):
    """No bus, no systemd, or no answer in time; trying again later can help."""

    name = "org.ordain.Error.Unavailable"


class Busy(Failure):
    """Another apply is under way."""

    name = "org.ordain.Error.Busy"
    exit_status = 6


class Denied(Failure):
    """The caller may not do this."""

    name = "org.ordain.Error.Denied"


class Withheld(Failure):
    """It would take away more services than a source is believed without a hand or a signature."""

    name = "org.ordain.Error.Withheld"
    code: ClassVar[str] = "SourceShrunken"
    hint: ClassVar[str] = "`ordainctl plan` shows what would go; `ordainctl apply` makes it so"


class Rejected(Failure):
    """This generation was gone back from, and the documents are the same."""

    name = "org.ordain.Error.Rejected"


class Aside(Failure):
    """The machine is on its way down; its next boot starts with what was proven before."""

    name = "org.ordain.Error.Aside"


class NotYet(Failure):
    """Part of the contract that this version does not serve."""

    name = "org.ordain.Error.NotYet"


BY_NAME = {kind.name: kind for kind in (Failure, Unavailable, Busy, Denied, Withheld, Rejected, Aside, NotYet)}
"""D-Bus error name → the class to raise on the other side."""
REFUSED = "org.ordain.Error.Refused"
"""D-Bus error whose message is the JSON of `Refused.problems`."""

"""doctor: whether Ordain itself is in order on this machine, one row a check, each with what to do."""

from __future__ import annotations

from argparse import Namespace

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.doctor_checks import CHECKS, Check, Verdict
from ordain.agent.model import to_json

STYLES = {Verdict.OK: Style.GOOD, Verdict.WARNING: Style.WARN, Verdict.FAILED: Style.BAD}


def doctor(request: Namespace, console: Console) -> Exit:
    """`ordainctl doctor`."""
    found: list[Check] = []
    with console.progress("checking"):
        for check in CHECKS:
            found += check(request.root)
    if request.json:
        console.json(to_json(found))
    else:
        console.table(
            (),
            [(c.about, (str(c.verdict), STYLES[c.verdict]), c.what + (f"; {c.hint}" if c.hint else "")) for c in found],
        )
    return Exit.REFUSED if any(c.verdict is Verdict.FAILED for c in found) else Exit.OK

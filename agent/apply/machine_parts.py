"""The machine as the parts of an apply use it: one value instead of the same arguments for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ordain.agent.apply.generation_writer import GenerationWriter
from ordain.agent.apply.observe import Observer
from ordain.agent.apply.trial import Trials
from ordain.agent.state.apply_journal import ApplyJournal
from ordain.agent.state.decisions import Decisions
from ordain.agent.state.store import Store
from ordain.agent.system.systemd.systemd1 import Systemd


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineParts:
    """PID 1 of a machine, its observer, and the files below ``root`` that an apply reads and writes."""

    root: Path
    systemd: Systemd
    store: Store
    writer: GenerationWriter
    decisions: Decisions
    trials: Trials
    journal: ApplyJournal
    observer: Observer


def machine_parts(systemd: Systemd, root: Path) -> MachineParts:
    """Return the parts of the machine below ``root``, whose PID 1 is ``systemd``."""
    store = Store(root)
    return MachineParts(
        root=root,
        systemd=systemd,
        store=store,
        writer=GenerationWriter(store),
        decisions=Decisions(root),
        trials=Trials(root),
        journal=ApplyJournal(root),
        observer=Observer(systemd=systemd, root=root, store=store),
    )

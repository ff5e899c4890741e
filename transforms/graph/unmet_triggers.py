"""Sockets, timers, paths and automounts of the documents whose unit nobody has: PID 1 refuses to start them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.artifacts import Artifact, UnitFile
from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf
from ordain.transforms.model import Installed
from ordain.transforms.systemd import unit_name


def unmet_triggers(
    artifacts: Iterable[Artifact], units: EffectiveUnits, installed: Installed | None, place_of: PlaceOf
) -> Iterator[Problem]:
    """Warn of each unit file that starts a unit which neither the documents nor the machine have.

    Without ``installed``, a package may bring it.
    """
    if installed is None:
        return
    files = {a.path.partition("/")[2]: a for a in artifacts if isinstance(a, UnitFile) and a.path.count("/") == 1}
    for unit, file in sorted(files.items()):
        if unit_name.is_template(unit):
            continue
        automount = unit.removesuffix(".automount")
        started = (f"{automount}.mount",) if automount != unit else units.triggered(unit)
        for name in started:
            names = {name, unit_name.template_of(name)} - {""}
            if names.isdisjoint(files) and names.isdisjoint(units.units) and names.isdisjoint(installed.units):
                what = f"PID 1 refuses to start {unit}, because {name}, which it starts, does not exist"
                hint = f"add {name}, install the package that has it, or name another unit"
                yield warning(file.item, place_of(file.item), what, hint, "Doubtful")

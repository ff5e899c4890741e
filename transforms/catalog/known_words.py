"""Names that other projects define, by which a misspelling is found without a machine: time zones, keyboard layouts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
_TREES = ("posix/", "right/")
"""The trees of zoneinfo with the same names again, without and with leap seconds."""
LAYOUTS = frozenset(
    """
    af al am ara at au az ba bd be bg br brai bt bw by ca cd ch cm cn custom cz de dk dz ee epo es et eu fi fo fr gb
    ge gh gn gr hr hu id ie il in iq ir is it jp jv ke kg kh kr kz la latam lk lt lv ma mao md me mk ml mm mn mt mv
    my ng nl no np nz ph pk pl pt ro rs ru se si sk sn sy tg th tj tm tr tw tz ua us uz vn za
    """.split()
)
"""The layouts of xkb-data (/usr/share/X11/xkb/rules/base.lst), which XKBLAYOUT in keyboard(5) names."""


@cache
def time_zones() -> frozenset[str]:
    """Return the names of the time zones of tzdata."""
    lines = (DATA / "time-zones.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def is_time_zone(name: str) -> bool:
    """Return whether tzdata has a time zone of this name.

    >>> is_time_zone("Europe/Berlin"), is_time_zone("right/UTC"), is_time_zone("Europe/Nowhere")
    (True, True, False)
    """
    for tree in _TREES:
        name = name.removeprefix(tree)
    return name in time_zones()

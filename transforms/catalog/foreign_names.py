"""Names of services on other systems: the neutral name of one of their units, and the systems that know a name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ordain.transforms.catalog.shipped import shipped


def neutral_name(name: str) -> str:
    """Return the neutral name of a service that some system calls ``name``, "" if none or several do."""
    return _neutral_names().get(name, "")


def known_on(name: str) -> tuple[str, ...]:
    """Return the systems that a Transform names the unit of service ``name`` for, or "most systems".

    The versions of the systems are left out.
    """
    systems: list[str] = []
    for document in shipped():
        row = document.sections.branch("services").branch(name)
        if row.leaf("unit") is None and row.leaf("instance") is None:
            continue
        conditions = [document.match[fact] for fact in ("os", "id") if fact in document.match]
        named = [str(value) for condition in conditions if not condition.negated for value in condition.values]
        systems += named or ["most systems"]
    return ("most systems",) if "most systems" in systems else tuple(dict.fromkeys(systems))


@cache
def _neutral_names() -> Mapping[str, str]:
    names: dict[str, set[str]] = {}
    for document in shipped():
        services = document.sections.branch("services")
        for neutral in services:
            row = services.branch(neutral)
            for key in ("unit", "instance", "package"):
                leaf = row.leaf(key)
                if leaf is not None and isinstance(leaf.value, str):
                    names.setdefault(leaf.value.removesuffix(".service").removesuffix("@"), set()).add(neutral)
    # The package mariadb-server brings the services mariadb and mysql: the one that it is named after is meant.
    only = {
        other: own_names if len(own_names) == 1 else {n for n in own_names if other.startswith(n)}
        for other, own_names in names.items()
    }
    return {
        other: next(iter(own_names))
        for other, own_names in only.items()
        if len(own_names) == 1 and other not in names[other]
    }

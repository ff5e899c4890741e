"""The neutral names of services by the names that other systems give their units and packages: httpd is apache."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ordain.transforms.catalog.shipped import shipped


def neutral_name(name: str) -> str:
    """Return the neutral name of a service that some system calls ``name``, "" if none or several do."""
    return _neutral_names().get(name, "")


@cache
def _neutral_names() -> Mapping[str, str]:
    names: dict[str, set[str]] = {}
    for document in shipped():
        services = document.sections.branch("services")
        for neutral in services:
            row = services.branch(neutral)
            for key in ("unit", "package"):
                leaf = row.leaf(key)
                if leaf is not None and isinstance(leaf.value, str):
                    names.setdefault(leaf.value.removesuffix(".service"), set()).add(neutral)
    return {other: next(iter(found)) for other, found in names.items() if len(found) == 1 and other not in found}

"""`make audit` with ORDAIN_AUDIT_SOURCES=DIR: compares rows with the packaging sources of other systems.

    rows ──claims──▶ `seen`, row by row, in a `Tree` of recipes ──▶ data/verified.yaml

DIR has a directory for each system, such as DIR/fedora-43 or DIR/gentoo, with its spec files, ebuilds or PKGBUILDs at
any depth, and a file ORIGIN of two lines: what they are, and the day of their state. A row is false if the recipe of
its package gives the unit to another package. A value that no recipe names is neither confirmed nor false: a recipe
need not name what the program installs by itself, and a tree need not have every package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from audit.debian import kind_of
from audit.recipes import Recipe, Tree, read_tree
from audit.table import listed, read_table, write_table

from ordain.transforms.catalog import audit_results
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped

VARIABLE = "ORDAIN_AUDIT_SOURCES"


def main() -> int:
    """Audit the systems that ``ORDAIN_AUDIT_SOURCES`` has sources of, and return the exit status."""
    directory = os.environ.get(VARIABLE, "")
    if not directory:
        print(f"no packaging sources: set {VARIABLE} to a directory with one for each system, such as fedora-43")
        return 0
    table = read_table()
    wrong = 0
    for path in sorted(Path(directory).iterdir()):
        if path.name not in known_systems():
            print(f"{path}: not the name of a system; known: {', '.join(known_systems())}", file=sys.stderr)
            wrong += 1
            continue
        tree = read_tree(path)
        names, _ = names_for(shipped(), facts_for(path.name), shared_versions(shipped()))
        table[path.name], false = audited(path.name, tree, audit_results.claims(names))
        wrong += false
    write_table(table)
    return int(wrong > 0)


def audited(system: str, tree: Tree, claims: audit_results.Claims) -> tuple[dict[str, dict[str, str]], int]:
    """Return the rows of ``system`` that ``tree`` confirms, at least in part, and the number of false rows."""
    rows: dict[str, dict[str, str]] = {
        audit_results.READ: {"how": "packaging source", "of": tree.about, "when": tree.when}
    }
    values = confirmed = false = 0
    for row, claim in claims.items():
        if "package" not in claim:
            continue
        found, wrong = seen(tree, claim)
        values += len(claim)
        confirmed += len(found) - bool(found)
        false += bool(wrong)
        print("".join(f"FALSE {system} {row}: {text}\n" for text in wrong), end="")
        if found:
            rows[row] = found
            print(f"seen  {system} {row}: {listed(found)}")
    print(f"{system}: {confirmed} of {values} values in {len(rows) - 1} rows seen, {false} rows false; {tree.about}\n")
    return rows, false


def seen(tree: Tree, claim: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of ``claim`` that a recipe of its package confirms, and a sentence for each wrong value."""
    packages = [value for key, value in claim.items() if kind_of(key) == "package"]
    best: dict[str, str] = {}
    wrong: list[str] = []
    for recipe in tree.of_package(claim["package"]):
        found = {key: value for key, value in claim.items() if _confirms(recipe, packages, key, value)}
        wrong += [
            f"{recipe.path} gives {value} to {', '.join(recipe.owners(value))}, not to {' or '.join(packages)}"
            for key, value in claim.items()
            if kind_of(key) == "unit" and key not in found and recipe.owners(value)
        ]
        if len(found) >= len(best):
            best = {**found, "source": recipe.path}
    return best, wrong


def _confirms(recipe: Recipe, packages: list[str], key: str, value: str) -> bool:
    if kind_of(key) == "package":
        return value in recipe.packages
    if kind_of(key) == "unit":
        owned = any(recipe.lists(package, value) for package in packages)
        return owned or (not recipe.owners(value) and recipe.names_unit(value))
    return recipe.names_path(value)


if __name__ == "__main__":
    sys.exit(main())

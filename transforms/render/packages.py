"""The section ``packages``: each entry by its name on this system, for the package manager of this system."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ordain.transforms.catalog.foreign_names import neutral_name
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, Where, blocked, warning
from ordain.transforms.model import Branch, Tree
from ordain.transforms.package_set import NO_PACKAGES, PackageManager, PackageSet, PackageState, WantedPackage
from ordain.transforms.render.rendered_item import RenderedItem


def render(name: str, branch: Branch, pointer: str, names: Names) -> RenderedItem:
    """Return the item of one package."""
    manager, packages = package_manager(names), names.packages(name)
    if not manager.name:
        what = "no Transform names a package manager of this system, so nothing can be installed"
        hint = "install it into the image of the machine, or limit the layer to other systems with `match`"
        return RenderedItem(pointer=pointer, problems=(blocked(pointer, branch.where, what, hint, "NoPackageManager"),))
    if (role := names.roles.get(name)) and role.what:
        return RenderedItem(
            pointer=pointer, problems=(blocked(pointer, branch.where, role.what, role.hint, "NoProvider"),)
        )
    if not packages:
        what, hint = f"no Transform names the package of {name} on this system", "write the name of the package itself"
        return RenderedItem(pointer=pointer, problems=(blocked(pointer, branch.where, what, hint, "Unmapped"),))
    if problem := _misnamed(packages[0], branch, pointer, names):
        return RenderedItem(pointer=pointer, problems=(problem,))
    main = WantedPackage(
        name=packages[0],
        item=pointer,
        state=PackageState(str(branch.value("state", PackageState.PRESENT))),
        version=str(branch.value("version", "")),
        hold=branch.value("hold", False) is True,
    )
    wanted = (main, *(replace(main, name=further, version="") for further in packages[1:]))
    problems = (*_impossible(main, branch, manager), *_foreign(name, branch, pointer, names))
    return RenderedItem(pointer=pointer, packages=wanted, problems=problems)


def package_set(items: Iterable[RenderedItem], names: Names) -> PackageSet:
    """Return the packages of all ``items``, each once."""
    wanted = {package.name: package for item in items for package in item.packages}
    if not wanted:
        return NO_PACKAGES
    return PackageSet(manager=package_manager(names), wanted=tuple(wanted[name] for name in sorted(wanted)))


def package_clashes(items: Iterable[RenderedItem], where: Callable[[str], Where]) -> Iterator[Problem]:
    """Yield a problem for each entry that wants a package that another entry wants in another way."""
    entries: dict[str, list[WantedPackage]] = {}
    for package in (package for item in items for package in item.packages):
        entries.setdefault(package.name, []).append(package)
    for name, packages in entries.items():
        if len({replace(package, item="") for package in packages}) > 1:
            items_of_it = " and ".join(package.item for package in packages)
            what = f"{items_of_it} are one package, {name}, and say different things"
            for package in packages:
                yield blocked(package.item, where(package.item), what, "remove one of them", "Clash")


def package_manager(names: Names) -> PackageManager:
    """Return the package manager of this system; one without a name if it has none."""
    name, row = names.package_manager()
    values = {key.replace("-", "_"): _value(tree) for key, tree in row.children.items() if key not in _FOR_DOCUMENTS}
    return PackageManager(name=name, **values) if row.children else PackageManager()  # type: ignore[arg-type]


_FOR_DOCUMENTS = frozenset({"about", "names", "naming"})
"""The keys of a package manager that the agent does not need."""


def _misnamed(package: str, branch: Branch, pointer: str, names: Names) -> Problem | None:
    """Return the problem with a name that the package manager takes as more than a package, such as a release."""
    manager, row = names.package_manager()
    pattern = str(row.value("names", ""))
    if not pattern or re.fullmatch(pattern, package):
        return None
    hint = str(row.value("naming", "write the name of the package alone"))
    return blocked(pointer, branch.where, f"{package} is not the name of a package for {manager}", hint, "PackageName")


def _value(tree: Tree) -> object:
    """Return the value of a key of a row, which has the shape of the field."""
    if isinstance(tree, Branch):
        return {name: str(leaf.value) for name, leaf in tree.leaves()}
    return tree.value


def _impossible(wanted: WantedPackage, branch: Branch, manager: PackageManager) -> Iterator[Problem]:
    """Yield a problem for each wish that the package manager of the system cannot fulfil."""
    version, hold = branch.leaf("version"), branch.leaf("hold")
    if version is not None and wanted.version and not manager.versioned:
        what = f"{manager.name} installs only the version that its repositories have"
        yield blocked(wanted.item, version.where, what, "remove `version`, or use a repository with that version")
    if hold is not None and wanted.hold and not manager.hold:
        what = f"{manager.name} has no command that holds the version of a package"
        yield blocked(wanted.item, hold.where, what, "remove `hold`, and name it in the settings of the manager")


def _foreign(name: str, branch: Branch, pointer: str, names: Names) -> Iterator[Problem]:
    """Yield a warning for the name that a package has on other systems only."""
    neutral = neutral_name(name)
    here = names.package(neutral) if neutral and names.package(name) == name else name
    if here not in ("", name):
        what = f"other systems call the package of {neutral} {name}, and this one calls it {here}"
        yield warning(pointer, branch.where, what, f"write {neutral}, its name on every system", "ForeignName")

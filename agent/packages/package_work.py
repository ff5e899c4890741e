"""The one comparison of the packages that documents want with those of the machine; no effects.

PackageSet, InstalledPackages, PackageRecord ──package_work──▶ PackageWork ──package_conditions──▶ conditions
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ordain.agent.condition import StatusCondition
from ordain.agent.packages.manager_output import InstalledPackages
from ordain.agent.state.package_record import PackageRecord
from ordain.transforms.package_set import PackageSet, PackageState, WantedPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageWork:
    """The work on the packages of a machine.

    ``install`` are missing, or have another version. ``drifted`` were as wanted, and somebody else has changed them:
    only an administrator has them installed again. ``remove`` were installed by Ordain, and no document wants them any
    more. ``foreign`` are not to be installed, but Ordain has not installed them. ``hold`` and ``unhold`` are names.
    """

    install: tuple[WantedPackage, ...] = ()
    drifted: tuple[WantedPackage, ...] = ()
    remove: tuple[str, ...] = ()
    foreign: tuple[WantedPackage, ...] = ()
    hold: tuple[WantedPackage, ...] = ()
    unhold: tuple[str, ...] = ()

    @property
    def settles(self) -> bool:
        """Return whether there is something to do without an administrator."""
        return bool(self.install or self.remove or self.hold or self.unhold)


def package_work(packages: PackageSet, installed: InstalledPackages, record: PackageRecord) -> PackageWork:
    """Return the work that leads from the ``installed`` packages to the wanted ones."""
    wanted = {package.name: package for package in packages.wanted if package.state is PackageState.PRESENT}
    absent = [package for package in packages.wanted if package.state is PackageState.ABSENT]
    wrong = [package for package in wanted.values() if not _is_right(package, installed)]
    drifted = [package for package in wrong if record.settled.get(package.name) == package.wish]
    hold = {package.name: package for package in wanted.values() if package.hold}
    return PackageWork(
        install=tuple(package for package in wrong if package not in drifted),
        drifted=tuple(drifted),
        remove=tuple(sorted((set(record.installed) - wanted.keys()) & installed.versions.keys())),
        foreign=tuple(p for p in absent if p.name in installed.versions and p.name not in record.installed),
        hold=tuple(package for name, package in hold.items() if name not in installed.held and package not in drifted),
        unhold=tuple(sorted((set(record.held) & installed.held) - hold.keys())),
    )


def _is_right(package: WantedPackage, installed: InstalledPackages) -> bool:
    version = installed.versions.get(package.name)
    return version is not None and package.is_version(version) and package.name not in installed.broken


def package_conditions(
    packages: PackageSet, installed: InstalledPackages, record: PackageRecord
) -> Iterator[StatusCondition]:
    """Yield a condition for each package that is not as the documents want it."""
    work = package_work(packages, installed, record)
    began = set(record.began)
    for package in (*work.install, *(p for p in work.hold if p not in work.install)):
        if why := record.failures.get(package.name):
            hint = "correct it, or the documents, and run `ordainctl apply`; the agent tries again every hour at least"
            failed = _fault("PackageFailed", package, f"{package.name}: {why}", hint)
            yield replace(failed, public=f"{package.name}: the package manager could not do what the documents want")
        elif package.name in began or package.name in installed.broken:
            what = f"{package.name} is installed only in part: its installation has begun, and has not ended"
            yield _fault("PackagePending", package, what, "the agent finishes it; `ordainctl apply` does it now")
        else:
            what = f"{package.name} {_state(package, installed)}"
            yield _fault("PackagePending", package, what, "the agent installs it once the boot is complete")
    for package in work.drifted:
        what = f"somebody has changed the package {package.name}: it {_state(package, installed)}"
        yield _fault(
            "PackageChanged", package, what, "run `ordainctl apply` to install it again, or change the documents"
        )
    for package in work.foreign:
        what = f"{package.name} is installed, but not by Ordain, which therefore does not remove it"
        yield _fault("PackageKept", package, what, "remove it with the package manager, if nothing needs it")
    for name in work.remove:
        absent = next((package for package in packages.wanted if package.name == name), None)
        what = f"{name}: {record.failures.get(name) or 'no document wants it any more, and it is to be removed'}"
        hint = "see what depends on it; the agent removes it once nothing does"
        yield StatusCondition(
            code="PackageKept",
            what=what,
            public=f"{name}: the package stays for now",
            hint=hint,
            item=absent.item if absent else "",
            fault=absent is not None,
        )


def _state(package: WantedPackage, installed: InstalledPackages) -> str:
    version = installed.versions.get(package.name)
    if version is None:
        return "is not installed"
    if not package.is_version(version):
        return f"has the version {version}, and not {package.version}"
    return "is not held in its version"


def _fault(code: str, package: WantedPackage, what: str, hint: str) -> StatusCondition:
    return StatusCondition(code=code, what=what, hint=hint, item=package.item, fault=True)

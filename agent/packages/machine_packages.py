"""The packages of one machine: compared with the documents, previewed, installed, held and removed.

    settle   1. refresh      the lists of the repositories; old ones will do if that fails
             2. preview      each package must be among those that are installed, and no other one may be removed:
                             one that cannot be had is left out, and the others are not
             3. install      recorded before it begins, so that a power cut leaves no package that nobody knows
             4. hold, unhold
             5. remove       what Ordain installed, and nothing needs

Nothing of this is a part of an apply, and no rollback undoes it: another generation never waits for a repository.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, PackageAction, PackageChange
from ordain.agent.packages.manager_output import InstalledPackages, PackagePreview, complaint, read_preview
from ordain.agent.packages.manager_runs import ManagerRuns
from ordain.agent.packages.package_work import PackageWork, package_conditions, package_work
from ordain.agent.state.package_record import PackageRecord, read_package_record, write_package_record
from ordain.transforms.package_set import Commands, PackageManager, PackageSet, PackageState, WantedPackage

log = logging.getLogger(__name__)
NOT_LISTED = StatusCondition(
    code="PackagesUnknown",
    what="the package manager cannot list the installed packages, so they are not compared with the documents",
    hint="see /run/ordain/packages/installed; only root can ask it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The packages that can be installed, the preview of it, and why others cannot.

    ``refused`` are those among the others that would remove packages: newer lists of the repositories change nothing.
    """

    packages: tuple[WantedPackage, ...] = ()
    preview: PackagePreview = field(default_factory=PackagePreview)
    failures: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


class MachinePackages:
    """The packages of the machine, or image, below ``root``."""

    def __init__(self, runs: ManagerRuns, root: Path) -> None:
        self._runs, self._root = runs, root
        self._lock = asyncio.Lock()

    async def conditions(self, generation: Generation) -> tuple[StatusCondition, ...]:
        """Return a condition for each package that is not as ``generation`` wants it."""
        packages, record = self._in_force(generation.packages)
        if not packages.manager.name:
            return ()
        installed = await self._runs.installed(packages.manager)
        return (NOT_LISTED,) if installed is None else tuple(package_conditions(packages, installed, record))

    async def preview(self, packages: PackageSet) -> tuple[tuple[PackageChange, ...], Mapping[str, str]]:
        """Return the changes that `settle` would make now, and by package why some are impossible.

        Nothing is fetched: of a package that the lists of the repositories do not have yet, the version is "".
        """
        work, _, record = await self._work(packages, asked=True)
        packages, _ = self._in_force(packages)
        if work is None:
            return (), {}
        agreed = await self._agree(packages, work.install)
        unknown = [p for p in work.install if p.name in agreed.failures and p.name not in agreed.refused]
        removal, kept = await self._agree_to_remove(packages.manager, work.remove)
        changes = (
            *_installs(agreed.preview if agreed.packages else PackagePreview(), packages),
            *(PackageChange(name=p.name, action=PackageAction.INSTALL, item=p.item) for p in unknown),
            *(PackageChange(name=p.name, action=PackageAction.HOLD, item=p.item) for p in work.hold),
            *(PackageChange(name=name, action=PackageAction.UNHOLD) for name in work.unhold),
            *(PackageChange(name=name, action=PackageAction.REMOVE) for name in removal),
        )
        failed = {p.name: record.failures[p.name] for p in unknown if p.name in record.failures}
        return changes, {**{name: agreed.failures[name] for name in agreed.refused}, **failed, **kept}

    async def settle(self, packages: PackageSet, *, asked: bool, removes: bool) -> tuple[PackageChange, ...]:
        """Install, hold and remove packages as the documents want; return what has changed.

        ``asked``: an administrator has asked for it, so that what others have changed is corrected, too. ``removes``:
        what no document wants any more may be removed.
        """
        async with self._lock:
            await self._runs.ended()
            packages, _ = self._in_force(packages)
            work, installed, record = await self._work(packages, asked=asked)
            if work is None or installed is None:
                return ()
            self._write(_noted(record, packages, installed, record.failures))
            if not (work.install or work.hold or work.unhold or (removes and work.remove)):
                return ()
            before, failures = installed, await self._carry_out(packages, work, installed, removes=removes)
            after = await self._runs.installed(packages.manager) or before
            changes = tuple(_changes(packages, before, after))
            for change in changes:
                log.info("%s", " ".join(filter(None, (change.action, "package", change.name, change.version))))
            for name, why in sorted(failures.items()):
                log.warning("package %s: %s", name, why)
            self._write(_noted(read_package_record(self._root), packages, after, failures))
            return changes

    def concern(self, packages: PackageSet) -> bool:
        """Return whether the documents want packages, or Ordain has installed some."""
        return bool(self._in_force(packages)[0].manager.name)

    async def needs_work(self, packages: PackageSet) -> bool:
        """Return whether `settle` would have anything to do, or to record, without an administrator."""
        packages, _ = self._in_force(packages)
        work, installed, record = await self._work(packages, asked=False)
        if work is None or installed is None:
            return False
        return work.settles or _noted(record, packages, installed, record.failures) != record

    def _in_force(self, packages: PackageSet) -> tuple[PackageSet, PackageRecord]:
        """Return the packages with their manager; the one of the record if the documents name none any more."""
        record = read_package_record(self._root)
        if not packages and record.installed:
            packages = PackageSet(manager=record.manager)
        return packages, record

    async def _work(
        self, packages: PackageSet, *, asked: bool
    ) -> tuple[PackageWork | None, InstalledPackages | None, PackageRecord]:
        packages, record = self._in_force(packages)
        installed = await self._runs.installed(packages.manager) if packages.manager.name else None
        if installed is None:
            return None, None, record
        work = package_work(packages, installed, record)
        return (replace(work, install=(*work.install, *work.drifted)) if asked else work), installed, record

    async def _carry_out(
        self, packages: PackageSet, work: PackageWork, installed: InstalledPackages, *, removes: bool
    ) -> Mapping[str, str]:
        """Make the changes of ``work``; return by package why some failed."""
        manager, failures = packages.manager, dict[str, str]()
        if wrong := await self._change("repair", manager.repair, manager, installed.broken):
            failures |= {
                package.name: f"a half-installed package cannot be repaired: {wrong}" for package in work.install
            }
        held = [p.name for p in work.install if p.name in installed.held and p.name in installed.versions]
        await self._change("unhold", manager.unhold, manager, [*work.unhold, *held])
        failures |= await self._install(packages, work.install, installed)
        hold = [p for p in packages.wanted if p.name in {*(p.name for p in work.hold), *held} and p.hold]
        hold = [package for package in hold if package.name not in failures]
        if wrong := await self._change("hold", manager.hold, manager, [package.name for package in hold]):
            failures |= {package.name: f"its version cannot be held: {wrong}" for package in hold}
        else:
            self._record(held=({package.name for package in hold}), without=set(work.unhold))
        if removes and work.remove:
            removal, kept = await self._agree_to_remove(manager, work.remove)
            failures |= kept
            if wrong := await self._change("remove", manager.remove, manager, removal):
                failures |= {name: f"it cannot be removed: {wrong}" for name in removal}
        return failures

    async def _install(
        self, packages: PackageSet, wanted: Sequence[WantedPackage], installed: InstalledPackages
    ) -> Mapping[str, str]:
        """Install packages, and record them as ours; return by package why some cannot be had."""
        if not wanted:
            return {}
        manager = packages.manager
        stale = await self._change("refresh", manager.refresh, manager, [package.name for package in wanted])
        agreed = await self._agree(packages, wanted)
        failures = dict(agreed.failures)
        if agreed.packages:
            names = [package.name for package in agreed.packages]
            self._record(began=set(names) - installed.versions.keys(), manager=manager)
            failures |= await self._install_agreed(manager, agreed)
        if stale:
            failures = {name: f"{why} | the repositories cannot be read: {stale}" for name, why in failures.items()}
        return failures

    async def _install_agreed(self, manager: PackageManager, agreed: Agreed) -> Mapping[str, str]:
        """Install packages together, or else each alone; return by package why some cannot be installed."""
        safe = not agreed.preview.removes
        arguments = {package.name: manager.argument(package) for package in agreed.packages}
        wrong = await self._change("install", manager.install, manager, tuple(arguments.values()), safe=safe)
        if wrong and len(arguments) > 1:
            alone = {
                name: await self._change("install", manager.install, manager, [argument], safe=safe)
                for name, argument in arguments.items()
            }
        else:
            alone = dict.fromkeys(arguments, wrong)
        return {name: f"it cannot be installed: {why}" for name, why in alone.items() if why}

    async def _agree(self, packages: PackageSet, wanted: Sequence[WantedPackage]) -> Agreed:
        """Return those of the ``wanted`` packages that can be installed together, and why the others cannot."""
        agreed = await self._try(packages, wanted)
        if not agreed.failures or len(wanted) == 1:
            return agreed
        alone = [await self._try(packages, [package]) for package in wanted]
        failures = {name: why for one in alone for name, why in one.failures.items()}
        refused = frozenset[str]().union(*(one.refused for one in alone))
        good = [package for package in wanted if package.name not in failures]
        together = await self._try(packages, good)
        return replace(together, failures={**failures, **together.failures}, refused=refused | together.refused)

    async def _try(self, packages: PackageSet, wanted: Sequence[WantedPackage]) -> Agreed:
        if not wanted:
            return Agreed()
        manager = packages.manager
        arguments = [manager.argument(package) for package in wanted]
        preview = read_preview(manager, await self._runs.preview(manager.preview_install, manager, arguments))
        if missing := [package for package in wanted if package.name not in preview.installs]:
            why = f"it cannot be had: {complaint(preview.output) or 'the package manager does not say why'}"
            return Agreed(preview=preview, failures={package.name: why for package in missing})
        if others := _unwanted(preview.removes, packages):
            why = f"its installation would remove {', '.join(others)}; write `state: absent` for each that may go"
            names = frozenset(package.name for package in wanted)
            return Agreed(preview=preview, failures=dict.fromkeys(names, why), refused=names)
        return Agreed(packages=tuple(wanted), preview=preview)

    async def _agree_to_remove(
        self, manager: PackageManager, names: Collection[str]
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Return those of ``names`` that can be removed without any other package, and why the others stay."""
        kept: dict[str, str] = {}
        rest = sorted(names)
        while rest:
            preview = await self._preview_removal(manager, rest)
            if not (others := sorted(preview.removes.keys() - set(rest))) and preview.removes:
                return tuple(rest), kept
            blamed: dict[str, str] = {}
            for name in rest:
                alone = await self._preview_removal(manager, [name])
                needed = sorted(alone.removes.keys() - set(rest))
                if needed:
                    blamed[name] = f"it stays, because {', '.join(needed)} needs it"
                elif not alone.removes:
                    blamed[name] = f"it stays: {complaint(alone.output)}"
            blamed = blamed or dict.fromkeys(rest, f"they stay, because {', '.join(others)} would be removed")
            kept |= blamed
            rest = [name for name in rest if name not in blamed]
        return (), kept

    async def _preview_removal(self, manager: PackageManager, names: Sequence[str]) -> PackagePreview:
        output = await self._runs.preview(manager.preview_remove, manager, names)
        return read_preview(manager, output, of_removal=True)

    async def _change(
        self, what: str, commands: Commands, manager: PackageManager, names: Collection[str], *, safe: bool = True
    ) -> str:
        """Run commands for ``names``, if there are any; return "", or why they failed."""
        return await self._runs.change(what, commands, manager, names, safe=safe) if names and commands else ""

    def _record(
        self,
        *,
        began: Collection[str] = (),
        held: Collection[str] = (),
        without: Collection[str] = (),
        manager: PackageManager | None = None,
    ) -> None:
        record = read_package_record(self._root)
        self._write(
            replace(
                record,
                manager=manager or record.manager,
                began=tuple(sorted({*record.began, *began})),
                held=tuple(sorted({*record.held, *held} - set(without))),
            )
        )

    def _write(self, record: PackageRecord) -> None:
        write_package_record(self._root, record)


def _installs(preview: PackagePreview, packages: PackageSet) -> Iterator[PackageChange]:
    """Yield the changes of ``preview``: first the packages of the documents, then those that come along with them."""
    items = {package.name: package.item for package in packages.wanted}
    for name, version in sorted(preview.installs.items(), key=lambda entry: (entry[0] not in items, entry[0])):
        yield PackageChange(name=name, action=PackageAction.INSTALL, version=version, item=items.get(name, ""))
    for name in sorted(preview.removes):
        yield PackageChange(name=name, action=PackageAction.REMOVE, item=items.get(name, ""))


def _changes(packages: PackageSet, was: InstalledPackages, now: InstalledPackages) -> Iterator[PackageChange]:
    """Yield what differs between two lists: first the packages of the documents, then those that came along."""
    items = {package.name: package.item for package in packages.wanted}
    for name in sorted(was.versions.keys() | now.versions.keys(), key=lambda name: (name not in items, name)):
        version, item = now.versions.get(name, ""), items.get(name, "")
        if was.versions.get(name, "") != version:
            action = PackageAction.INSTALL if version else PackageAction.REMOVE
            yield PackageChange(name=name, action=action, version=version, item=item)
        elif (name in was.held) != (name in now.held):
            action = PackageAction.HOLD if name in now.held else PackageAction.UNHOLD
            yield PackageChange(name=name, action=action, version=version, item=item)


def _unwanted(removed: Iterable[str], packages: PackageSet) -> list[str]:
    """Return those of the packages to remove that the documents do not name as absent."""
    absent = {package.name for package in packages.wanted if package.state is PackageState.ABSENT}
    return sorted(set(removed) - absent)


def _noted(
    record: PackageRecord, packages: PackageSet, installed: InstalledPackages, failures: Mapping[str, str]
) -> PackageRecord:
    """Return ``record`` for the packages of now: those that are ours, held, interrupted, as wanted, and failed."""
    present = installed.versions.keys() | installed.broken
    work = package_work(packages, installed, replace(record, settled={}))
    wrong = {package.name for package in (*work.install, *work.hold)}
    wanted = {package.name: package.wish for package in packages.wanted if package.state is PackageState.PRESENT}
    settled = {n: wish for n, wish in wanted.items() if n not in wrong or record.settled.get(n) == wish}
    return PackageRecord(
        manager=packages.manager,
        installed=tuple(sorted({*record.installed, *record.began} & present)),
        held=tuple(sorted(set(record.held) & installed.held)),
        began=tuple(sorted(set(record.began) & installed.broken)),
        settled=settled,
        failures={name: why for name, why in failures.items() if name in wrong or name in work.remove},
    )

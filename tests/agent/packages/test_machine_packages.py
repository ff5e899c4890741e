"""Packages against a package manager that is a value: what is installed, refused, recorded, and removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.model import Generation
from ordain.agent.packages.machine_packages import MachinePackages
from ordain.agent.packages.manager_output import InstalledPackages
from ordain.agent.packages.manager_runs import ManagerRuns
from ordain.agent.state.package_record import PATH, read_package_record
from ordain.transforms.package_set import Commands, PackageManager, PackageSet, PackageState, WantedPackage

MANAGER = PackageManager(
    name="stand-in",
    versioned="{name}={version}",
    changes=r"(?m)^(?:(?P<installing>in)|(?P<removing>out)) (?P<name>\S+) (?P<version>\S+)$",
    **{  # type: ignore[arg-type]
        name: ((name,),)
        for name in ("refresh", "preview_install", "preview_remove", "install", "remove", "hold", "unhold", "repair")
    },
)


@dataclass
class StandIn:
    """A machine with packages: ``versions`` and ``held``; a repository with ``offers``, ``needs`` and ``conflicts``."""

    versions: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    offers: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    stale: str = ""
    fails: str = ""
    done: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def ended(self) -> None:
        pass

    async def installed(self, manager: PackageManager) -> InstalledPackages:
        return InstalledPackages(versions=dict(self.versions), held=frozenset(self.held), broken=frozenset(self.broken))

    async def preview(self, commands: Commands, manager: PackageManager, packages: Collection[str]) -> str:
        lines: list[str] = []
        for word in packages:
            name, _, version = word.partition("=")
            if commands == manager.preview_remove:
                needed = [other for other, need in self.needs.items() if need == name and other in self.versions]
                lines += [f"out {one} 1" for one in (name, *needed)]
            elif name not in self.offers:
                return f"E: no {name}\n"
            else:
                lines += [f"in {one} {version or self.offers[one]}" for one in (name, self.needs.get(name, name))]
                lines += [f"out {self.conflicts[name]} 1"] if self.conflicts.get(name) in self.versions else []
        return "".join(f"{line}\n" for line in lines)

    async def change(
        self, what: str, commands: Commands, manager: PackageManager, packages: Collection[str], *, safe: bool = True
    ) -> str:
        self.done.append((what, tuple(packages)))
        if what == self.fails or (what == "install" and self.fails in packages):
            return "it broke"
        names = [word.partition("=")[0] for word in packages]
        match what:
            case "refresh":
                return self.stale
            case "install":
                for name in names:
                    self.versions |= {name: self.offers[name]}
                    if not safe:
                        self.versions.pop(self.conflicts.get(name, ""), None)
            case "remove":
                self.versions = {name: version for name, version in self.versions.items() if name not in names}
            case "hold":
                self.held |= set(names)
            case "unhold":
                self.held -= set(names)
            case "repair":
                self.broken = set()
        return ""


def packages(machine: StandIn, root: Path) -> MachinePackages:
    return MachinePackages(cast(ManagerRuns, machine), root)


def wanted(*names: str, **more: Any) -> PackageSet:
    entries = [WantedPackage(name=name, item=f"packages/{name}") for name in names]
    entries += [WantedPackage(name=name, item=f"packages/{name}", **keys) for name, keys in more.items()]
    return PackageSet(manager=MANAGER, wanted=tuple(entries))


def settle(machine: StandIn, root: Path, documents: PackageSet, *, asked: bool = False) -> list[tuple[str, str]]:
    changes = asyncio.run(packages(machine, root).settle(documents, asked=asked, removes=True))
    return [(change.action, change.name) for change in changes]


def conditions(machine: StandIn, root: Path, documents: PackageSet) -> list[tuple[str, str]]:
    found = asyncio.run(packages(machine, root).conditions(Generation(packages=documents)))
    return [(condition.item, condition.code) for condition in found]


def test_packages_are_installed_recorded_and_removed_again(tmp_path: Path) -> None:
    machine = StandIn(versions={"old": "1"}, offers={"a": "1", "old": "1"})
    assert conditions(machine, tmp_path, wanted("a", "old")) == [("packages/a", "PackagePending")]
    assert settle(machine, tmp_path, wanted("a", "old")) == [("install", "a")]
    assert conditions(machine, tmp_path, wanted("a", "old")) == []
    assert read_package_record(tmp_path).installed == ("a",)

    assert settle(machine, tmp_path, PackageSet()) == [("remove", "a")]
    assert machine.versions == {"old": "1"}
    assert read_package_record(tmp_path).installed == ()


def test_a_package_that_cannot_be_had_leaves_the_others(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1"}, stale="no answer")
    assert settle(machine, tmp_path, wanted("a", "b")) == [("install", "a")]
    assert conditions(machine, tmp_path, wanted("a", "b")) == [("packages/b", "PackageFailed")]
    assert read_package_record(tmp_path).failures == {
        "b": "it cannot be had: E: no b | the repositories cannot be read: no answer"
    }


def test_an_installation_that_removes_others_needs_the_word_absent(tmp_path: Path) -> None:
    machine = StandIn(versions={"b": "1"}, offers={"a": "1"}, conflicts={"a": "b"})
    assert settle(machine, tmp_path, wanted("a")) == []
    assert "would remove b" in read_package_record(tmp_path).failures["a"]
    documents = wanted("a", b={"state": PackageState.ABSENT})
    assert settle(machine, tmp_path, documents) == [("install", "a"), ("remove", "b")]


def test_a_package_of_somebody_else_is_never_removed(tmp_path: Path) -> None:
    machine = StandIn(versions={"a": "1"})
    documents = wanted(a={"state": PackageState.ABSENT})
    assert settle(machine, tmp_path, documents, asked=True) == []
    assert conditions(machine, tmp_path, documents) == [("packages/a", "PackageKept")]


def test_a_package_that_others_need_stays(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1", "b": "1"})
    settle(machine, tmp_path, wanted("a", "b"))
    machine.versions["other"], machine.needs = "1", {"other": "a"}
    assert settle(machine, tmp_path, PackageSet()) == [("remove", "b")]
    assert read_package_record(tmp_path).failures == {"a": "it stays, because other needs it"}


def test_a_change_by_somebody_waits_for_an_administrator(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1"})
    settle(machine, tmp_path, wanted("a"))
    machine.versions.clear()
    assert conditions(machine, tmp_path, wanted("a")) == [("packages/a", "PackageChanged")]
    assert settle(machine, tmp_path, wanted("a")) == []
    assert settle(machine, tmp_path, wanted("a"), asked=True) == [("install", "a")]


def test_a_version_is_installed_and_held_and_let_go(tmp_path: Path) -> None:
    machine = StandIn(versions={"a": "2"}, offers={"a": "1.5"})
    documents = wanted(a={"version": "1.*", "hold": True})
    assert settle(machine, tmp_path, documents) == [("install", "a")]
    assert ("install", ("a=1.*",)) in machine.done
    assert machine.held == {"a"}
    assert conditions(machine, tmp_path, documents) == []
    assert read_package_record(tmp_path).installed == ()  # it was installed before
    assert settle(machine, tmp_path, wanted("a")) == [("unhold", "a")]


def test_a_hold_of_an_administrator_stays(tmp_path: Path) -> None:
    machine = StandIn(versions={"a": "1"}, held={"a"})
    assert settle(machine, tmp_path, wanted("a")) == []
    assert machine.held == {"a"}


def test_an_interrupted_installation_is_ours_and_repaired_first(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1"}, fails="install")
    settle(machine, tmp_path, wanted("a"))
    record = json.loads((tmp_path / PATH).read_text())
    (tmp_path / PATH).write_text(json.dumps(record | {"began": ["a"], "failures": {}}))
    machine.fails, machine.broken = "", {"a"}
    assert conditions(machine, tmp_path, wanted("a")) == [("packages/a", "PackagePending")]
    machine.done.clear()
    assert settle(machine, tmp_path, wanted("a")) == [("install", "a")]
    assert [what for what, _ in machine.done] == ["repair", "refresh", "install"]
    assert read_package_record(tmp_path).installed == ("a",)


def test_users_do_not_see_the_output_of_the_package_manager(tmp_path: Path) -> None:
    machine = StandIn(stale="https://me:secret@example.org: no answer")
    settle(machine, tmp_path, wanted("a"))
    (condition,) = asyncio.run(packages(machine, tmp_path).conditions(Generation(packages=wanted("a"))))
    assert "secret" in condition.what
    assert condition.public == "a: the package manager could not do what the documents want"


@pytest.mark.parametrize("failing", ["install", "hold"])
def test_a_failure_is_a_condition_until_it_succeeds(tmp_path: Path, failing: str) -> None:
    machine = StandIn(offers={"a": "1"}, fails=failing)
    documents = wanted(a={"hold": True})
    settle(machine, tmp_path, documents)
    assert conditions(machine, tmp_path, documents) == [("packages/a", "PackageFailed")]
    machine.fails = ""
    settle(machine, tmp_path, documents)
    assert conditions(machine, tmp_path, documents) == []


def test_a_package_whose_script_fails_leaves_the_others(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1", "b": "1"}, fails="a")
    assert settle(machine, tmp_path, wanted("a", "b")) == [("install", "b")]
    assert read_package_record(tmp_path).failures == {"a": "it cannot be installed: it broke"}
    assert read_package_record(tmp_path).installed == ("b",)


def test_a_preview_changes_nothing(tmp_path: Path) -> None:
    machine = StandIn(offers={"a": "1", "b": "1"}, needs={"a": "b"})
    changes, impossible = asyncio.run(packages(machine, tmp_path).preview(wanted("a", "unknown")))
    assert [(c.action, c.name, c.version, c.item) for c in changes] == [
        ("install", "a", "1", "packages/a"),
        ("install", "b", "1", ""),
        ("install", "unknown", "", "packages/unknown"),
    ]
    assert impossible == {}
    assert machine.done == []
    assert not (tmp_path / PATH).exists()


def test_work_to_record_is_work(tmp_path: Path) -> None:
    machine = StandIn(versions={"a": "1"})
    assert asyncio.run(packages(machine, tmp_path).needs_work(wanted("a")))
    settle(machine, tmp_path, wanted("a"))
    assert not asyncio.run(packages(machine, tmp_path).needs_work(wanted("a")))

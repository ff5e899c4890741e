"""The audit of Debian's rows confirms correct ones and names wrong ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from audit.archive import Apt, Archive, Package, merged, named_in
from audit.debian import seen
from audit.table import dump


def package(name: str, *depends: str, source: str = "") -> Package:
    return Package(name=name, version="1:2-3", source=source or name, depends=depends)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    packages = (package("web", "web-common"), package("web-common", source="web"), package("other"))
    files = {
        "usr/lib/systemd/system/web.service": {"web-common"},
        "usr/lib/systemd/system/other.service": {"other"},
        "etc/init.d/old": {"web"},
        "etc/web/conf.d": {"web-common"},
        "usr/sbin/web": {"web"},
    }
    return Archive(
        apt=Apt(tmp_path, "none"),
        packages={p.name: p for p in packages},
        files={path: frozenset(owners) for path, owners in files.items()},
    )


def test_a_file_of_a_package_or_of_its_dependency_is_confirmed(archive: Archive) -> None:
    claim = {"package": "web", "unit": "web.service", "config": "/etc/web/conf.d/", "check": "/sbin/web"}

    assert seen(archive, claim) == ({**claim, "version": "1:2-3"}, [])


def test_a_unit_that_systemd_makes_from_a_script_is_confirmed(archive: Archive) -> None:
    assert seen(archive, {"package": "web", "unit": "old.service"})[1] == []


def test_further_units_and_packages_are_confirmed_one_by_one(archive: Archive) -> None:
    claim = {"package": "web", "unit": "web.service", "units/other.service": "other.service", "packages/other": "other"}

    assert seen(archive, claim) == ({**claim, "version": "1:2-3"}, [])
    assert seen(archive, {**claim, "packages/other": "gone"})[1] == [
        "units/other.service other.service: not in web, but in other",
        "packages/other gone: not in web, but in nothing",
    ]


@pytest.mark.parametrize(
    ("claim", "missing"),
    [
        ({"package": "gone"}, ["package gone: not in gone, but in nothing"]),
        ({"package": "web", "unit": "other.service"}, ["unit other.service: not in web, but in other"]),
        ({"package": "web", "socket": "web.socket"}, ["socket web.socket: not in web, but in nothing"]),
        ({"path": "/usr/bin/none"}, ["path /usr/bin/none: not in systemd, but in nothing"]),
    ],
)
def test_a_missing_file_is_named(archive: Archive, claim: dict[str, str], missing: list[str]) -> None:
    assert seen(archive, claim)[1] == missing


def test_an_empty_directory_and_a_path_that_a_file_names_are_found_in_the_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for directory in ("DEBIAN", "etc/web/empty", "usr/sbin"):
        (tree / directory).mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: web\nVersion: 1:2-3\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: web\n"
    )
    (tree / "usr/sbin/web").write_text("reads /etc/web/named.d/*.conf\n")
    debs = tmp_path / "debs"
    debs.mkdir()
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", tree, debs / "web_1%3a2-3_all.deb"], check=True, capture_output=True
    )
    archive = Archive(apt=Apt(tmp_path, "none"), packages={"web": package("web")}, files={})

    for directory, there in (("/etc/web/empty/", True), ("/etc/web/named.d/", True), ("/etc/web/none/", False)):
        assert (seen(archive, {"package": "web", "config": directory})[1] == []) is there


def test_paths_are_compared_as_on_a_merged_usr() -> None:
    assert [merged(path) for path in ("bin/sh", "usr/bin/sh", "etc/x")] == ["usr/bin/sh", "usr/bin/sh", "etc/x"]


def test_the_table_is_read_back_unchanged() -> None:
    table = {"debian-12": {"services/web": {"unit": "web.service", "check": "/usr/sbin/web", "version": "1:2-3"}}}

    assert yaml.safe_load(dump(table)) == table
    assert yaml.safe_load(dump({"a": {"b": {"version": "252"}}})) == {"a": {"b": {"version": "252"}}}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"include /etc/web.d/*\n", True),
        (b"#  include /etc/web.d/*\n", False),
        (b"  ; include = /etc/web.d\n", False),
        (b"# see /etc/web.d\nconf-dir=/etc/web.d\n", True),
        (b"\x7fELF\x00\x01/etc/web.d/*.conf\x00", True),
        (b"include /etc/other/*\n", False),
    ],
)
def test_a_directory_that_only_a_comment_names_is_not_confirmed(content: bytes, named: bool) -> None:
    assert named_in(content, "/etc/web.d/") is named

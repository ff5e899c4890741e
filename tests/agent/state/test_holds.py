"""The file of holds, and the effect of holds on the artifacts that are placed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.model import Generation, Hold
from ordain.agent.state.holds import (
    PATH,
    UnreadableHolds,
    read_holds,
    with_holds,
    with_machine_holds,
    write_held_files,
    write_holds,
)
from ordain.agent.state.store import Store
from ordain.generator.cache import unpack
from ordain.generator.files import HELD
from ordain.transforms.artifacts import RegularFile, UnitFile, UnitLink
from ordain.transforms.model import Member, OnChange, Wanted

MASK = UnitLink(path="early/cups.service", target="/dev/null")
UNIT = UnitFile(path="normal/web.service", content="[Service]\n")
WANTS = UnitLink(path="normal/ordain-services.target.wants/web.service", target="../web.service")
MASKED_LINK = UnitLink(path="early/multi-user.target.wants/web.service", target="/dev/null")
GENERATION = Generation(number=1, hash="1", artifacts=(MASK, WANTS, UNIT))


def test_the_files_of_held_units_are_recorded(tmp_path: Path) -> None:
    uses = (("/etc/app/", OnChange.AUTO), ("/srv/a", OnChange.AUTO))
    members = (
        Member(unit="app.service", item="services/app", wanted=Wanted.PRESENT, ours=True, uses=uses),
        Member(unit="app.socket", item="services/app", wanted=Wanted.RUNNING, ours=True, starts="app.service"),
    )
    paths = ("/etc/app/a", "/etc/other", "/srv/a")
    now = Generation(members=members, artifacts=tuple(RegularFile(path=path, content="") for path in paths))

    write_holds(tmp_path, {"app.service": Hold()})
    write_held_files(tmp_path, now)
    assert json.loads((tmp_path / HELD).read_text()) == ["/etc/app/a", "/srv/a"]

    write_holds(tmp_path, {})
    write_held_files(tmp_path, now)
    assert not (tmp_path / HELD).exists()


def test_holds_are_read_back(tmp_path: Path) -> None:
    holds = {"web.service": Hold(since="now", stopped=True), "cups.service": Hold(unmask=True)}

    assert read_holds(tmp_path) == {}
    write_holds(tmp_path, holds)
    assert read_holds(tmp_path) == holds


@pytest.mark.parametrize("data", [b"", b"[]", b'{"web.service": 1}', b"\xff", b"null"])
def test_unreadable_holds_are_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(data)

    with pytest.raises(UnreadableHolds, match="cannot parse the holds"):
        read_holds(tmp_path)


def test_a_hold_that_cannot_be_saved_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("no directory")

    with pytest.raises(Failure, match="cannot save the hold"):
        write_holds(tmp_path, {"web.service": Hold()})


def test_the_mask_of_a_unit_that_is_held_unmasked_is_not_placed() -> None:
    assert with_holds(GENERATION, {"cups.service": Hold(unmask=True)}).artifacts == (WANTS, UNIT)
    assert with_holds(GENERATION, {"cups.service": Hold()}) == GENERATION


def test_links_that_would_start_a_unit_that_is_held_stopped_are_not_placed() -> None:
    assert with_holds(GENERATION, {"web.service": Hold(stopped=True)}).artifacts == (MASK, UNIT)
    assert with_holds(GENERATION, {"web.service": Hold()}) == GENERATION


def test_links_of_the_distribution_to_a_unit_that_is_held_stopped_are_masked(tmp_path: Path) -> None:
    links = tmp_path / "etc/systemd/system/multi-user.target.wants"
    links.mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/web.service").write_text("[Service]\nExecStart=/bin/true\n")
    (links / "web.service").symlink_to("/usr/lib/systemd/system/web.service")
    write_holds(tmp_path, {"web.service": Hold(stopped=True)})

    assert MASKED_LINK in with_machine_holds(tmp_path, GENERATION).artifacts


def test_the_boot_cache_respects_holds(tmp_path: Path) -> None:
    write_holds(tmp_path, {"cups.service": Hold(unmask=True), "web.service": Hold(stopped=True)})

    Store(tmp_path).commit_proven(GENERATION)

    cache = unpack((tmp_path / "etc/ordain/boot/current").read_bytes())
    assert [entry[0] for entry in cache.entries] == ["normal/web.service"]
    assert cache.hash == "1"


def test_a_hold_of_an_earlier_version_is_readable_and_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_text('{"web.service": {"since": "2026-01-01T00:00:00+00:00", "stopped": true, "unmask": false}}')

    hold = read_holds(tmp_path)["web.service"]

    assert (hold.since, hold.stopped, hold.by, hold.why, hold.end) == ("2026-01-01T00:00:00+00:00", True, "", "", None)

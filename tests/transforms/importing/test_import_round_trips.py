"""Every setting of a unit survives its import: the document renders to the same settings."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.systemd import directives, encode
from ordain.transforms.systemd.unit_file import Setting, write
from support.importing.import_round_trips import RoundTrip, differences, round_trip
from support.samples.encode_samples import TAKEN

FACTS = facts_for("debian-sid")
KNOWN = [row for row in TAKEN if (known := directives.lookup(*row[:2])) and known.gone_after is None]
SERVICE = [(section, key, text) for section, key, _, text in KNOWN if section in {"Unit", "Service"}]
UNITS = {"Unit": "x.target", "Service": "x.service"}
OURS = frozenset({"Type", "BusName", "ExecStart", "IgnoreOnIsolate", "Environment"})
"""Settings that the strategy below writes itself, or with which the unit would not be a plain service."""


def unit(lines: list[Setting], *, wanted: bool, name: str = "copy.service") -> InputFile:
    install = [Setting(section="Install", key="WantedBy", value="multi-user.target")] if wanted else []
    return InputFile(path=f"/x/{name}", data=write([*lines, *install]).encode())


def assert_survives(file: InputFile) -> RoundTrip:
    done = round_trip([file], FACTS)
    assert_same_settings(file, done)
    return done


def assert_same_settings(file: InputFile, done: RoundTrip) -> None:
    blocked = [p for p in done.compiled.problems if p.severity != "warning"]
    assert (done.draft.problems, blocked) == ([], []), done.text
    assert differences(file.data.decode(), done.rendered()[file.name]) == {}, done.text


def of_one_setting(at: int, wanted: bool) -> InputFile:
    section, key, text = SERVICE[at]
    lines = [Setting(section=section, key=key, value=text)]
    if key != "ExecStart":
        lines.append(Setting(section="Service", key="ExecStart", value="/bin/x"))
    return unit(lines, wanted=wanted, name=f"x{at}.service")


@cache
def all_of_one_setting(wanted: bool) -> RoundTrip:
    return round_trip([of_one_setting(at, wanted) for at in range(len(SERVICE))], FACTS)


@pytest.mark.parametrize("at", range(len(SERVICE)), ids=[f"{key}={text}"[:60] for _, key, text in SERVICE])
@pytest.mark.parametrize("wanted", [True, False], ids=["service", "unit"])
def test_every_setting_survives(at: int, wanted: bool) -> None:
    assert_same_settings(of_one_setting(at, wanted), all_of_one_setting(wanted))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).filter(
    lambda text: not any(0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE for c in text)
)
names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in {"TOKEN", "SECRET"})


@st.composite
def services(draw: st.DrawFn) -> list[Setting]:
    """Return lines of a service: encoded text of any kind, and a choice of the samples with resets."""

    def made(key: str, value: encode.Neutral, section: str = "Service") -> Setting:
        return Setting(section=section, key=key, value=encode.encode(section, key, value))

    lines = [made("ExecStart", ("/bin/x", *draw(st.lists(texts, max_size=4))))]
    for key in draw(st.sets(st.sampled_from(["ExecStartPre", "ExecStop", "ExecStartPost", "ExecReload"]), max_size=2)):
        lines += [made(key, ("/bin/y", draw(texts))) for _ in range(draw(st.integers(1, 2)))]
    if environment := draw(st.dictionaries(names, texts, max_size=3)):
        lines.append(made("Environment", environment))
    if (about := " ".join(draw(texts).split())) and not about.endswith("\\") and about.isprintable():
        lines.append(made("Description", about, "Unit"))
    chosen = draw(st.lists(st.sampled_from([row for row in SERVICE if row[1] not in OURS]), max_size=6))
    for section, key, text in chosen:
        if section == "Service" and draw(st.booleans()):
            lines.append(Setting(section=section, key=key, value=""))
        lines.append(Setting(section=section, key=key, value=text))
    return lines


@pytest.mark.thorough
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines=services(), wanted=st.booleans())
def test_any_unit_survives(lines: list[Setting], wanted: bool) -> None:
    assert_survives(unit(lines, wanted=wanted))


def test_a_plain_service_needs_no_raw_settings() -> None:
    lines = [
        Setting(section="Unit", key="Description", value="A 100%% plain one"),
        Setting(section="Service", key="ExecStart", value='/bin/x "two words" 50%%'),
        Setting(section="Service", key="User", value="shop"),
        Setting(section="Service", key="RestartSec", value="5s"),
    ]

    done = assert_survives(unit(lines, wanted=True))

    assert set(done.draft.sections) == {"services"}
    assert "systemd" not in done.text.partition("services:")[2]

"""Configurations of Butane and Ignition become files, users, groups and units."""

from __future__ import annotations

import json

import pytest

from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from support.importing.import_accounting import NAMES


def convert(config: dict[str, object]) -> tuple[dict[str, dict[str, Plain]], list[str]]:
    draft = DocumentDraft()
    data = json.dumps({"ignition": {"version": "3.4.0"}, **config}).encode()
    file_types.convert([InputFile(path="web.ign", data=data)], NAMES, draft)
    schema_filter.remove_invalid(draft)
    sections = {section: entries for section, entries in draft.sections.items() if entries}
    return sections, [problem.what for problem in draft.problems]


def test_ignition_is_read_as_butane() -> None:
    files = [{"path": "/a", "mode": 416, "contents": {"source": "data:,x"}}]
    users = [{"name": "a", "sshAuthorizedKeys": ["k"], "homeDir": "/srv/a", "passwordHash": "x"}]

    sections, problems = convert({"storage": {"files": files}, "passwd": {"users": users}})

    assert sections == {
        "files": {"/a": {"content": "x", "mode": "0640"}},
        "users": {"a": {"keys": ["k"], "home": "/srv/a"}},
    }
    assert problems == ["password_hash of a"]


@pytest.mark.parametrize(
    ("unit", "entry"),
    [
        ({"name": "ssh.service", "enabled": True}, {"ssh": {"state": "running"}}),
        ({"name": "ssh.service", "mask": True}, {"ssh": {"state": "masked"}}),
        (
            {"name": "ssh.service", "dropins": [{"name": "a.conf", "contents": "[Service]\nNice=5\n"}]},
            {"ssh": {"nice": 5}},
        ),
        (
            {
                "name": "ssh.service",
                "enabled": True,
                "dropins": [{"name": "a.conf", "contents": "[Service]\nNice=5\n"}],
            },
            {"ssh": {"nice": 5, "state": "running"}},
        ),
        ({"name": "i.timer", "enabled": True}, {"i": {"unit": "i.timer", "state": "running"}}),
        ({"name": "ssh.service", "mask": True, "enabled": False}, {"ssh": {"state": "masked"}}),
    ],
)
def test_units_of_the_distribution_are_changed(unit: dict[str, object], entry: object) -> None:
    assert convert({"systemd": {"units": [unit]}}) == ({"services": entry}, [])


def test_a_unit_that_is_not_enabled_is_not_started() -> None:
    contents = "[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=multi-user.target\n"

    sections, problems = convert({"systemd": {"units": [{"name": "a.service", "contents": contents}]}})

    assert sections == {"units": {"a.service": {"Service": {"ExecStart": "/bin/a"}}}}
    assert problems == ["[Install] of a.service, because it is not enabled"]


def test_a_socket_that_is_enabled_beside_its_drop_ins_runs() -> None:
    drop_in = {"name": "a.conf", "contents": "[Socket]\nBacklog=5\n"}

    assert convert({"systemd": {"units": [{"name": "i.socket", "enabled": True, "dropins": [drop_in]}]}}) == (
        {
            "units": {"i.socket.d": {"Socket": {"Backlog": "5"}}},
            "services": {"i": {"unit": "i.socket", "state": "running"}},
        },
        [],
    )


def test_nothing_of_a_masked_unit_is_dropped_in_silence() -> None:
    drop_in = {"name": "a.conf", "contents": "[Service]\nNice=5\n"}
    unit = {"name": "i.service", "mask": True, "enabled": True, "contents": "[Service]\n", "dropins": [drop_in]}

    sections, problems = convert({"systemd": {"units": [unit]}})

    assert sections == {"services": {"i": {"unit": "i.service", "state": "masked"}}}
    assert problems == [f"{key} of i.service, which is masked" for key in ("contents", "dropins", "enabled")]


@pytest.mark.parametrize("contents", [{}, {"contents": {}}, {"contents": {"source": None}}])
def test_a_file_without_contents_empties_no_file_that_exists(contents: dict[str, object]) -> None:
    sections, problems = convert({"storage": {"files": [{"path": "/etc/w", "mode": 420, **contents}]}})

    assert sections == {}
    assert problems == ["files: /etc/w has no contents, so Ignition leaves those of a file that exists"]

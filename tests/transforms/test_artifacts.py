"""Artifacts as rows: the form in which every version of Ordain stores them."""

from __future__ import annotations

from typing import Any

import pytest

from ordain.transforms.artifacts import (
    AbsentFile,
    Artifact,
    CredentialFile,
    OnFileRemove,
    PlacedDirectory,
    RegularFile,
    SymbolicLink,
    UnitFile,
    UnitLink,
    from_row,
    row,
    short_row,
)

DEFAULTS: dict[str, Any] = {
    **{"path": "", "content": None, "link": None, "mode": 0o644, "item": "", "owner": "", "group": ""},
    **{"directory": False, "credential": "", "absent": False, "on_remove": "restore", "mount": "", "remote": False},
    "home": "",
}
ROWS: list[tuple[Artifact, dict[str, Any]]] = [
    (
        UnitFile(path="normal/web.service", content="[Service]\n", item="services/web"),
        {"path": "normal/web.service", "content": "[Service]\n", "item": "services/web"},
    ),
    (UnitLink(path="early/web.service", target="/dev/null"), {"path": "early/web.service", "link": "/dev/null"}),
    (
        RegularFile(path="/srv/a", content="", mode=0o600, owner="web", group="www", mount="/srv", remote=True),
        {
            **{"path": "/srv/a", "content": "", "mode": 0o600, "owner": "web", "group": "www"},
            **{"mount": "/srv", "remote": True},
        },
    ),
    (SymbolicLink(path="/etc/a", target="b"), {"path": "/etc/a", "link": "b", "mode": 0o777}),
    (
        PlacedDirectory(path="/home/a", mode=0o700, owner="a", on_remove=OnFileRemove.KEEP, home="/home/a"),
        {
            **{"path": "/home/a", "directory": True, "mode": 0o700, "owner": "a"},
            **{"on_remove": "keep", "home": "/home/a"},
        },
    ),
    (CredentialFile(path="/etc/key", credential="key"), {"path": "/etc/key", "credential": "key", "mode": 0o600}),
    (AbsentFile(path="/etc/motd"), {"path": "/etc/motd", "absent": True}),
]
"""An artifact of each class, and the fields of its row that are not defaults, as version 0.1.0 first wrote them."""


@pytest.mark.parametrize(("artifact", "fields"), ROWS, ids=[type(artifact).__name__ for artifact, _ in ROWS])
def test_a_row_has_the_same_fields_in_every_version(artifact: Artifact, fields: dict[str, Any]) -> None:
    assert row(artifact) == DEFAULTS | fields
    assert short_row(artifact) == {name: value for name, value in fields.items() if name != "item"}
    assert from_row(DEFAULTS | fields) == from_row(fields) == artifact


@pytest.mark.parametrize("fields", [{"content": ""}, {"path": "/etc/a", "contents": ""}, {}], ids=str)
def test_a_row_without_a_path_or_with_an_unknown_field_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="no artifact has"):
        from_row(fields)

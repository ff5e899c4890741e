"""A path below a file, a link or an absent path blocks its item: no file system and no history can hold both."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Compiled

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl alice"


def compiled(text: str) -> Compiled:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    return compile(documents, facts_for("debian-12"), shipped=shipped())


@pytest.mark.parametrize(
    ("text", "item", "what"),
    [
        (
            "files:\n  /a: {content: x}\n  /a/b: {content: x}",
            "files/~1a~1b",
            "/a/b is below /a, which files/~1a (at d.yaml:5:7) makes a file",
        ),
        (
            "files:\n  /a/b/c/d: {directory: true}\n  /a/b: {credential: {name: k}}",
            "files/~1a~1b~1c~1d",
            "/a/b/c/d is below /a/b, which files/~1a~1b (at d.yaml:6:9) makes a file",
        ),
        (
            "files:\n  /l: {link: /srv}\n  /l/c: {state: absent}",
            "files/~1l~1c",
            "/l/c is below /l, which files/~1l (at d.yaml:5:7) makes a link",
        ),
        (
            "files:\n  /a: {state: absent}\n  /a/b: {content: x}",
            "files/~1a~1b",
            "/a/b is below /a, which files/~1a (at d.yaml:5:7) makes absent",
        ),
        (
            "files:\n  /etc/web/b: {content: x}\nservices:\n  web: {command: /bin/a, files: {/etc/web: {content: x}}}",
            "files/~1etc~1web~1b",
            "/etc/web/b is below /etc/web, which services/web (at d.yaml:7:8) makes a file",
        ),
        (
            "services:\n  web: {command: /bin/true, files: {a: {content: x}, a/b: {content: x}}}",
            "services/web",
            "/etc/web/a/b is below /etc/web/a, which services/web (at d.yaml:5:8) makes a file",
        ),
        (
            "files:\n  /srv/ann: {content: x}\nusers:\n  ann: {home: /srv/ann/home}",
            "users/ann",
            "/srv/ann/home is below /srv/ann, which files/~1srv~1ann (at d.yaml:5:13) makes a file",
        ),
    ],
)
def test_a_path_below_something_else_than_a_directory_is_blocked_with_both_places(
    text: str, item: str, what: str
) -> None:
    result = compiled(text)

    (problem,) = [p for p in result.problems if p.code == "Clash"]
    assert (problem.item, problem.what) == (item, what)
    assert problem.where.line
    assert not any(artifact.item == item for artifact in result.artifacts)


@pytest.mark.parametrize(
    "text",
    [
        "files: {/a: {directory: true}, /a/b: {content: x}}",
        "files: {/a: {content: x}, /ab: {content: x}, /a.b/c: {content: x}}",
        "files: {/a: {state: absent}, /a/b: {state: absent}}",
        f"files: {{/home/ann/x: {{content: x}}}}\nusers: {{ann: {{keys: [{KEY}]}}}}",
    ],
)
def test_paths_that_a_file_system_can_hold_together_are_fine(text: str) -> None:
    assert [p.code for p in compiled(text).problems] == []

"""The changes of files and of other values of documents, as a plan and `ordainctl diff` show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ordain.agent.generation import generation as as_generation
from ordain.agent.model import FileAction, Generation, Observed
from ordain.agent.plan.changes import file_contents
from ordain.agent.plan.changes.file_changes import changed_files
from ordain.agent.plan.describe import describe
from ordain.agent.plan.planner import plan
from ordain.transforms.artifacts import Artifact, CredentialFile, PlacedDirectory, RegularFile, SymbolicLink
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Facts

NETWORK = "# net.yaml:{line} net network/bridges/br9/addresses\n[Network]\nAddress={address}\nDHCP=no\n"
MOTD = {"files/~1etc~1motd/content": {"layer": "base", "path": "base.yaml", "line": 4}}


def compiled(sections: Mapping[str, Any], number: int) -> Generation:
    """Return the generation of a layer on Debian 12."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **sections})
    documents, problems = read("/m.yaml", text.encode())
    assert not problems
    return as_generation(compile(documents, Facts(id="debian", version="12", systemd=252)), number)


def placed(*files: Artifact, **more: Any) -> Generation:
    return Generation(artifacts=files, hash=str(hash(files)), **more)


def described(old: Generation, new: Generation) -> str:
    """Return the text of the plan, without its first line, the reload of the manager."""
    return describe(plan(old, new, Observed())).split("\n", 1)[1]


def network(address: str, line: int = 3, mode: int = 0o644) -> RegularFile:
    content = NETWORK.format(line=line, address=address)
    return RegularFile(path="/run/net", content=content, item="network/bridges/br9", mode=mode)


def motd(content: str, **more: Any) -> RegularFile:
    return RegularFile(path="/etc/motd", content=content, item="files/~1etc~1motd", **more)


def test_a_changed_key_is_shown_with_both_values_and_the_line_of_the_document() -> None:
    assert described(placed(network("192.0.2.10/24")), placed(network("192.0.2.99/24"))) == (
        "change  /run/net\n"
        "          [Network] Address: 192.0.2.10/24 → 192.0.2.99/24  (net.yaml:3 network/bridges/br9/addresses)\n"
    )


def test_a_moved_line_of_the_documents_is_not_shown_as_a_change_of_content() -> None:
    (file,) = changed_files(placed(network("192.0.2.10/24", 3)), placed(network("192.0.2.10/24", 4)))

    assert file.changes == ()
    assert [change.new for change in file_contents.shown_changes(file)] == [("only comments changed",)]


def test_changed_lines_of_a_text_are_shown_with_their_numbers() -> None:
    old, new = (placed(motd(text), provenance=MOTD) for text in ("# a\nb\nc\nd\n", "# x\nb\nd\ne\n"))

    assert described(old, new) == (
        "change  /etc/motd\n"
        "          line 1: # a → # x  (base.yaml:4 files/~1etc~1motd/content)\n"
        "          line 3: c → not set  (base.yaml:4 files/~1etc~1motd/content)\n"
        "          line 4: not set → e  (base.yaml:4 files/~1etc~1motd/content)\n"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(network("hunter2", mode=0o640), network("hunter3", mode=0o640), id="a mode without read for all"),
        pytest.param(network("hunter2", mode=0o644), network("hunter3", mode=0o600), id="a file becomes secret"),
        pytest.param(network("hunter2", mode=0o600), network("hunter3", mode=0o644), id="a file was secret"),
        pytest.param(
            CredentialFile(path="/x", credential="ciphertext:hunter2"),
            CredentialFile(path="/x", credential="ciphertext:hunter3"),
            id="the ciphertext of a credential",
        ),
    ],
)
def test_the_content_of_a_secret_is_never_shown(old: Artifact, new: Artifact) -> None:
    found = plan(placed(old), placed(new), Observed())

    assert "hunter" not in str(found)
    assert "content changed (not shown" in describe(found)


def test_changed_modes_owners_targets_and_types_are_shown() -> None:
    old, link = placed(motd("a\n")), placed(SymbolicLink(path="/etc/motd", target="/x"))

    assert "mode: 0644 → 0640" in described(old, placed(motd("a\n", mode=0o640)))
    assert "owner: not set → bob" in described(old, placed(motd("a\n", owner="bob")))
    assert "target: /x → /y" in described(link, placed(SymbolicLink(path="/etc/motd", target="/y")))
    assert "type: file → directory" in described(old, placed(PlacedDirectory(path="/etc/motd")))


def test_a_new_and_a_removed_file_name_the_document() -> None:
    none, one = Generation(), placed(motd("a\n"), provenance=MOTD)

    assert described(none, one) == "place   /etc/motd  (base.yaml:4 files/~1etc~1motd/content)\n"
    assert described(one, none) == "restore /etc/motd  (base.yaml:4 files/~1etc~1motd/content)\n"
    (file,) = changed_files(none, one)
    assert file.what is FileAction.NEW
    assert [(c.unit, c.key, c.old, c.new) for c in file_contents.shown_changes(file)] == [
        ("/etc/motd", "file", (), ("placed",))
    ]


def test_a_large_difference_is_bounded() -> None:
    many = [placed(motd("".join(f"{word} {i}\n" for i in range(60)))) for word in "ab"]
    huge = [placed(motd("".join(f"{word} {i}\n" for i in range(100_000)))) for word in "ab"]

    assert len(changed_files(*many)[0].changes) == file_contents.MAX_CHANGES + 1
    assert "content: 100000 lines → 100000 other lines" in described(*huge)


def test_a_value_without_a_line_in_any_file_is_shown_from_the_documents() -> None:
    old = Generation(hash="a", document={"services": {"web": {"command": "x"}}, "values": {"secret": "hunter2"}})
    document = {"services": {"web": {"command": "x", "drift": "enforce"}}, "values": {"secret": "hunter3"}}
    place = {"services/web/drift": {"layer": "l", "path": "web.yaml", "line": 5}}
    new = replace(old, hash="b", document=document, provenance=place)

    assert described(old, new) == (
        "          services/web drift: not set → enforce  (web.yaml:5 services/web/drift)\n"
        "          values secret: an earlier value → a new value\n"
    )


KEY = "WAYZOrR+VJXNYvDQJu7B7j0Yb8PzkMoOOFGd2oFsVVg="
WIREGUARD: Mapping[str, Any] = {
    "mode": "wireguard",
    "addresses": ["10.0.0.1/24"],
    "key": KEY,
    "peers": [{"keys": {"public": KEY, "shared": KEY}, "allowed-ips": ["10.0.0.0/24"]}],
}


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ({}, {"sysctl": {"vm.swappiness": 10}}, ["sysctl vm.swappiness: not set → 10"]),
        ({"sysctl": {"vm.swappiness": 10}}, {}, ["sysctl vm.swappiness: 10 → not set"]),
        ({}, {"modules": {"a-b": {}}}, ["modules a-b: not set → present"]),
        ({"modules": {"a": {}}}, {"modules": {"a": {"blacklist": True}}}, ["modules a/blacklist: not set → true"]),
        ({}, {"host": {"timezone": "UTC"}}, ["host timezone: not set → UTC"]),
        ({"boot": {"mode": "additive"}}, {}, ["boot mode: additive → not set"]),
        (
            {},
            {"units": {"a.service": {"Service": {"ExecStart": "/bin/a"}}}},
            ["a.service is new"],
        ),
        (
            {"units": {"a.service": {"Service": {"ExecStart": "/bin/a"}}}},
            {"units": {"a.service": {"Service": {"ExecStart": "/bin/b"}}}},
            ["a.service [Service] ExecStart: /bin/a → /bin/b"],
        ),
        ({"units": {"a.service": {"Service": {"ExecStart": "/bin/a"}}}}, {}, ["a.service is removed"]),
        (
            {},
            {"network": {"bridges": {"br0": {"addresses": ["192.0.2.1/24"], "mtu": 1400}}}},
            [
                "network/bridges/br0 addresses: not set → address 192.0.2.1/24",
                "network/bridges/br0 mtu: not set → 1400",
            ],
        ),
        (
            {},
            {"network": {"tunnels": {"wg0": WIREGUARD}}},
            [
                "network/tunnels/wg0 addresses: not set → address 10.0.0.1/24",
                "network/tunnels/wg0 key: not set → a new value",
                "network/tunnels/wg0 mode: not set → wireguard",
                "network/tunnels/wg0 peers: not set → a new value",
            ],
        ),
    ],
)
def test_a_plan_shows_the_values_of_every_section_once_and_without_secrets(
    old: Mapping[str, Any], new: Mapping[str, Any], rows: list[str]
) -> None:
    """Also of units that are not started, and of files that are new."""
    text = describe(plan(compiled(old, 1), compiled(new, 2), Observed()))

    shown = [line.strip().partition("  (")[0] for line in text.splitlines() if line.startswith(" " * 10)]
    assert shown == rows
    assert KEY not in text


def test_each_file_of_the_host_names_its_own_key() -> None:
    host = {"hostname": "bee", "timezone": "UTC", "locale": "C.UTF-8", "keymap": "de"}

    causes = {file.path: file.causes[0].pointer for file in changed_files(Generation(), compiled({"host": host}, 1))}

    assert causes == {
        "/etc/hostname": "host/hostname",
        "/etc/localtime": "host/timezone",
        "/etc/locale.conf": "host/locale",
        "/etc/vconsole.conf": "host/keymap",
    }


def test_a_value_that_a_unit_or_file_shows_is_not_shown_twice() -> None:
    def of(address: str) -> Generation:
        document = {"network": {"bridges": {"br9": {"addresses": {address: True}}}}}
        return placed(network(address), document=document)

    assert plan(of("192.0.2.1/24"), of("192.0.2.2/24"), Observed()).settings == ()


def test_a_file_of_a_service_names_its_own_entry() -> None:
    places = {
        "services/web/command": {"layer": "base", "path": "m.yaml", "line": 4},
        "services/web/files/~1etc~1web/content": {"layer": "base", "path": "m.yaml", "line": 7},
    }
    old, new = (
        placed(RegularFile(path="/etc/web", content=text, item="services/web", mode=0o644), provenance=places)
        for text in ("# a\n", "# b\n")
    )

    assert "(m.yaml:7 services/web/files/~1etc~1web/content)" in described(old, new)

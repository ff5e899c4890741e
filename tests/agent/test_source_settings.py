"""`source` of agent.yaml and of the kernel command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.transforms.document.maintenance_windows import window

HTTP = SourceSettings(type=SourceKind.HTTP, path="", endpoints=("https://boot/{machine-id}.yaml",))


def read(tmp_path: Path, text: str, cmdline: str = "") -> tuple[SourceSettings, str]:
    (tmp_path / "etc/ordain").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc/ordain/agent.yaml").write_text(text)
    (tmp_path / "proc/cmdline").write_text(cmdline)
    settings, problems = read_settings(tmp_path)
    return settings.source, "\n".join(map(str, problems))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{type: http, url: "https://boot/{machine-id}.yaml"}', HTTP),
        (
            '{type: http, url: "http://[::1]:80/a?h={hostname}", interval: 2min, credential: token}',
            SourceSettings(
                type=SourceKind.HTTP,
                path="",
                endpoints=("http://[::1]:80/a?h={hostname}",),
                interval_usec=120_000_000,
                credential="token",
            ),
        ),
        (
            '{type: etcd, endpoints: ["https://a:2379/", "https://b:2379"], user: node, credential: etcd-password,'
            " ca: /etc/ca.pem, cert: /etc/node.pem, key: node-key}",
            SourceSettings(
                type=SourceKind.ETCD,
                path="",
                endpoints=("https://a:2379", "https://b:2379"),
                user="node",
                credential="etcd-password",
                ca="/etc/ca.pem",
                cert="/etc/node.pem",
                key="node-key",
            ),
        ),
        (
            '{type: couchdb, url: "https://db:6984", database: lab}',
            SourceSettings(type=SourceKind.COUCHDB, path="", endpoints=("https://db:6984",), database="lab"),
        ),
    ],
)
def test_a_source_is_read(tmp_path: Path, text: str, wanted: SourceSettings) -> None:
    assert read(tmp_path, f"source: {text}\n") == (wanted, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{type: http}", "source/url: is missing"),
        ("{type: http, url: ftp://a/b}", "no http:// or https:// URL"),
        ("{type: http, url: 'https://me:secret@a/'}", "holds a user or a password"),
        ("{type: http, url: 'https://a/{machine}'}", "{machine} is no field: {machine-id}, {hostname}, {mac}"),
        ("{type: etcd, endpoints: ['https://{hostname}:1']}", "which has no {fields}"),
        ("{type: etcd, endpoints: ['https://a:99999']}", "is no URL"),
        ("{type: etcd, endpoints: ['https://a/x']}", "has a path"),
        ("{type: etcd, endpoints: ['https://a'], prefix: ordain}", "does not begin and end with a slash"),
        ("{type: etcd, endpoints: ['https://a'], path: /x}", "source/path: is no setting of type etcd"),
        ("{type: http, url: 'https://a', interval: often}", "often is no time of 1s to 1d"),
        ("{type: http, url: 'https://a', credential: ../shadow}", "is no name of a credential"),
        ("{type: http, url: 'https://a', credential: 'a:/etc/shadow'}", "is no name of a credential"),
        ("{type: http, url: 'https://a', credential: ..}", "is no name of a credential"),
        ("{type: http, url: 'https://a', cert: /x}", "cert and key go together"),
        ("{type: http, url: 'https://a', user: me}", "has no password"),
        ("[a]", "is no map"),
    ],
)
def test_with_an_error_in_it_there_is_no_source(tmp_path: Path, text: str, words: str) -> None:
    found, problems = read(tmp_path, f"source: {text}\n")

    assert found.type is SourceKind.NONE
    assert words in problems
    assert "secret" not in problems


def test_a_password_in_plain_text_is_warned_of(tmp_path: Path) -> None:
    found, problems = read(tmp_path, "source: {type: http, url: 'http://far/x', credential: word}\n")

    assert found.type is SourceKind.HTTP
    assert "plain text" in problems


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://boot/{machine-id}.yaml", HTTP),
        ("/srv/documents", SourceSettings(path="/srv/documents")),
        (
            "etcd+https://a:2379,b:2379/lab/",
            SourceSettings(type=SourceKind.ETCD, endpoints=("https://a:2379", "https://b:2379"), prefix="/lab/"),
        ),
        (
            "couchdb+http://db:5984/lab",
            SourceSettings(type=SourceKind.COUCHDB, endpoints=("http://db:5984",), database="lab"),
        ),
        ("ftp://a", SourceSettings(type=SourceKind.NONE, path="")),
    ],
)
def test_the_kernel_command_line_has_the_last_word(tmp_path: Path, url: str, wanted: SourceSettings) -> None:
    found, problems = read(tmp_path, "source: {type: directory, path: /elsewhere}\n", f"quiet ordain.source={url} rw")

    assert (found.type, found.endpoints, found.prefix, found.database) == (
        wanted.type,
        wanted.endpoints,
        wanted.prefix,
        wanted.database,
    )
    assert bool(problems) is (wanted.type is SourceKind.NONE)


def test_the_command_line_keeps_who_may_read(tmp_path: Path) -> None:
    found, _ = read(
        tmp_path, "source: {type: http, url: 'https://a', credential: c, ca: /ca}\n", "ordain.source=https://b/x"
    )

    assert (found.endpoints, found.credential, found.ca) == (("https://b/x",), "c", "/ca")


def test_windows_are_read_and_a_bad_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "etc/ordain/agent.yaml"
    file.parent.mkdir(parents=True)
    file.write_text('windows: ["Sat,Sun 02:00-05:00", "at night"]\n')

    settings, problems = read_settings(tmp_path)

    assert settings.windows == (window("Sat,Sun 02:00-05:00"),)
    assert [(p.where.line, p.where.pointer, p.what) for p in problems] == [
        (1, "windows", "not a maintenance window: 'at night'")
    ]


def test_another_trust_is_another_source_to_the_service_that_fetches(tmp_path: Path) -> None:
    file = tmp_path / "etc/ordain/agent.yaml"
    file.parent.mkdir(parents=True)
    digests = set()
    for text in ("", "trust: open\n", 'windows: "02:00-05:00"\n'):
        file.write_text('source: {type: etcd, endpoints: ["https://a:2379"]}\n' + text)
        digests.add(read_settings(tmp_path)[0].source.digest)

    assert len(digests) == 3

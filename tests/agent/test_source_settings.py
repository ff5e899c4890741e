"""`source` of agent.yaml and of the kernel command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.transforms.document.formats.maintenance_windows import parse_window
from ordain.transforms.document.keys import agent_keys

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


BAD = {
    "{type: directry}": "type: expected one of directory, http, etcd, couchdb, relay, found the string 'directry'",
    "{type: directory, url: 'https://a'}": "url: unknown key (known keys: path, type)",
    "{type: directory, path: srv}": "path: 'srv' is not an absolute path (write it with a leading /)",
    "{type: directory, path: '/a\n\n b'}": "path: ",
    "{type: http}": "the key url is missing",
    "{type: http, url: ''}": "the key url is missing",
    "{type: http, url: []}": "url: expected the URL of a boot server, or a list of them, found an empty list",
    "{type: http, url: ftp://a/b}": "url: 'ftp://a/b' is not the URL of a boot server (write https://",
    "{type: http, url: 'https://me:secret@a/'}": "(leave user and password out: they would be shown",
    "{type: http, url: 'https://a/{machine}'}": "unknown field {machine}; known: {machine-id}, {hostname}, {mac}",
    "{type: http, url: 'https://a#b'}": "url: 'https://a#b' is not the URL of a boot server (leave the fragment out)",
    "{type: http, url: 'https://a', interval: often}": "interval: 'often' is not a time span (write it as",
    "{type: http, url: 'https://a', interval: 0s}": "interval: '0s' is not a time span (1s to 86400s)",
    "{type: http, url: 'https://a', credential: ../shadow}": "credential: '../shadow' is not the name of a credential",
    "{type: http, url: 'https://a', credential: 'a:/etc/shadow'}": "is not the name of a credential",
    "{type: http, url: 'https://a', credential: ..}": "is not the name of a credential",
    "{type: http, url: 'https://a', cert: /x}": "cert and key are needed together",
    "{type: http, url: 'https://a', key: x}": "cert and key are needed together",
    "{type: http, url: 'https://a', cert: x, key: y}": "cert: 'x' is not an absolute path",
    "{type: http, url: 'https://a', cert: /x, key: [y]}": "key: expected the name of a credential, found a list",
    "{type: http, url: 'https://a', ca: x}": "ca: 'x' is not an absolute path",
    "{type: http, url: 'https://a', user: me}": "user: a user needs a password",
    "{type: http, url: 'https://a', user: [me], credential: x}": "user: expected a text, found a list",
    "{type: etcd}": "the key endpoints is missing",
    "{type: etcd, endpoints: 1}": "endpoints: '1' is not the URL of a server",
    "{type: etcd, endpoints: ['https://{hostname}:1']}": "endpoints/0: 'https://{hostname}:1' is not the URL",
    "{type: etcd, endpoints: ['https://a:99999']}": "'https://a:99999' is not the URL of a server (not a URL",
    "{type: etcd, endpoints: ['https://a/x']}": "(leave the path out)",
    "{type: couchdb, url: 'https://a/couch?x=1'}": "(leave the query (`?…`) out)",
    "{type: etcd, endpoints: ['https://a'], prefix: ordain}": "prefix: 'ordain' is not a prefix of keys (it begins and",
    "{type: etcd, endpoints: ['https://a'], path: /x}": "path: unknown key",
    "{type: couchdb, url: 'https://a', database: true}": "database: expected a text, found true",
    "[a]": "expected a map with the keys of a source, found a list",
}


@pytest.mark.parametrize(("text", "words"), BAD.items())
def test_an_error_in_the_source_leaves_the_machine_without_one(tmp_path: Path, text: str, words: str) -> None:
    found, problems = read(tmp_path, f"source: {text}\n")

    assert found.type is SourceKind.NONE
    assert words in problems
    assert "secret" not in problems


@pytest.mark.parametrize("key", sorted({key for case in agent_keys.SOURCE.cases.values() for key in case.keys}))
def test_every_key_of_a_source_is_tested_with_a_wrong_value(key: str) -> None:
    assert any(words.startswith((f"{key}: ", f"{key}/0: ")) for words in BAD.values())


def test_of_several_boot_servers_only_the_first_is_used_and_a_warning_says_so(tmp_path: Path) -> None:
    found, problems = read(tmp_path, "source: {type: http, url: ['https://a', 'https://b']}\n")

    assert found.endpoints == ("https://a", "https://b")
    assert "1:22: warning: source/url: only the first URL is used" in problems


def test_a_password_in_plain_text_causes_a_warning(tmp_path: Path) -> None:
    found, problems = read(tmp_path, "source: {type: http, url: 'http://far/x', credential: word}\n")

    assert found.type is SourceKind.HTTP
    assert "plain text" in problems


def test_a_secret_in_the_query_of_a_url_causes_a_warning_because_it_is_shown(tmp_path: Path) -> None:
    settings, problems = read(tmp_path, "source: {type: http, url: 'https://a/x?role=web&access-token=hunter2'}\n")

    assert settings.type is SourceKind.HTTP
    assert "warning: source: access-token in the URL looks like a secret" in problems
    assert "hunter2" not in problems


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
        (
            "couchdb+https://proxy/couch/site/lab",
            SourceSettings(type=SourceKind.COUCHDB, endpoints=("https://proxy/couch/site",), database="lab"),
        ),
        (
            "couchdb+https://a,b:6984/",
            SourceSettings(type=SourceKind.COUCHDB, endpoints=("https://a", "https://b:6984"), database="ordain"),
        ),
        (
            "relay+https://a:8443,b:8443",
            SourceSettings(type=SourceKind.RELAY, endpoints=("https://a:8443", "https://b:8443")),
        ),
        ("relay+https://a:8443/ordain/", SourceSettings(type=SourceKind.NONE, path="")),
        ("ftp://a", SourceSettings(type=SourceKind.NONE, path="")),
    ],
)
def test_the_kernel_command_line_overrides_the_file(tmp_path: Path, url: str, wanted: SourceSettings) -> None:
    found, problems = read(tmp_path, "source: {type: directory, path: /elsewhere}\n", f"quiet ordain.source={url} rw")

    assert (found.type, found.endpoints, found.prefix, found.database) == (
        wanted.type,
        wanted.endpoints,
        wanted.prefix,
        wanted.database,
    )
    assert bool(problems) is (wanted.type is SourceKind.NONE)


def test_the_command_line_keeps_credential_and_certificates(tmp_path: Path) -> None:
    found, _ = read(
        tmp_path, "source: {type: http, url: 'https://a', credential: c, ca: /ca}\n", "ordain.source=https://b/x"
    )

    assert (found.endpoints, found.credential, found.ca) == (("https://b/x",), "c", "/ca")


def test_a_bad_window_is_reported_and_the_good_ones_are_used(tmp_path: Path) -> None:
    file = tmp_path / "etc/ordain/agent.yaml"
    file.parent.mkdir(parents=True)
    file.write_text('windows: ["Sat,Sun 02:00-05:00", "at night"]\n')

    settings, problems = read_settings(tmp_path)

    assert settings.windows == (parse_window("Sat,Sun 02:00-05:00"),)
    assert [(p.where.line, p.where.pointer, p.what) for p in problems] == [
        (1, "windows/1", "'at night' is not a maintenance window")
    ]


def test_ordain_source_starts_anew_for_another_trust_or_other_windows(tmp_path: Path) -> None:
    file = tmp_path / "etc/ordain/agent.yaml"
    file.parent.mkdir(parents=True)
    digests = set()
    for text in ("", "trust: open\n", 'windows: "02:00-05:00"\n'):
        file.write_text('source: {type: etcd, endpoints: ["https://a:2379"]}\n' + text)
        digests.add(read_settings(tmp_path)[0].source.digest)

    assert len(digests) == 3

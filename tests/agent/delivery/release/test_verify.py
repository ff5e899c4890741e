"""Releases: the signed bytes, the keys whose signatures count, and the releases that a machine refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.agent.daemon.status.status_reader import expired
from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, SourceError, SourceFault
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.admission import Admission
from ordain.agent.delivery.release.highest_accepted import forget_accepted, read_highest, record_accepted
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.agent.delivery.release.trusted_keys import InvalidKey, PublicKey, parse_key, trusted_keys
from ordain.agent.delivery.release.verify import (
    AcceptedRelease,
    by_hash,
    highest_release,
    require_newer,
    select_documents,
    trusted_signers,
)
from ordain.agent.errors import Failure
from ordain.agent.settings import Trust
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts
from rig.stores.signing_keys import key_of

GOLDEN = Path(__file__).parents[3] / "golden/release"
WEB = b"ordain: v1\nkind: Layer\nname: web\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def release(number: int = 42, channel: str = "stable", **more: Any) -> Release:
    draft = ReleaseDraft(
        channel=channel,
        number=number,
        documents={"common/web.yaml": sha256(WEB)},
        created="2026-01-01T00:00:00Z",
        **more,
    )
    return draft.release()


def signed(made: Release, seed: int = 1) -> Release:
    private, key = key_of(seed)
    return made.signed(key.id, signing.sign(private, made.canonical))


def test_the_golden_release_can_still_be_read_and_verified() -> None:
    found = read_release("release.json", (GOLDEN / "release.json").read_bytes())
    keys = [parse_key(line) for line in (GOLDEN / "ops.pub").read_text().splitlines()]

    assert found.canonical == (GOLDEN / "canonical").read_bytes()
    assert [key.name for key in trusted_signers(found, keys, signing.valid_signers)] == ["ops"]


def test_the_golden_release_is_still_written_the_same() -> None:
    made = signed(
        release(
            about='Grüße, "quoted"\n\u2028',
            rollout={"splay": "10min", "max-parallel": 5, "stages": ["1%", "100%"], "windows": ["Sat 02:00-05:00"]},
        )
    )

    assert made.text() == (GOLDEN / "release.json").read_bytes()


@pytest.mark.skipif(shutil.which("jq") is None or shutil.which("openssl") is None, reason="needs jq and openssl")
def test_jq_and_openssl_alone_can_verify_a_release(tmp_path: Path) -> None:
    found = read_release("release.json", (GOLDEN / "release.json").read_bytes())
    ((_, signature),) = found.signatures.items()
    raw = parse_key((GOLDEN / "ops.pub").read_text()).raw
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    (tmp_path / "key").write_bytes(bytes.fromhex("302a300506032b6570032100") + raw)  # RFC 8410, 4
    text = subprocess.run(
        ["jq", "-cjS", "del(.signatures)", GOLDEN / "release.json"], capture_output=True, check=True
    ).stdout
    (tmp_path / "text").write_bytes(text)

    verify = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
    done = subprocess.run(verify.split(), cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_signed_bytes_do_not_depend_on_the_notation() -> None:
    as_json = release()
    as_yaml = read_release(
        "r.yaml",
        f"""
number: 0x2a
documents: {{common/web.yaml: {sha256(WEB)}}}   # a comment
schema: v1
channel: 'stable'
created: "2026-01-01T00:00:00Z"
name: stable-42
kind: Release
ordain: v1
""".encode(),
    )

    assert as_yaml.canonical == as_json.canonical


@pytest.mark.thorough
@given(st.data())
def test_every_change_of_a_byte_is_noticed(data: st.DataObject) -> None:
    _, key = key_of(1)
    text = signed(release(about="a release")).text()
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = text[:at] + bytes([byte]) + text[at + 1 :]
    try:
        found = read_release("r.json", changed)
        trusted_signers(found, [key], signing.valid_signers)
    except (Refused, SourceError):
        return
    assert found.canonical == release(about="a release").canonical


ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point of Ed25519 (RFC 8032): s and s + ORDER would be two signatures of one text."""


def second_signature(text: bytes) -> bytes:
    """Return the manifest with the same signature in its other form."""
    data = json.loads(text)
    for name, signature in data["signatures"].items():
        raw = base64.b64decode(signature)
        other = int.from_bytes(raw[32:], "little") + ORDER
        data["signatures"][name] = base64.b64encode(raw[:32] + other.to_bytes(32, "little")).decode()
    return json.dumps(data).encode()


def number(words: bytes) -> Callable[[bytes], bytes]:
    """Return a change of a manifest that replaces the entry with its number."""
    return lambda text: re.sub(rb'"number": *42', words.replace(b"\\", rb"\\"), text)


KEY = key_of(1)[1]
FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "the next number": number(b'"number": 43'),
    "a number with a fraction": number(b'"number": 42.0'),
    "a number with an exponent": number(b'"number": 42e0'),
    "a number as a text": number(b'"number": "42"'),
    "a huge number": number(b'"number": 99999999999999999999'),
    "two numbers": number(b'"number": 43, "number": 42'),
    "two numbers, one with an escape": number(b'"number": 43, "numbe\\u0072": 42'),
    "an unknown key": number(b'"number": 42, "x": 1'),
    "an unknown key that is deep": number(b'"number": 42, "x": ' + b"[" * 60 + b"]" * 60),
    "permission to remove most": number(b'"number": 42, "shrinks": true'),
    "half a surrogate pair": number(b'"number": 42, "about": "\\ud800"'),
    "a NUL": number(b'"number": 42, "about": "\\u0000"'),
    "another channel": lambda text: text.replace(b'"stable"', b'"canary"'),
    "text behind it": lambda text: text + b"{}",
    "two in a list": lambda text: b"[" + text + b"," + text + b"]",
    "a blank in the signature": lambda text: re.sub(rb'(": *")([A-Za-z0-9+/=]{80,})', rb"\1 \2", text),
    "the id of the key in capitals": lambda text: text.replace(
        key_of(1)[1].id.encode(), key_of(1)[1].id.upper().encode()
    ),
    "the other form of the signature": second_signature,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_manifest_is_refused(forgery: str) -> None:
    text = signed(release()).text()
    trusted_signers(read_release("r.json", text), [KEY], signing.valid_signers)

    forged = FORGERIES[forgery](text)
    assert forged != text
    with pytest.raises((Refused, SourceError)):
        trusted_signers(read_release("r.json", forged), [KEY], signing.valid_signers)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "expected a value"),
        (
            b'{"ordain":"v1","kind":"Release","name":"x","channel":"x","number":1,"schema":"v1","documents":{},"about":"\x7f"}',
            "DEL",
        ),
        (b"[]", "not one document"),
        (b"{}", "expected a Release"),
        (b'{"ordain":"v1","kind":"Release","name":"x","channel":"x","number":1.5,"schema":"v1","documents":{}}', "1.5"),
        (b'{"ordain":"v1","kind":"Release","name":"x","channel":"x","number":0,"schema":"v1","documents":{}}', "less"),
        (b'{"ordain":"v1","kind":"Release","name":"x","channel":"x","number":1,"number":2}', "duplicate key"),
        (b'{"ordain":"v1","kind":"Release","name":"x","channel":"x","number":1,"schema":"v2"}', "SchemaTooNew"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"\xff", "UTF-8"),
        (b" " * (2 << 20), "at most"),
    ],
)
def test_a_text_that_is_not_a_release_is_refused_with_a_reason(text: bytes, what: str) -> None:
    with pytest.raises(Refused, match=what):
        read_release("r.json", text)


def test_keys_of_a_later_version_are_signed_and_otherwise_ignored() -> None:
    data = {**release().data, "later": {"x": [1, "y", None, True]}}
    found = read_release("r.json", json.dumps(data).encode())

    assert found.unknown == ("later",)
    assert b'"later":{"x":[1,"y",null,true]}' in found.canonical


def test_the_signature_of_one_trusted_key_is_enough() -> None:
    _, old = key_of(1, "old")
    _, new = key_of(2, "new")
    both = signed(signed(release(), 1), 2)

    assert [k.name for k in trusted_signers(both, [old], signing.valid_signers)] == ["old"]
    assert [k.name for k in trusted_signers(both, [new], signing.valid_signers)] == ["new"]
    assert [k.name for k in trusted_signers(signed(release(), 2), [old, new], signing.valid_signers)] == ["new"]


def test_only_valid_signatures_count() -> None:
    made = signed(release())
    _, key = key_of(1)
    _, other = key_of(2)
    signatures = {key.raw: made.signatures[key.id], other.raw: made.signatures[key.id], b"\0" * 32: "!"}

    assert signing.valid_signers(made.canonical, signatures) == {key.raw}


@pytest.mark.parametrize(
    ("made", "keys", "what"),
    [
        (release(), [key_of(1)[1]], "is not signed"),
        (signed(release(), 2), [key_of(1)[1]], "is signed by"),
        (signed(release()), [], "trusts no key"),
        (signed(release()), [key_of(1, "ci", frozenset({"canary"}))[1]], "ci signs only for canary"),
        (
            release(41).signed(key_of(1)[1].id, signed(release()).signatures[key_of(1)[1].id]),
            [key_of(1)[1]],
            "does not match the content",
        ),
    ],
)
def test_a_release_without_a_valid_signature_of_a_trusted_key_is_refused(
    made: Release, keys: list[PublicKey], what: str
) -> None:
    with pytest.raises(SourceError, match=what) as caught:
        trusted_signers(made, keys, signing.valid_signers)

    assert caught.value.code == "VerifyFailed"


def test_a_release_with_an_older_number_or_other_content_is_refused() -> None:
    known = AcceptedRelease(number=42, hash=release().hash)

    require_newer(release(), "stable", known)
    require_newer(release(43), "stable", known)
    require_newer(release(1), "stable", None)
    for wrong, code in (
        (release(41), "ReleaseReplayed"),
        (release(about="another"), "SourceConflict"),
        (release(43, "canary"), "VerifyFailed"),
    ):
        with pytest.raises(SourceError) as caught:
            require_newer(wrong, "stable", known)
        assert caught.value.code == code


def test_of_several_releases_the_highest_counts_and_two_with_one_number_conflict() -> None:
    assert highest_release([release(43), release(42)]).number == 43
    assert highest_release([release(42), release(42)]).number == 42
    with pytest.raises(SourceError) as caught:
        highest_release([release(42), release(42, about="another"), release(41)])
    assert caught.value.code == "SourceConflict"


def test_an_accepted_release_is_recorded_and_can_be_forgotten(tmp_path: Path) -> None:
    record_accepted(tmp_path, "stable", AcceptedRelease(number=42, hash="a"))
    record_accepted(tmp_path, "canary", AcceptedRelease(number=50, hash="b"))

    assert read_highest(tmp_path)["stable"] == AcceptedRelease(number=42, hash="a")
    assert forget_accepted(tmp_path, "stable") == AcceptedRelease(number=42, hash="a")
    assert read_highest(tmp_path) == {"canary": AcceptedRelease(number=50, hash="b")}


def test_the_floor_of_an_image_cannot_be_forgotten(tmp_path: Path) -> None:
    floor = tmp_path / "usr/lib/ordain/releases.json"
    floor.parent.mkdir(parents=True)
    floor.write_text('{"stable": {"number": 40, "hash": "a"}}')

    assert read_highest(tmp_path)["stable"].number == 40
    record_accepted(tmp_path, "stable", AcceptedRelease(number=42, hash="b"))
    forget_accepted(tmp_path, "stable")

    assert read_highest(tmp_path)["stable"].number == 40


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    record_accepted(tmp_path, "stable", AcceptedRelease(number=42, hash="a"))
    (tmp_path / "var/lib/ordain/releases.json").write_bytes(b"")

    with pytest.raises(ValueError, match="cannot read the accepted releases"):
        read_highest(tmp_path)


def test_trusted_keys_are_lines_of_files_and_invalid_lines_are_reported(tmp_path: Path) -> None:
    _, key = key_of(1)
    folder = tmp_path / "etc/ordain/trust"
    folder.mkdir(parents=True)
    (folder / "a.pub").write_text(f"# ours\n\n{key.line}\n")
    (folder / "b.pub").write_text("ssh-ed25519 AAAA me\n")
    (folder / "c.pub").write_bytes(b"\xff")
    (folder / "d.key").write_text("not read")

    keys, problems = trusted_keys(tmp_path)

    assert keys == (key,)
    assert [(p.where.path, p.where.line) for p in problems] == [
        ("/etc/ordain/trust/b.pub", 1),
        ("/etc/ordain/trust/c.pub", 0),
    ]


@pytest.mark.parametrize("line", ["", "ed25519 AAAA ops", "ed25519 !!! ops", "rsa AAAA ops", "ed25519"])
def test_a_line_that_is_not_a_key_is_refused(line: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(line)


def test_a_private_key_with_a_passphrase_needs_it() -> None:
    pem, raw = signing.generate_key(b"secret")

    assert signing.public_bytes(signing.load_private_key("k", pem, b"secret")) == raw
    with pytest.raises(signing.LockedKey):
        signing.load_private_key("k", pem)
    with pytest.raises(Failure, match="the passphrase is wrong"):
        signing.load_private_key("k", pem, b"wrong")
    with pytest.raises(Failure, match="cannot read a private key"):
        signing.load_private_key("k", b"nothing")


def many(**more: Any) -> Release:
    documents = {f"{scope}/a.yaml": sha256(WEB) for scope in ("common", "role=web", "role=db")}
    return ReleaseDraft(channel="stable", number=2, documents=documents, created="now", **more).release()


def keys(*scopes: str) -> list[PublicKey]:
    """Return the keys of the seeds 1, 2, …, each with its scopes."""
    return [replace(key_of(n)[1], scopes=frozenset(filter(None, text.split(",")))) for n, text in enumerate(scopes, 1)]


@pytest.mark.parametrize(
    ("trusted", "signers", "fault"),
    [
        (keys(""), (1,), ""),
        (keys("common,role=web,role=db"), (1,), ""),
        (keys("common,role=db", "role=web"), (1, 2), ""),
        (keys("", "role=web"), (1, 2), ""),
        (keys("role=web"), (1,), "common/a.yaml is in another scope"),
        (keys("common,role=db", "role=web"), (1,), "role=web/a.yaml is in another scope"),
        (keys("", "role=web"), (2,), "common/a.yaml is in another scope"),
        (keys("role=we"), (1,), "is in another scope"),
    ],
)
def test_a_key_for_some_scopes_signs_only_the_documents_in_them(
    trusted: list[PublicKey], signers: tuple[int, ...], fault: str
) -> None:
    made = many()
    for seed in signers:
        made = signed(made, seed)
    if not fault:
        assert len(trusted_signers(made, trusted, signing.valid_signers)) == len(signers)
        return

    with pytest.raises(SourceError, match=fault) as caught:
        trusted_signers(made, trusted, signing.valid_signers)
    assert "signs only for" in str(caught.value)


def admit(root: Path, text: bytes, labels: Mapping[str, tuple[str, ...]], *trusted: PublicKey) -> Release | None:
    """Have a machine with these labels admit a release and its document."""
    (root / "etc/ordain/trust").mkdir(parents=True, exist_ok=True)
    (root / "etc/ordain/trust/keys.pub").write_text("".join(f"{key.line}\n" for key in trusted))
    facts = Facts(id="debian", version="13", systemd=257, hostname="box", machine_id="0" * 32, labels=labels)
    texts = (("release.json", text), ("a.yaml", WEB), ("node.yaml", NODE))
    admission = Admission(root=root, trust=Trust.REQUIRED, check=signing.valid_signers)
    return admission.admit(Snapshot(texts=texts), facts, {})[1]


NODE = b"{ordain: v1, kind: Node, name: box, labels: {role: web}}"


@pytest.mark.parametrize(
    ("labels", "documents", "signers", "accepted"),
    [
        ({"role": ("web",)}, {"role=web/a.yaml": WEB}, "role=web", True),
        ({"role": ("web", "db")}, {"role=web/a.yaml": WEB}, "role=web", True),
        ({"role": ("db",)}, {"role=web/a.yaml": WEB}, "role=web", False),
        ({"role": ("db",)}, {"role=web/a.yaml": WEB}, "", True),
        ({"role": ("db",)}, {"role=web/a.yaml": WEB}, "role=web,common", True),
        ({}, {}, "role=web", False),
        # A Node in the release gives a label only if the machine reads it without that label.
        ({}, {"role=web/node.yaml": NODE}, "role=web", False),
        ({}, {"hostname=box/node.yaml": NODE, "role=web/a.yaml": WEB}, "role=web,hostname=box", True),
    ],
)
def test_a_key_for_some_scopes_decides_nothing_for_machines_in_other_scopes(
    tmp_path: Path, labels: Mapping[str, tuple[str, ...]], documents: Mapping[str, bytes], signers: str, accepted: bool
) -> None:
    """It can neither remove the documents of others there, nor block later releases by its number."""
    names = {name: sha256(data) for name, data in documents.items()}
    newest = ReleaseDraft(channel="stable", number=1 << 52, documents=names, created="now").release()
    text = signed(newest).text()
    if accepted:
        assert admit(tmp_path, text, labels, *keys(signers)) is not None
        return

    with pytest.raises(SourceError, match=r"signs only for .*; this machine is in other scopes") as caught:
        admit(tmp_path, text, labels, *keys(signers))
    assert caught.value.code == SourceFault.VERIFY_FAILED
    assert read_highest(tmp_path) == {}


def test_only_a_key_for_all_scopes_signs_that_most_services_are_removed() -> None:
    made = signed(many(shrinks=True))

    with pytest.raises(SourceError, match="`shrinks` removes services"):
        trusted_signers(made, keys("common,role=web,role=db"), signing.valid_signers)
    assert trusted_signers(made, keys(""), signing.valid_signers)


@pytest.mark.parametrize("restriction", ["", "channel=canary", "scope=role=web,common", "channel=a,b scope=os=debian"])
def test_a_key_with_restrictions_can_be_read_back(restriction: str) -> None:
    line = f"ed25519 {'A' * 43}= ops {restriction}".strip()

    assert parse_key(parse_key(line).line) == parse_key(line)


@pytest.mark.parametrize("rollout", ["{windows: {template: x}}", "{stages: {template: x}}"])
def test_a_template_in_a_rollout_is_refused(rollout: str) -> None:
    text = release().text().decode().replace('"documents"', f'"rollout": {rollout}, "documents"')

    with pytest.raises(Refused, match="rollout"):
        read_release("r.yaml", text.encode())


def test_a_key_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(InvalidKey, match="not the base64 of 32 bytes"):
        parse_key(f"ed25519 {'A' * 42}×= ops")


@pytest.mark.parametrize("restriction", ["scope=", "scope=a,", "scope=a/b", "scope=a scope=b", "path=a", "channel=a b"])
def test_a_key_with_an_invalid_restriction_is_refused(restriction: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(f"ed25519 {'A' * 43}= ops {restriction}")


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-12-31", "2026-12-31T00:00:00", "2026-12-31T00:00:00+01:00", "2026-13-01T00:00:00Z"]
)
def test_a_release_expires_at_a_time_in_utc(text: str) -> None:
    with pytest.raises(Refused, match="expires"):
        release(expires=text)

    assert release(expires="2026-12-31T00:00:00+00:00").expires == "2026-12-31T00:00:00+00:00"
    assert release().expires == ""


def test_an_expired_release_is_a_condition() -> None:
    reference = ReleaseReference(channel="stable", number=3, expires="2026-12-31T00:00:00Z")

    assert list(expired(reference, datetime(2026, 12, 30, tzinfo=UTC))) == []
    assert list(expired(replace(reference, expires=""), datetime(2027, 1, 1, tzinfo=UTC))) == []
    (condition,) = expired(reference, datetime(2026, 12, 31, tzinfo=UTC))
    assert (condition.code, condition.fault) == ("ReleaseExpired", True)


def test_a_machine_whose_documents_call_machines_needs_the_nodes_of_all() -> None:
    node = b"ordain: v1\nkind: Node\nname: web2\n"
    hosts = b"ordain: v1\nkind: Layer\nname: hosts\nfiles: {/etc/h: {template: '{{ machines()|length }}'}}\n"
    layer = b"ordain: v1\nkind: Layer\nname: base\n"
    web1 = Facts(id="debian", systemd=257, hostname="web1")

    def selected(common: bytes, *available: bytes) -> tuple[list[str], frozenset[str]]:
        documents = {"common/base.yaml": sha256(common), "hostname=web2/web2.yaml": sha256(node)}
        draft = ReleaseDraft(channel="stable", number=1, documents=documents, created="2026-01-01T00:00:00Z")
        texts, missing = select_documents(draft.release(), by_hash([common, *available]), web1, {})
        return [name for name, _ in texts], missing

    assert selected(layer) == (["base.yaml"], frozenset())
    assert selected(hosts) == ([], frozenset([sha256(node)]))
    assert selected(hosts, node) == (["base.yaml", "web2.yaml"], frozenset())

"""Secrets are opened by those whom they were sealed for, as they were, and by nobody else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml

from ordain.agent.delivery.identity.decryption_key import DecryptionKey, generate_decryption_key, parse_decryption_key
from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.machine_record import MachineRecord, RecoveryRecord, encode_key
from ordain.agent.delivery.identity.recipients import compare_keys, recipient_keys
from ordain.agent.delivery.identity.sealing import NotSealedFor, open_secret, reseal, seal
from ordain.agent.delivery.identity.secret_text import as_document, secrets_of, with_secrets
from ordain.transforms.document.reader import read
from ordain.transforms.sealed_secret import MAX_RECIPIENTS, MAX_VALUE, SealedSecret, parse

OWN, OTHER = generate_decryption_key(), generate_decryption_key()


@pytest.mark.parametrize(
    "value",
    [b"x", "Grüße 秘密".encode(), bytes(range(256)), b"a\n", b"\0", b"\n\n", b"x" * MAX_VALUE],
    ids=["one byte", "unicode", "all bytes", "a newline", "a NUL", "newlines", "the longest"],
)
def test_a_secret_comes_back_as_it_was(value: bytes) -> None:
    secret = seal("db", value, [OWN.public, OTHER.public])

    assert open_secret(parse(secret.text), OWN) == value
    assert open_secret(secret, OTHER) == value


@pytest.mark.parametrize(("value", "reason"), [(b"", "is empty"), (b"x" * (MAX_VALUE + 1), "at most 65,536")])
def test_a_secret_of_another_size_is_not_sealed(value: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        seal("db", value, [OWN.public])


def flipped(text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def cut(text: str) -> str:
    return base64.b64encode(base64.b64decode(text)[:-1]).decode()


def with_copy(change: Callable[[str], str]) -> Callable[[SealedSecret], SealedSecret]:
    return lambda secret: replace(secret, copies={OWN.id: change(secret.copies[OWN.id])})


FORGED: dict[str, tuple[Callable[[SealedSecret], SealedSecret], str]] = {
    "a changed value": (lambda s: replace(s, value=flipped(s.value)), "one of them was changed"),
    "a truncated value": (lambda s: replace(s, value=cut(s.value)), "one of them was changed"),
    "an empty value": (lambda s: replace(s, value=""), "too short"),
    "a value that is not base64": (lambda s: replace(s, value="ä"), "base64"),
    "a value that is too large": (lambda s: replace(s, value="A" * 100_000), "at most 65,536 bytes"),
    "the value of another secret": (lambda s: replace(s, value=seal("db", b"y", [OWN.public]).value), "was changed"),
    "another name": (lambda s: replace(s, name="admin"), "under another name"),
    "a changed copy": (with_copy(flipped), "was changed, or made for another key"),
    "a truncated copy": (with_copy(cut), "80 bytes"),
    "the copy of another key": (
        with_copy(lambda _: seal("db", b"x", [OTHER.public]).copies[OTHER.id]),
        "made for another key",
    ),
}


@pytest.mark.parametrize("fault", FORGED)
def test_a_forged_secret_does_not_open(fault: str) -> None:
    forge, reason = FORGED[fault]

    with pytest.raises(ValueError, match=reason):
        open_secret(forge(seal("db", b"x", [OWN.public])), OWN)


def test_a_key_that_no_machine_can_have_is_named() -> None:
    with pytest.raises(ValueError, match=r"the key [0-9a-f]{16} cannot be used"):
        seal("db", b"x", [OWN.public, bytes(32)])


def test_a_secret_for_somebody_else_does_not_open() -> None:
    with pytest.raises(NotSealedFor, match=f"not sealed for the key {OWN.id}"):
        open_secret(seal("db", b"x", [OTHER.public]), OWN)


def test_a_secret_that_is_sealed_again_keeps_its_value_its_path_and_the_copies_of_those_who_stay() -> None:
    third = generate_decryption_key()
    before = seal("db", b"x", [OWN.public, OTHER.public])

    after = reseal(before, OWN, [OWN.public, third.public])

    assert (after.value, after.path) == (before.value, before.path)
    assert after.copies.keys() == {OWN.id, third.id}
    assert after.copies[OWN.id] == before.copies[OWN.id]
    assert open_secret(after, third) == b"x"
    with pytest.raises(NotSealedFor):
        open_secret(after, OTHER)


def test_another_value_has_another_path() -> None:
    assert seal("db", b"x", [OWN.public]).path != seal("db", b"x", [OWN.public]).path


@pytest.mark.thorough
def test_the_most_recipients_are_possible_and_one_more_is_not() -> None:
    keys = [i.to_bytes(32, "little") for i in range(9, MAX_RECIPIENTS + 8)]

    secret = seal("db", b"x", [OWN.public, *keys])

    assert len(secret.copies) == MAX_RECIPIENTS
    documents, problems = read("secret.yaml", as_document(secret, ["role=web"]).encode())
    assert problems == ()
    assert open_secret(next(secrets_of(documents[0].sections)).secret, OWN) == b"x"
    with pytest.raises(ValueError, match="at most 10,000"):
        seal("db", b"x", [OWN.public, OTHER.public, *keys])


@pytest.mark.parametrize(
    "text", ["", "ordain-secret-key", "ordain-secret-key AAAA", "ordain-machine-key f AAAA", "é é"]
)
def test_a_line_that_is_not_a_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is not a line|second word"):
        parse_decryption_key(text)
    assert base64.b64encode(OWN.private).decode() not in repr(OWN)
    assert parse_decryption_key(OWN.line) == OWN


def machine(name: str, key: DecryptionKey | None, *, role: str = "web", revoked: str = "") -> MachineRecord:
    id = (name.encode().hex() * 32)[:32]
    encryption = key.public_text if key else ""
    return MachineRecord(
        machine=id, key="", encryption=encryption, name=name, labels={"role": (role,)}, revoked=revoked
    )


def fleet(*machines: MachineRecord, recovery: DecryptionKey | None = None) -> Identities:
    keys = {recovery.id: RecoveryRecord(key=recovery.public_text)} if recovery else {}
    return Identities(machines={record.machine: record for record in machines}, recovery=keys)


KEYS = {name: generate_decryption_key() for name in ("web1", "web2", "db1", "recovery")}
FLEET = fleet(
    machine("web1", KEYS["web1"]),
    machine("web2", KEYS["web2"]),
    machine("db1", KEYS["db1"], role="db"),
    recovery=KEYS["recovery"],
)


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (["role=web"], {"web1", "web2"}),
        (["machine=db1"], {"db1"}),
        (["role=web", "recovery"], {"web1", "web2", "recovery"}),
        ([f"key={encode_key(KEYS['db1'].public)}"], {"db1"}),
        (["role=nobody"], set()),
    ],
)
def test_recipients_are_the_keys_of_now(recipients: list[str], expected: set[str]) -> None:
    assert set(recipient_keys(recipients, FLEET).keys) == {KEYS[name].id for name in expected}


STALE: dict[str, tuple[Identities, str]] = {
    "a machine joined": (
        fleet(*FLEET.machines.values(), machine("web3", generate_decryption_key())),
        "web3 cannot open it: its key",
    ),
    "a machine without a key joined": (
        fleet(*FLEET.machines.values(), machine("web3", None)),
        "web3 has no key for secrets",
    ),
    "a machine was revoked": (
        fleet(machine("web1", KEYS["web1"]), machine("web2", KEYS["web2"], revoked="stolen")),
        "web2 was revoked, and can open it: stolen",
    ),
    "a machine has another role": (
        fleet(machine("web1", KEYS["web1"]), machine("web2", KEYS["web2"], role="db")),
        "web2 can open it, and need not",
    ),
    "a machine has another key": (
        fleet(machine("web1", KEYS["web1"]), machine("web2", generate_decryption_key())),
        "is unknown",
    ),
    "no machine is left": (fleet(), "no enrolled machine is role=web"),
}


@pytest.mark.parametrize("change", STALE)
def test_a_secret_is_stale_after_a_change_of_its_recipients(change: str) -> None:
    secret = seal("db", b"x", recipient_keys(["role=web"], FLEET).keys.values())
    assert compare_keys(secret, ["role=web"], FLEET).stale == ()
    known, reason = STALE[change]

    assert any(reason in line for line in compare_keys(secret, ["role=web"], known).stale)


TEXTS = {  # no sealed value has an @
    "block": "# kept\nsecrets:\n  db:   # kept\n    for: [role=web]\n    value: @V@\n    keys:\n    - @K@\n# kept\n",
    "one key": "secrets: {db: {value: @V@, keys: '@K@'}}  # kept\n",
    "JSON": '{"secrets": {"db": {"keys": ["@K@"], "value": "@V@"}}}\n',
    "a document after another": "a: 1\n---\nsecrets:\n  db:\n      keys:\n          - @K@\n      value: @V@\n",
}


@pytest.mark.parametrize("form", TEXTS)
def test_only_the_list_of_keys_is_replaced_in_a_text(form: str) -> None:
    before = seal("db", b"x", [OWN.public])
    (copy,) = before.copies.values()
    after = reseal(before, OWN, [OWN.public, OTHER.public])
    text = TEXTS[form].replace("@V@", before.value).replace("@K@", f"{OWN.id}:{copy}")

    new = with_secrets(text, {before.value: after})

    *_, document = yaml.safe_load_all(new)
    assert document["secrets"]["db"]["keys"] == [f"{id}:{copy}" for id, copy in sorted(after.copies.items())]
    assert new.count("# kept") == text.count("# kept")
    assert with_secrets(text, {}) == text


@pytest.mark.parametrize("quote", ["", '"', "'", "|\n        "])
def test_a_new_value_and_its_recipients_take_the_place_of_the_old_ones(quote: str) -> None:
    before, after = seal("db", b"x", [OWN.public]), seal("db", b"y", [OTHER.public])
    (copy,) = before.copies.values()
    end = "" if quote.startswith("|") else quote
    text = (
        "# kept\nsecrets:\n  db:\n    for:\n      - role=web\n      - recovery  # kept\n"
        f"    value: {quote}{before.value}{end}\n    keys: [{OWN.id}:{copy}]\nservices: {{}}  # kept\n"
    )
    old = yaml.safe_load(text)["secrets"]["db"]["value"]

    new = with_secrets(text, {old: after}, ["role=db", "machine=007"])

    document = yaml.safe_load(new)
    (key,) = after.copies.items()
    assert document["secrets"]["db"]["value"].strip() == after.value
    assert document["secrets"]["db"]["for"] == ["role=db", "machine=007"]
    assert document["secrets"]["db"]["keys"] == [":".join(key)]
    assert document["services"] == {}
    assert new.count("# kept") >= 2


def test_a_secret_without_recipients_gets_none_silently() -> None:
    secret = seal("db", b"x", [OWN.public])
    text = TEXTS["one key"].replace("@V@", secret.value).replace("@K@", "a:b")
    with pytest.raises(ValueError, match="it has no `for`"):
        with_secrets(text, {secret.value: secret}, ["role=web"])

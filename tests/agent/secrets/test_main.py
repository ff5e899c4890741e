"""The program that opens secrets: it places what it can open, for root alone, and says why it cannot open the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ordain.agent.delivery.identity import decryption_key
from ordain.agent.delivery.identity.decryption_key import NaclMissing, generate_decryption_key
from ordain.agent.delivery.identity.key_file import SECRET_EARLIER, write_decryption_key
from ordain.agent.delivery.identity.sealing import seal
from ordain.agent.secrets import exchange
from ordain.agent.secrets.main import main
from ordain.agent.secrets.unsealing import Unsealer
from ordain.generator import files
from ordain.generator.cache import Cache, pack
from ordain.transforms.artifacts import SEALED, CredentialFile
from ordain.transforms.sealed_secret import SealedSecret, secret_digest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files get owners")
KEY, OTHER = generate_decryption_key(), generate_decryption_key()
BINARY = bytes(range(256))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/ordain/boot").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    write_decryption_key(tmp_path, KEY)
    return tmp_path


def choose(root: Path, *secrets: SealedSecret) -> None:
    """Make a generation with these secrets the one of this boot."""
    placed = [CredentialFile(path=s.path, credential=f"{SEALED}{s.text}", mode=0o600) for s in secrets]
    path = root / "etc/ordain/boot/current"
    path.write_bytes(pack(Cache(number=1, hash="c0ffee", entries=[], files=files.write(placed))))
    path.chmod(0o600)


def opened(root: Path) -> dict[str, bytes]:
    folder = root / "run/ordain/secrets"
    return {path.name.rpartition("-")[0]: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def problems(root: Path) -> str:
    return " ".join(json.loads((root / "run/ordain/files-secrets.json").read_text())["problems"].values())


def test_secrets_are_placed_for_root_and_removed_with_their_generation(root: Path) -> None:
    first, second = seal("db", b"sesame", [KEY.public]), seal("munge", BINARY, [OTHER.public, KEY.public])
    choose(root, first, second)

    assert main(root) == 0
    assert opened(root) == {"db": b"sesame", "munge": BINARY}
    assert (root / "run/ordain/secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (root / "run/ordain/secrets").iterdir()} == {0o600}

    choose(root, second)
    assert main(root) == 0
    assert opened(root) == {"munge": BINARY}


def test_a_generation_without_secrets_needs_no_key(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").unlink()
    choose(root)

    assert main(root) == 0
    assert opened(root) == {}


def _remove(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").unlink()


def _expose(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").chmod(0o644)


def _damage(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").write_text("ordain-secret-key AAAA\n")


def _empty(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").write_bytes(b"")


def _binary(root: Path) -> None:
    (root / "etc/credstore/ordain.secret-key").write_bytes(BINARY)


def _replace(root: Path) -> None:
    write_decryption_key(root, OTHER)


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no key": (_remove, "SecretKeyMissing", "this machine has no key for secrets"),
    "a key that others can read": (_expose, "SecretKeyUnusable", "others than root can read it; run `chmod 600"),
    "a truncated key": (_damage, "SecretKeyUnusable", "not the base64 of 32 bytes"),
    "an empty key": (_empty, "SecretKeyUnusable", "it is not a line that begins with ordain-secret-key"),
    "a key that is not text": (_binary, "SecretKeyUnusable", "cannot read the key that opens secrets"),
    "another key": (_replace, "SecretNotForMachine", f"it is not sealed for the key {OTHER.id}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_key_is_named_and_what_was_open_stays_open(root: Path, fault: str) -> None:
    cause, code, reason = FAULTS[fault]
    secret = seal("db", b"sesame", [KEY.public])
    choose(root, secret)
    assert main(root) == 0
    cause(root)

    assert main(root) == 0, "nothing is taken from what runs"
    assert opened(root) == {"db": b"sesame"}

    new = seal("db", b"new", [KEY.public])
    choose(root, new)
    assert main(root) == 1
    assert f"[{code}]" in problems(root)
    assert reason in problems(root)


def test_the_agent_gets_a_code_for_each_secret_and_no_value(root: Path) -> None:
    good, strange = seal("db", b"sesame", [KEY.public]), seal("other", b"hunter2", [OTHER.public])
    forged = SealedSecret(name="admin", value=good.value, copies=good.copies)
    texts = [f"{SEALED}{secret.text}" for secret in (good, strange, forged)] + [f"{SEALED}nonsense"]
    choose(root)
    exchange.ask(root, texts)

    assert main(root) == 0

    faults = exchange.answered(root)
    assert [faults[secret_digest(text)].code for text in texts] == [
        "",
        "SecretNotForMachine",
        "SecretDamaged",
        "SecretDamaged",
    ]
    assert opened(root) == {}, "they were only tried"
    assert exchange.asked(root) == (), "once"
    everything = b"".join(path.read_bytes() for path in (root / "run").rglob("*") if path.is_file())
    assert b"sesame" not in everything


def test_the_key_before_opens_what_was_not_sealed_again(root: Path) -> None:
    write_decryption_key(root, OTHER, SECRET_EARLIER)
    choose(root, seal("db", b"sesame", [OTHER.public]), seal("munge", BINARY, [KEY.public]))

    assert main(root) == 0
    assert opened(root) == {"db": b"sesame", "munge": BINARY}


def test_a_key_from_the_hypervisor_and_a_sealed_key_are_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _remove(root)
    given = root / "run/credentials/ordain-secrets.service"
    given.mkdir(parents=True)
    (given / "ordain.secret-key").write_text(KEY.line)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    choose(root, seal("db", b"sesame", [KEY.public]))
    assert main(root) == 0
    assert opened(root) == {"db": b"sesame"}

    (root / "etc/credstore.encrypted").mkdir()
    (root / "etc/credstore.encrypted/ordain.secret-key").write_bytes(b"sealed")

    def decrypt(argv: Sequence[str], data: bytes) -> bytes:
        assert (list(argv), data) == (
            ["systemd-creds", "decrypt", "--name=ordain.secret-key", "-", "-"],
            b"sealed",
        )
        return OTHER.line.encode()

    assert Unsealer(root, decrypt).open(seal("db", b"x", [OTHER.public]).text) == b"x"


def test_without_the_library_each_secret_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = seal("db", b"sesame", [KEY.public])

    def missing() -> None:
        raise NaclMissing("PyNaCl is not installed; install the package python3-nacl")

    monkeypatch.setattr(decryption_key, "load_nacl", missing)

    assert Unsealer(root).fault(secret.text).code == "NaclMissing"

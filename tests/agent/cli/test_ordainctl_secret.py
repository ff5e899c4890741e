"""ordainctl secret: sealed for those who are enrolled, stale when they change, sealed again without the value."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ordain.agent.cli.main import main
from ordain.agent.delivery.identity.key_file import read_decryption_key
from ordain.agent.delivery.identity.sealing import open_secret, seal
from ordain.agent.delivery.identity.secret_text import secrets_of
from ordain.transforms.document.reader import read
from ordain.transforms.sealed_secret import MAX_VALUE, SealedSecret
from support.stores.enrolled_fleet import Fleet

VALUE = "correct horse\0ä"


class Secrets(Fleet):
    """A fleet with a recovery key, and commands about its secrets."""

    def secret(self, *words: str, root: Path | None = None, status: int = 0, store: bool = True) -> tuple[str, str]:
        """Run `ordainctl secret WORDS`, and return its output and its messages."""
        where = [f"--store={self.store}"] if store else []
        found = main(["secret", *words, *where], root=root or self.path)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out, err

    def join_role(self, name: str, digit: str, role: str = "web") -> Path:
        """Enroll a machine with a label."""
        root = self.machine(name, digit)
        self.join(root, "--label", f"role={role}")
        return root

    @property
    def recovery(self) -> str:
        """Return the path of the recovery key, which is made once."""
        path = self.path / "recovery.key"
        if not path.exists():
            self.secret("recovery", str(path))
        return str(path)

    def seal(self, *words: str, value: str | bytes = VALUE) -> str:
        """Seal ``value``, and return the path of the document."""
        (self.path / "value").write_bytes(value.encode() if isinstance(value, str) else value)
        out, _ = self.secret("seal", "--file", str(self.path / "value"), *words)
        path = self.path / f"secret{len(list(self.path.glob('secret*.yaml')))}.yaml"
        path.write_text(out)
        return str(path)

    def listed(self, *words: str, status: int = 0) -> list[dict[str, Any]]:
        out, _ = self.secret("list", "--json", *words, status=status)
        found: list[dict[str, Any]] = json.loads(out)
        return found


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Secrets:
    return Secrets(tmp_path, capsys)


def sealed_in(path: str) -> SealedSecret:
    documents, problems = read(path, Path(path).read_bytes())
    assert problems == ()
    return next(secrets_of(documents[0].sections)).secret


def opened(path: str, root: Path) -> str:
    key = read_decryption_key(root)
    assert key
    return open_secret(sealed_in(path), key).decode()


def test_a_secret_is_sealed_for_a_role_and_opened_by_its_machines_alone(fleet: Secrets) -> None:
    web1, web2 = fleet.join_role("web1", "a"), fleet.join_role("web2", "b")
    db1 = fleet.join_role("db1", "c", "db")

    path = fleet.seal("--for", "role=web", "db-password")

    assert opened(path, web1) == opened(path, web2) == VALUE
    with pytest.raises(ValueError, match="it is not sealed for the key"):
        opened(path, db1)
    assert main(["validate", path], root=fleet.path) == 0
    fleet._capsys.readouterr()
    (row,) = fleet.listed("--documents", path)
    assert (row["name"], row["open"], row["stale"]) == ("db-password", ["web1", "web2"], [])


def test_the_value_comes_from_standard_input_and_is_not_printed(
    fleet: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    web1 = fleet.join_role("web1", "a")
    stdin = SimpleNamespace(buffer=io.BytesIO(b"sesame\n"), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)

    out, err = fleet.secret("seal", "--for", "machine=web1", "--fragment", "token")

    assert "sesame" not in out + err
    assert "ends with a newline" in err
    assert "no recovery key can open it" in err
    assert yaml.safe_load(out).keys() == {"secrets"}
    (fleet.path / "s.yaml").write_text(f"ordain: v1\nkind: Layer\nname: x\n{out}")
    assert opened(str(fleet.path / "s.yaml"), web1) == "sesame\n"


def test_a_secret_in_the_store_is_stale_when_a_machine_joins_and_is_sealed_again(fleet: Secrets) -> None:
    recovery = fleet.recovery
    web1 = fleet.join_role("web1", "a")
    path = fleet.seal("--for", "role=web", "--for", "recovery", "db-password")
    assert main(["documents", "put", path, f"--store={fleet.store}"], root=fleet.path) == 0
    fleet._capsys.readouterr()
    before = sealed_in(path)
    assert fleet.listed()[0]["open"] == ["recovery", "web1"]
    web2 = fleet.join_role("web2", "b")

    (row,) = fleet.listed(status=3)
    assert len(row["stale"]) == 1
    assert "web2 cannot open it" in row["stale"][0]
    assert "1 key added, 0 removed" in fleet.secret("reseal", "--key", recovery)[0]

    assert fleet.listed()[0]["stale"] == []
    assert "every secret has the right keys" in fleet.secret("reseal", "--key", recovery)[1]
    assert main(["documents", "get", "secret-db-password", f"--store={fleet.store}"], root=fleet.path) == 0
    Path(path).write_text(fleet._capsys.readouterr().out)
    assert opened(path, web1) == opened(path, web2) == VALUE
    assert sealed_in(path).path == before.path, "no unit changes"


def document(fleet: Secrets, name: str) -> str:
    assert main(["documents", "get", name, f"--store={fleet.store}"], root=fleet.path) == 0
    return fleet._capsys.readouterr().out


def put(fleet: Secrets, value: str, *words: str, status: int = 0) -> str:
    (fleet.path / "value").write_text(value)
    return "".join(fleet.secret("seal", "--put", "--file", str(fleet.path / "value"), *words, status=status))


def test_a_secret_is_put_into_the_store_and_its_value_changed_there_with_a_reason(fleet: Secrets) -> None:
    web1 = fleet.join_role("web1", "a")
    policy = ["store", "policy", "required", "--why", "audit", f"--store={fleet.store}"]
    assert main(policy, root=fleet.path) == 0
    fleet._capsys.readouterr()
    assert "--why" in put(fleet, "first", "--for", "role=web", "db-password", status=1)

    out = put(fleet, "first", "--for", "role=web", "--why", "a new database", "db-password")

    assert "layer/secret-db-password: made, with db-password" in out
    path = fleet.path / "secret.yaml"
    path.write_text(document(fleet, "secret-db-password"))
    assert opened(str(path), web1) == "first"

    path.write_text(f"{path.read_text()}services: {{}}  # kept\n")
    assert main(["documents", "put", str(path), "--why", "x", f"--store={fleet.store}"], root=fleet.path) == 0
    fleet._capsys.readouterr()
    out = put(fleet, "second", "--why", "it leaked", "db-password")  # for those that it is for already

    assert "layer/secret-db-password: db-password replaced" in out
    path.write_text(document(fleet, "secret-db-password"))
    assert opened(str(path), web1) == "second"
    assert "# kept" in path.read_text()
    assert fleet.listed()[0]["recipients"] == ["role=web"]
    assert main(["query", "changes", "--json", f"--store={fleet.store}"], root=fleet.path) == 0
    changes = json.loads(fleet._capsys.readouterr().out)
    assert {"a new database", "it leaked"} <= {change["why"] for change in changes}
    assert "second" not in json.dumps(changes)


def test_recipients_of_a_secret_in_the_store_are_changed_together_with_its_value(fleet: Secrets) -> None:
    fleet.join_role("web1", "a")
    db1 = fleet.join_role("db1", "b", "db")
    put(fleet, "first", "--for", "role=web", "token")

    put(fleet, "second", "--for", "role=db", "token")

    path = fleet.path / "secret.yaml"
    path.write_text(document(fleet, "secret-token"))
    assert opened(str(path), db1) == "second"
    (row,) = fleet.listed()
    assert (row["recipients"], row["open"], row["stale"]) == (["role=db"], ["db1"], [])


def test_a_secret_that_somebody_else_changes_meanwhile_is_not_overwritten(
    fleet: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join_role("web1", "a")
    put(fleet, "first", "--for", "role=web", "token")
    key = "documents/common/layer/secret-token"
    theirs = (fleet.store / key).read_bytes() + b"# theirs\n"

    def seal_late(*arguments: Any) -> SealedSecret:
        (fleet.store / key).write_bytes(theirs)
        return seal(*arguments)

    monkeypatch.setattr("ordain.agent.cli.fleet.secrets.seal", seal_late)

    assert "nothing was written" in put(fleet, "second", "token", status=1)
    assert (fleet.store / key).read_bytes() == theirs


def test_a_secret_that_cannot_be_put_is_refused_with_the_reason(fleet: Secrets) -> None:
    fleet.join_role("web1", "a")
    assert "name at least one recipient" in put(fleet, "x", "token", status=2)
    assert "either --put or --fragment" in put(fleet, "x", "--fragment", "token", status=2)
    assert "with --put" in fleet.secret("seal", "--why", "x", "--for", "role=web", "token", status=2)[1]
    put(fleet, "x", "--for", "role=web", "token")
    copy = fleet.path / "copy.yaml"
    copy.write_text(document(fleet, "secret-token").replace("name: secret-token", "name: copy"))
    assert main(["documents", "put", str(copy), "--force", f"--store={fleet.store}"], root=fleet.path) == 0
    fleet._capsys.readouterr()
    assert "2 documents have a secret token" in put(fleet, "y", "token", status=1)


def test_a_revoked_machine_is_left_out_when_files_are_sealed_again(fleet: Secrets) -> None:
    recovery = fleet.recovery
    web1, web2 = fleet.join_role("web1", "a"), fleet.join_role("web2", "b")
    path = fleet.seal("--for", "role=web", "--for", "recovery", "db-password")
    Path(path).write_text(f"# mine\n{Path(path).read_text()}services: {{}}  # kept\n")
    fleet.run("revoke", "web2", "--why", "stolen")

    (row,) = fleet.listed("--documents", path, status=3)
    assert row["stale"] == ["web2 was revoked, and can open it: stolen"]
    fleet.secret("reseal", "--key", recovery, "--documents", path)

    assert opened(path, web1) == VALUE
    with pytest.raises(ValueError, match="it is not sealed for the key"):
        opened(path, web2)
    text = Path(path).read_text()
    assert text.startswith("# mine\n")
    assert text.endswith("services: {}  # kept\n")


def test_the_recovery_key_opens_a_secret_and_the_store_keeps_only_its_public_half(fleet: Secrets) -> None:
    path = fleet.seal("--for", "recovery", "munge") if fleet.recovery else ""

    assert fleet.secret("open", "--key", fleet.recovery, "munge", "--documents", path)[0] == VALUE

    recovery = Path(fleet.recovery)
    assert recovery.stat().st_mode & 0o777 == 0o600
    private = recovery.read_bytes().split()[1]
    assert not any(private in file.read_bytes() for file in fleet.store.rglob("*") if file.is_file())
    assert "never overwritten" in fleet.secret("recovery", str(recovery), status=1)[1]
    assert (
        "there is no secret mung"
        in fleet.secret("open", "--key", str(recovery), "mung", "--documents", path, status=1)[1]
    )


def test_a_recovery_key_is_withdrawn_and_left_out(fleet: Secrets) -> None:
    old, new = fleet.recovery, str(fleet.path / "new.key")
    path = fleet.seal("--for", "recovery", "db")
    (id,) = sealed_in(path).copies
    fleet.secret("recovery", new)

    fleet.secret("recovery", "--revoke", id, "--why", "lost")

    (row,) = fleet.listed("--documents", path, status=3)
    assert f"recovery key {id} was revoked" in row["stale"]
    fleet.secret("reseal", "--key", old, "--documents", path)
    assert id not in sealed_in(path).copies
    assert fleet.listed("--documents", path)[0]["open"] == ["recovery"]
    assert "those of this store" in fleet.secret("recovery", "--revoke", "0" * 16, status=1)[1]
    assert "either FILE or --revoke" in fleet.secret("recovery", status=2)[1]


def test_machines_without_a_store_are_named_by_their_key(fleet: Secrets, tmp_path: Path) -> None:
    root = fleet.machine("box", "a")
    key, _ = fleet.secret("key", root=root, store=False)
    assert fleet.secret("key", root=root, store=False)[0] == key

    (tmp_path / "value").write_text(VALUE)
    out, _ = fleet.secret("seal", "--for", key.strip(), "--file", f"{tmp_path}/value", "db", root=root, store=False)
    (tmp_path / "s.yaml").write_text(out)

    assert opened(str(tmp_path / "s.yaml"), root) == VALUE
    assert "box" not in out
    assert fleet.secret("key", "--new", root=root, store=False)[0] != key


REFUSED = {
    "nobody": (["db"], "", 2, "name at least one recipient"),
    "not a recipient": (["--for", "web", "db"], "x", 2, "write machine=NAME, LABEL=VALUE"),
    "not a key": (["--for", "key=AAAA", "db"], "x", 2, "the base64 of 32 bytes"),
    "not a name": (["--for", "role=web", "a/b"], "x", 2, "is not the name of a secret"),
    "a role of nobody": (["--for", "role=cache", "db"], "x", 1, "no enrolled machine is role=cache"),
    "no recovery key": (["--for", "recovery", "db"], "x", 1, "there is no recovery key"),
    "an empty secret": (["--for", "role=web", "db"], "", 1, "cannot seal db: the secret is empty"),
    "a large secret": (["--for", "role=web", "db"], "x" * (MAX_VALUE + 1), 1, "at most 65,536 are possible"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_secret_that_cannot_be_sealed_says_why(fleet: Secrets, case: str) -> None:
    words, value, status, reason = REFUSED[case]
    fleet.join_role("web1", "a")
    (fleet.path / "value").write_text(value)

    out, err = fleet.secret("seal", "--file", f"{fleet.path}/value", *words, status=status)

    assert reason in err
    assert out == ""


def test_a_machine_without_a_key_for_secrets_is_named(fleet: Secrets) -> None:
    fleet.join_role("web1", "a")
    web2 = fleet.machine("web2", "b")
    fleet.run("prepare", "b" * 32, "--name", "web2", "--label", "role=web")

    (fleet.path / "value").write_text("x")
    out, err = fleet.secret("seal", "--for", "role=web", "--file", f"{fleet.path}/value", "db")

    assert "web2 has no key for secrets: run `ordainctl fleet enroll` on it" in err
    assert out.count("\n    - ") == 1
    assert read_decryption_key(web2) is None


def test_a_machine_in_ram_gets_both_keys_from_the_administrator(fleet: Secrets) -> None:
    node7 = fleet.machine("node7", "d")
    file = fleet.path / "ordain.secret-key"
    fleet.run("prepare", "d" * 32, "--name", "node7", "--secret-key", str(file))
    received = node7 / "run/credentials/@system"
    received.mkdir(parents=True)
    (received / "ordain.secret-key").write_bytes(file.read_bytes())
    (received / "ordain.secret-key").chmod(0o400)

    assert opened(fleet.seal("--for", "machine=node7", "munge-key"), node7) == VALUE
    assert file.stat().st_mode & 0o777 == 0o600

"""Credentials of units: a missing one blocks its unit, a new one restarts it, and no value is ever written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import CompileCache
from ordain.agent.compile.compiler import compile_texts
from ordain.agent.compile.credentials import PATH, CredentialRecord, needed_credentials
from ordain.agent.compile.executor import run_inline
from ordain.agent.model import Generation, UnitState, to_json
from ordain.transforms.errors import Problem, Severity

SECRET = "correct horse battery staple"


def machine(root: Path) -> Path:
    """A machine with an os-release and nothing else."""
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/libsystemd-shared-257.so").touch()
    (root / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    (root / "etc/credstore").mkdir(parents=True)
    return root


def layer(body: str) -> list[tuple[str, bytes]]:
    return [("x.yaml", f"ordain: v1\nkind: Layer\nname: x\n{body}".encode())]


def made(
    texts: list[tuple[str, bytes]], root: Path, last: Generation | None = None
) -> tuple[Generation, tuple[Problem, ...]]:
    return CompileCache(root, run_inline).compile(texts, last or Generation())


TEXTS = layer("""
services:
  web:
    command: /bin/web
    credentials: {db: {file: /etc/credstore/db}, tls: {encrypted: /etc/credstore/tls},
      inline: {ciphertext: c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0}}
  other: {command: /bin/other}
  user: {command: /bin/user, requires: [web]}
  "many":
    command: /bin/many
    credentials: {db: {file: /etc/credstore/db}}
    instances: {1: {}, 2: {}}
""")


def test_a_missing_credential_blocks_only_its_own_unit(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "etc/credstore/db").write_text(SECRET)

    new, problems = made(TEXTS, root)

    (blocked,) = [p for p in problems if p.severity is Severity.BLOCKED]
    assert (blocked.code, blocked.item) == ("CredentialMissing", "services/web")
    assert blocked.what == "credential file not found: /etc/credstore/tls"
    assert blocked.subject == "/etc/credstore/tls"
    assert (blocked.where.path, blocked.where.pointer) == ("x.yaml", "services/web/credentials/tls")
    assert blocked.where.line == 8
    assert {m.unit for m in new.members} >= {"other.service", "many@1.service", "many@2.service"}
    assert not any(m.unit == "web.service" for m in new.members)
    assert [p.item for p in problems if p.code == "RequiresBlocked"] == ["services/user"]


def test_a_unit_keeps_its_last_good_form_while_its_credential_is_missing(tmp_path: Path) -> None:
    root = machine(tmp_path)
    for name in ("db", "tls"):
        (root / "etc/credstore" / name).write_text(SECRET)
    last, problems = made(TEXTS, root)
    assert [p for p in problems if p.severity is Severity.BLOCKED] == []
    (root / "etc/credstore/tls").unlink()

    new, _ = made(TEXTS, root, last)
    edited, _ = made([(path, text.replace(b"/bin/web", b"/bin/web --new")) for path, text in TEXTS], root, last)

    assert new.hash == edited.hash == last.hash
    assert edited.document == last.document


def test_documents_are_compiled_again_once_the_credential_exists(tmp_path: Path) -> None:
    root = machine(tmp_path)
    compiler = CompileCache(root, run_inline)
    first, _ = compiler.compile(TEXTS, Generation())
    assert not any(m.unit == "web.service" for m in first.members)
    for name in ("db", "tls"):
        (root / "etc/credstore" / name).write_text(SECRET)

    second, problems = compiler.compile(TEXTS, first)

    assert any(m.unit == "web.service" for m in second.members)
    assert "CredentialMissing" not in {p.code for p in problems}


def test_an_image_does_not_need_the_credentials_of_its_machines(tmp_path: Path) -> None:
    new, _ = compile_texts(TEXTS, machine(tmp_path), Generation(), in_image=True)

    assert any(m.unit == "web.service" for m in new.members)


def test_a_first_boot_leaves_out_a_service_whose_credential_is_missing(tmp_path: Path) -> None:
    """PID 1 would start it, and it would fail; the agent starts it when the credential is there."""
    new, _ = compile_texts(TEXTS, machine(tmp_path), Generation())

    assert not any(m.unit == "web.service" for m in new.members)


def test_a_credential_that_the_documents_place_or_mount_is_not_missing(tmp_path: Path) -> None:
    texts = layer("""
mounts: {/srv/secrets: {what: tmpfs, type: tmpfs}}
files: {/etc/own: {content: x}}
services:
  web:
    command: /bin/web
    credentials: {a: {file: /srv/secrets/a}, b: {file: /etc/own}}
""")

    _, problems = made(texts, machine(tmp_path))

    assert "CredentialMissing" not in {p.code for p in problems}


def test_neither_the_generation_nor_the_record_contains_the_value(tmp_path: Path) -> None:
    root = machine(tmp_path)
    for name in ("db", "tls"):
        (root / "etc/credstore" / name).write_text(SECRET)
    generation, problems = made(TEXTS, root)
    needs = needed_credentials(generation)

    CredentialRecord(root).changed(needs, {unit: running(unit, "a") for unit in needs})

    assert SECRET not in json.dumps(to_json(generation)) + str(problems)
    assert SECRET not in (root / PATH).read_text()
    assert (root / PATH).stat().st_mode & 0o777 == 0o600
    assert needs == {
        "web.service": {"db": "/etc/credstore/db", "tls": "/etc/credstore/tls"},
        "many@1.service": {"db": "/etc/credstore/db"},
        "many@2.service": {"db": "/etc/credstore/db"},
    }


def running(unit: str, run: str, active_state: str = "active") -> UnitState:
    return UnitState(name=unit, active_state=active_state, invocation_id=run)


def test_a_changed_credential_is_reported_until_the_unit_restarts(tmp_path: Path) -> None:
    root = machine(tmp_path)
    file = root / "etc/credstore/db"
    file.write_text("one")
    needs = {"web.service": {"db": "/etc/credstore/db"}, "idle.service": {"db": "/etc/credstore/db"}}

    def changed(run: str = "a") -> list[str]:
        return list(CredentialRecord(root).changed(needs, {"web.service": running("web.service", run)}))

    assert changed() == []
    file.write_text("one")
    assert changed() == [], "written again with the same value"
    file.write_text("two")
    assert changed() == ["web.service"]
    assert changed() == ["web.service"], "not started again yet"
    assert changed("b") == []
    file.unlink()
    assert changed("b") == [], "missing for a moment"
    file.write_text("two")
    assert changed("b") == []
    file.write_text("three")
    (change,) = CredentialRecord(root).changed(needs, {"web.service": running("web.service", "b")})["web.service"]
    assert (change.section, change.key) == ("", "/etc/credstore/db")
    (root / PATH).write_text("nonsense")
    assert changed("b") == [], "an unreadable record starts anew"


@pytest.mark.parametrize("state", ["active", "activating", "refreshing", "reloading"])
def test_a_credential_that_changes_while_a_service_is_busy_still_waits_for_its_restart(
    tmp_path: Path, state: str
) -> None:
    root = machine(tmp_path)
    file = root / "etc/credstore/db"
    needs = {"web.service": {"db": "/etc/credstore/db"}}
    file.write_text("one")
    CredentialRecord(root).changed(needs, {"web.service": running("web.service", "a")})

    file.write_text("two")
    meanwhile = CredentialRecord(root).changed(needs, {"web.service": running("web.service", "a", state)})
    afterwards = CredentialRecord(root).changed(needs, {"web.service": running("web.service", "a")})

    assert list(meanwhile) == list(afterwards) == ["web.service"]

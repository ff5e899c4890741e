"""A secret that the machine cannot open blocks what uses it, which keeps its last form, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import CompileCache
from ordain.agent.compile.executor import run_inline
from ordain.agent.compile.unopened_secrets import UnopenedSecret, sealed_secrets
from ordain.agent.delivery.identity.decryption_key import generate_decryption_key
from ordain.agent.delivery.identity.sealing import seal
from ordain.agent.delivery.identity.secret_text import as_section
from ordain.agent.generation import keep_running
from ordain.agent.model import Generation, Observed
from ordain.agent.plan.describe import describe
from ordain.agent.plan.planner import plan
from ordain.transforms.artifacts import CredentialFile
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.sealed_secret import SealedSecret, secret_digest

KEY, OTHER = generate_decryption_key(), generate_decryption_key()
SERVICES = """
services:
  web: {command: /bin/web, credentials: {db: {secret: db}}}
  other: {command: /bin/other}
files:
  /etc/app/db: {credential: {secret: db}}
  /etc/app/plain: {content: x}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/libsystemd-shared-257.so").touch()
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    return tmp_path


def made(
    root: Path, body: str, *, last: Generation | None = None, unopened: tuple[UnopenedSecret, ...] = ()
) -> tuple[Generation, tuple[Problem, ...]]:
    texts = [("x.yaml", f"ordain: v1\nkind: Layer\nname: x\n{body}".encode())]
    return CompileCache(root, run_inline).compile(texts, last or Generation(), unopened)


def document(secret: SealedSecret) -> str:
    return as_section(secret, ["role=web"]) + SERVICES


def unopened(generation: Generation) -> tuple[UnopenedSecret, ...]:
    return tuple(
        UnopenedSecret(digest=secret_digest(s.credential), code="SecretNotForMachine", what="not for it", hint="reseal")
        for s in sealed_secrets(generation)
    )


def blocked(problems: tuple[Problem, ...]) -> dict[str, str]:
    return {p.item: f"{p.where}: {p.what}" for p in problems if p.severity is Severity.BLOCKED}


def units(generation: Generation) -> set[str]:
    return {member.unit for member in generation.members}


def test_a_secret_that_opens_is_in_the_generation_sealed(root: Path) -> None:
    secret = seal("db", b"sesame", [KEY.public])

    new, problems = made(root, document(secret))

    assert blocked(problems) == {}
    (sealed,) = sealed_secrets(new)
    assert (sealed.path, sealed.mode, sealed.phase) == (secret.path, 0o600, "secrets")
    placed = {a.path: a for a in new.artifacts if isinstance(a, CredentialFile)}
    assert placed["/etc/app/db"].credential == f"file:{secret.path}"
    assert b"sesame" not in repr(new).encode()


def test_a_secret_that_does_not_open_blocks_its_users_alone(root: Path) -> None:
    body = document(seal("db", b"sesame", [KEY.public]))
    first, _ = made(root, body)

    new, problems = made(root, body, unopened=unopened(first))

    assert blocked(problems).keys() == {"secrets/db", "services/web", "files/~1etc~1app~1db"}
    assert blocked(problems)["secrets/db"] == "x.yaml:6:5: the secret db cannot be opened: not for it"
    assert units(new) == {"other.service"}
    assert [a.path for a in new.artifacts if a.path.startswith("/")] == ["/etc/app/plain"]


def test_a_user_of_a_secret_that_does_not_open_keeps_its_last_form_with_the_secret_of_then(root: Path) -> None:
    before, after = seal("db", b"sesame", [KEY.public]), seal("db", b"changed", [KEY.public])
    last, _ = made(root, document(before))
    tried, _ = made(root, document(after), last=last)

    new, problems = made(root, document(after), last=last, unopened=unopened(tried))

    assert "services/web" in blocked(problems)
    assert units(new) == {"web.service", "other.service"}
    assert [secret.path for secret in sealed_secrets(new)] == [before.path]
    assert [a for a in new.artifacts if "web.service" in a.path] == [
        a for a in last.artifacts if "web.service" in a.path
    ]


def test_a_plan_shows_that_a_secret_has_changed_and_nothing_of_it(root: Path) -> None:
    before, after = seal("db", b"sesame", [KEY.public]), seal("db", b"changed", [KEY.public])
    more = SealedSecret(
        name="db", value=before.value, copies={**before.copies, **seal("x", b"x", [OTHER.public]).copies}
    )
    last, _ = made(root, document(before))

    changed = describe(plan(last, made(root, document(after))[0], Observed()))
    resealed = describe(plan(last, made(root, document(more))[0], Observed()))

    assert "change  /etc/app/db\n          content changed (not shown" in changed
    assert "start   web.service" in changed
    assert f"change  {before.path}\n          content changed (not shown" in resealed
    assert "start " not in resealed
    for secret in (before, after, more):
        assert secret.value not in changed + resealed
        assert not any(copy in changed + resealed for copy in secret.copies.values())


def test_a_removed_unit_that_keeps_running_keeps_its_secret(root: Path) -> None:
    secret = seal("db", b"sesame", [KEY.public])
    last, _ = made(root, document(secret))
    new, _ = made(root, "services: {other: {command: /bin/other}}\n", last=last)
    assert sealed_secrets(new) == ()

    kept = keep_running(new, last, {"web.service"}, {"web.service"})

    assert [secret.path for secret in sealed_secrets(kept)] == [secret.path]


@pytest.mark.parametrize(
    ("body", "item", "reason"),
    [
        (SERVICES, "services/web", "there is no secret db"),
        ("secrets: {db: {for: role=web}}" + SERVICES, "secrets/db", "the secret has no `value`"),
        ("secrets: {db: {for: role=web}}" + SERVICES, "services/web", "the secret db cannot be used, see `secrets`"),
    ],
)
def test_a_secret_that_is_missing_or_incomplete_blocks_its_users(root: Path, body: str, item: str, reason: str) -> None:
    new, problems = made(root, body)

    assert reason in blocked(problems)[item]
    assert units(new) == {"other.service"}

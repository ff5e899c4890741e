"""Secrets of a new generation are tried once, and again when the key or the secret changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.apply import secret_checks
from ordain.agent.apply.jobs.jobs import JobResult
from ordain.agent.apply.secret_checks import SecretChecks
from ordain.agent.delivery.identity.decryption_key import generate_decryption_key
from ordain.agent.delivery.identity.key_file import write_decryption_key
from ordain.agent.delivery.identity.sealing import seal
from ordain.agent.model import Generation, Job
from ordain.agent.secrets.main import main
from ordain.transforms.artifacts import SEALED, CredentialFile
from ordain.transforms.sealed_secret import SealedSecret

KEY, OTHER = generate_decryption_key(), generate_decryption_key()


class Opener:
    """PID 1, which runs the program that opens secrets, unless it ``fails``."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs, self.fails = root, 0, False

    async def run_jobs(self, _systemd: object, jobs: list[Job], _observed: object) -> list[JobResult]:
        self.runs += 1
        if not self.fails:
            main(self.root)
        return [JobResult(job=job, result="failed" if self.fails else "done") for job in jobs]


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    opener = Opener(tmp_path)
    monkeypatch.setattr(secret_checks, "run_jobs", opener.run_jobs)
    write_decryption_key(tmp_path, KEY)
    return opener


def tried(trials: SecretChecks, *secrets: SealedSecret) -> list[str]:
    """Try secrets, and return the codes of all that cannot be opened."""
    artifacts = tuple(CredentialFile(path=s.path, credential=f"{SEALED}{s.text}") for s in secrets)
    failed = asyncio.run(trials.try_new(Generation(artifacts=artifacts)))
    codes = [secret.code for secret in trials.unopened]
    assert failed == bool(codes)
    return codes


def test_a_secret_that_is_open_already_is_not_tried(opener: Opener) -> None:
    trials, secret = SecretChecks(cast(Any, None), opener.root), seal("db", b"x", [KEY.public])

    assert tried(trials, secret) == []
    path = opener.root / secret.path.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert tried(trials, secret) == []

    assert opener.runs == 1


def test_a_secret_that_does_not_open_has_its_code(opener: Opener) -> None:
    trials = SecretChecks(cast(Any, None), opener.root)

    assert tried(trials, seal("db", b"x", [KEY.public]), seal("other", b"x", [OTHER.public])) == ["SecretNotForMachine"]
    trials.forget()
    assert trials.unopened == ()


def test_a_program_that_does_not_run_opens_nothing(opener: Opener) -> None:
    trials, secret = SecretChecks(cast(Any, None), opener.root), seal("db", b"x", [KEY.public])
    opener.fails = True
    assert tried(trials, secret) == ["SecretNotTried"]

    opener.fails = False
    trials.refresh()
    assert tried(trials, secret) == [], "it is tried again the next time"


def test_another_key_is_noticed(opener: Opener) -> None:
    trials = SecretChecks(cast(Any, None), opener.root)
    tried(trials, seal("db", b"x", [OTHER.public]))
    assert not trials.key_has_changed()

    write_decryption_key(opener.root, OTHER)
    assert trials.key_has_changed()

    (opener.root / "etc/credstore/ordain.secret-key").unlink()
    trials = SecretChecks(cast(Any, None), opener.root)
    assert not trials.key_has_changed()
    write_decryption_key(opener.root, OTHER)
    assert trials.key_has_changed(), "the machine gets its first key"

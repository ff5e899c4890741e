"""Sealed secrets are tried before the generation that uses them is applied: one that does not open stops no service.

    Generation ──new secrets──▶ ordain-secrets.service ──▶ `UnopenedSecret`s ──▶ compile again, without their items

The agent does not have the key. A secret that could not be opened is not tried again until the key of the machine or
the secret changes, or an administrator applies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from ordain.agent.apply.jobs.jobs import run_jobs
from ordain.agent.compile.unopened_secrets import UnopenedSecret, sealed_secrets
from ordain.agent.model import Generation, Job, Observed, Verb
from ordain.agent.secrets import exchange
from ordain.agent.secrets.exchange import UNIT, SecretFault
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.artifacts import CredentialFile
from ordain.transforms.sealed_secret import secret_digest

NOT_TRIED = "SecretNotTried"


class SecretChecks:
    """The secrets that the machine below ``root`` could not open, as far as they were tried."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd, self._root = systemd, root
        self._unopened: dict[str, UnopenedSecret] = {}
        self._one_at_a_time = asyncio.Lock()
        self._key = exchange.key_signature(self._root)

    @property
    def unopened(self) -> tuple[UnopenedSecret, ...]:
        """Return the secrets that cannot be opened."""
        return tuple(self._unopened[digest] for digest in sorted(self._unopened))

    def key_has_changed(self) -> bool:
        """Return whether the key is another one than at the last trial, so that a trial may have another result."""
        return exchange.key_signature(self._root) != self._key

    def refresh(self) -> None:
        """Forget what could have another result now: after a change of the key, or if the program did not run."""
        if self.key_has_changed():
            self.forget()
        self._unopened = {digest: one for digest, one in self._unopened.items() if one.code != NOT_TRIED}

    def forget(self) -> None:
        """Try all secrets again."""
        self._unopened = {}

    async def try_new(self, generation: Generation) -> bool:
        """Try the secrets of ``generation`` that are not open yet; return whether one of them cannot be opened."""
        new = {
            secret_digest(secret.credential): secret
            for secret in sealed_secrets(generation)
            if not (self._root / secret.path.lstrip("/")).exists()
        }
        if not new:
            return False
        async with self._one_at_a_time:  # a plan may be asked for during an apply
            await self._try(new)
        return bool(new.keys() & self._unopened.keys())

    async def _try(self, new: Mapping[str, CredentialFile]) -> None:
        self._key = exchange.key_signature(self._root)
        try:
            exchange.ask(self._root, (secret.credential for secret in new.values()))
        except OSError as error:
            faults, why = {}, f"{error.filename}: {error.strerror}"
        else:
            job = Job(unit=UNIT, verb=Verb.RESTART, reason="secrets changed")
            (result,) = await run_jobs(self._systemd, [job], Observed())
            faults, why = dict(exchange.answered(self._root)), result.refused or result.result or "was lost"
        not_run = SecretFault(code=NOT_TRIED, what=f"{UNIT}: {why}", hint=f"see `journalctl -u {UNIT}`")
        for digest in new:
            fault = faults.get(digest, not_run)
            if fault.code:
                self._unopened[digest] = UnopenedSecret(
                    digest=digest, code=fault.code, what=fault.what, hint=fault.hint
                )

"""The one place where a secret is opened on a machine: with the key of the machine, which is read once for each run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.delivery.identity.decryption_key import DecryptionKey, NaclMissing
from ordain.agent.delivery.identity.key_file import (
    SECRET_EARLIER,
    Program,
    read_decryption_key,
    read_given_decryption_key,
    run_program,
)
from ordain.agent.delivery.identity.sealing import NotSealedFor, open_secret
from ordain.agent.errors import Failure, OrdainError
from ordain.agent.secrets.exchange import SecretFault
from ordain.transforms.sealed_secret import parse

NEW_KEY = "run `ordainctl fleet enroll` or `ordainctl secret key`, then seal the secret for this machine"
INSTALL = "run `apt install python3-nacl`"
SEAL_AGAIN = "run `ordainctl secret reseal`, or seal it again with `ordainctl secret seal`"


class CannotOpen(OrdainError, ValueError):
    """A secret cannot be opened, for the reason ``fault``."""

    def __init__(self, fault: SecretFault) -> None:
        super().__init__(f"{fault.what} [{fault.code}]; {fault.hint}")
        self.fault = fault


@dataclass(slots=True)
class Unsealer:
    """Opens secrets with the key of the machine below ``root``, or the one in ``given``.

    ``given`` is the folder of the credentials of this service, "" if it has none.
    """

    root: Path
    program: Program = run_program
    given: str = ""
    _keys: tuple[DecryptionKey, ...] = field(default=(), repr=False)
    _fault: SecretFault | None = None

    def open(self, text: str) -> bytes:
        """Return the value of a secret in the form of `SealedSecret.text`. Raises `CannotOpen`."""
        keys = self._read_keys()
        try:
            secret = parse(text)
            fitting = [key for key in keys if key.id in secret.copies]
            return open_secret(secret, fitting[0] if fitting else keys[0])
        except NotSealedFor as error:
            raise CannotOpen(SecretFault(code="SecretNotForMachine", what=str(error), hint=SEAL_AGAIN)) from None
        except NaclMissing as error:
            raise CannotOpen(SecretFault(code="NaclMissing", what=str(error), hint=INSTALL)) from None
        except ValueError as error:
            raise CannotOpen(SecretFault(code="SecretDamaged", what=str(error), hint=SEAL_AGAIN)) from None

    def fault(self, text: str) -> SecretFault:
        """Return why a secret cannot be opened, or a fault without a code. The value is forgotten."""
        try:
            self.open(text)
        except CannotOpen as error:
            return error.fault
        return SecretFault()

    def _read_keys(self) -> tuple[DecryptionKey, ...]:
        """Return the key of the machine, and the one before if there is one. Raises `CannotOpen`."""
        if not self._keys and self._fault is None:
            try:
                current = read_decryption_key(self.root, program=self.program) or read_given_decryption_key(self.given)
                earlier = read_decryption_key(self.root, SECRET_EARLIER, program=self.program)
                self._keys = tuple(key for key in (current, earlier) if key)
            except Failure as error:
                hint = "correct it; `ordainctl secret key --new` makes another key"
                self._fault = SecretFault(code="SecretKeyUnusable", what=str(error), hint=hint)
        if not self._keys:
            missing = SecretFault(code="SecretKeyMissing", what="this machine has no key for secrets", hint=NEW_KEY)
            raise CannotOpen(self._fault or missing)
        return self._keys

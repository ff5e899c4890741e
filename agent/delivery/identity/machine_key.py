"""The private key of a machine, and join tokens: each one line, which fits into a credential of systemd.

    ordain-machine-key FLEET BASE64 [user=NAME password=TEXT]
    ordain-token FLEET BASE64

BASE64 encodes the 32 bytes of the private half of an Ed25519 key (RFC 8032), and FLEET is the id of the fleet that the
key is for. ``user`` and ``password`` are the machine's own login of the store, if it has one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace

from ordain.agent.delivery.identity.machine_record import FLEET_ID, KEY_BYTES
from ordain.agent.delivery.identity.statement import SIGNATURES, Place, key_id, signed_bytes
from ordain.agent.delivery.release import signing

CREDENTIAL = "ordain.machine-key"
"""The name of the credential with the key of the machine."""
_PASSWORD_OF_TOKEN = b"ordain store password 1"
_MACHINE_KEY, _TOKEN = "ordain-machine-key", "ordain-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """The private half of a key for one fleet. It is not shown: `seed` and ``password`` are left out of its repr."""

    fleet: str
    seed: bytes = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the public half."""
        return signing.public_bytes(signing.key_from_seed(self.seed))

    @property
    def id(self) -> str:
        """Return the id of the key."""
        return key_id(self.public)

    def sign(self, key: str, data: dict[str, object]) -> dict[str, object]:
        """Return ``data`` as a statement at ``key`` of the store, with this signature beside those that it has."""
        private = signing.key_from_seed(self.seed)
        signature = signing.sign(private, signed_bytes(Place(fleet=self.fleet, key=key), data))
        earlier = data.get(SIGNATURES)
        signatures = {
            **(earlier if isinstance(earlier, dict) else {}),
            key_id(signing.public_bytes(private)): signature,
        }
        return {**data, SIGNATURES: signatures}


def generate(fleet: str) -> PrivateKey:
    """Return a new key."""
    return PrivateKey(fleet=fleet, seed=signing.generate_seed())


def with_login_of(key: PrivateKey, token: PrivateKey) -> PrivateKey:
    """Return ``key`` with the login that belongs to a join token.

    Its password is derived from the token, so it reaches the machine with the token, and is nowhere in the store.
    """
    derived = hmac.new(token.seed, _PASSWORD_OF_TOKEN, hashlib.sha256).digest()
    password = base64.urlsafe_b64encode(derived).decode().rstrip("=")
    return replace(key, user=user_of_token(token.id), password=password)


def user_of_token(token_id: str) -> str:
    """Return the user of the store that a machine gets by a token."""
    return f"ordain-{token_id}"


def machine_key_line(key: PrivateKey) -> str:
    """Return the content of the credential."""
    login = [f"user={key.user}", f"password={key.password}"] if key.user else []
    return " ".join([_MACHINE_KEY, key.fleet, base64.b64encode(key.seed).decode(), *login])


def token_line(key: PrivateKey) -> str:
    """Return a join token as text."""
    return f"{_TOKEN} {key.fleet} {base64.b64encode(key.seed).decode()}"


def parse_machine_key(text: str) -> PrivateKey:
    """Read the content of the credential. Raises ValueError; the message does not hold any of it."""
    return _parse(text, _MACHINE_KEY, ("user", "password"))


def parse_token(text: str) -> PrivateKey:
    """Read a join token. Raises ValueError; the message does not hold any of it."""
    return _parse(text, _TOKEN, ())


def _parse(text: str, form: str, options: tuple[str, ...]) -> PrivateKey:
    words = text.split()
    if len(words) < 3 or words[0] != form:
        raise ValueError(f"it is not a line that begins with {form}")
    fleet, encoded, *more = words[1:]
    if not FLEET_ID.fullmatch(fleet):
        raise ValueError("its second word is not the id of a fleet")
    try:
        seed = base64.b64decode(encoded, validate=True)
    except ValueError:
        seed = b""
    if len(seed) != KEY_BYTES:
        raise ValueError("its third word is not the base64 of 32 bytes")
    values = dict(word.partition("=")[::2] for word in more)
    if not values.keys() <= set(options) or len(values) != len(more):
        raise ValueError("it has more words than a key needs")
    return PrivateKey(fleet=fleet, seed=seed, **values)

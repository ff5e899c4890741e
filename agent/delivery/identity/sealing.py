"""Secrets are sealed for keys, opened with one, and sealed again for others. All cryptography is PyNaCl's.

    value ──seal──▶ `SealedSecret` ──open_secret──▶ value
                         └──reseal──▶ the same value, with copies for other keys

The value lies in a `nacl.secret.SecretBox` with a random data key, together with the name of the secret, so that
nobody gives one secret out as another. The data key lies, once for each recipient, in a `nacl.public.SealedBox`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TypeVar

from ordain.agent.delivery.identity.decryption_key import DecryptionKey, load_nacl
from ordain.agent.delivery.identity.statement import key_id
from ordain.agent.errors import OrdainError
from ordain.transforms.sealed_secret import MAX_RECIPIENTS, MAX_VALUE, SealedSecret, check_copy, check_value

T = TypeVar("T")


class NotSealedFor(OrdainError, ValueError):
    """The secret has no copy for a key."""


def seal(name: str, value: bytes, keys: Iterable[bytes]) -> SealedSecret:
    """Return ``value`` as a secret for the public ``keys``. Raises ValueError, `NaclMissing`."""
    if not value:
        raise ValueError("the secret is empty")
    if len(value) > MAX_VALUE:
        raise ValueError(f"the secret has {len(value):,} bytes, and at most {MAX_VALUE:,} are possible")
    nacl = load_nacl()
    data_key = nacl.utils.random(nacl.secret.SecretBox.KEY_SIZE)
    sealed = bytes(nacl.secret.SecretBox(data_key).encrypt(_header(name) + value))
    copies = _copies(data_key, keys)
    if not copies:
        raise ValueError("there is no key to seal it for")
    return SealedSecret(name=name, value=base64.b64encode(sealed).decode(), copies=copies)


def open_secret(secret: SealedSecret, key: DecryptionKey) -> bytes:
    """Return the value of ``secret``. Raises `NotSealedFor`, ValueError if it is damaged or forged, `NaclMissing`."""
    return _opened(secret, _open_data_key(secret, key))


def reseal(secret: SealedSecret, key: DecryptionKey, keys: Iterable[bytes]) -> SealedSecret:
    """Return ``secret`` with copies for exactly ``keys`` and the same value. Raises as `open_secret` does."""
    data_key = _open_data_key(secret, key)
    _opened(secret, data_key)
    public = {key_id(one): one for one in keys}
    kept = {id: copy for id, copy in secret.copies.items() if id in public}
    added = _copies(data_key, [one for id, one in public.items() if id not in kept])
    return SealedSecret(name=secret.name, value=secret.value, copies=_bounded({**kept, **added}))


def _opened(secret: SealedSecret, data_key: bytes) -> bytes:
    nacl = load_nacl()
    check_value(secret.value)
    try:
        plain: bytes = nacl.secret.SecretBox(data_key).decrypt(base64.b64decode(secret.value))
    except (nacl.exceptions.CryptoError, ValueError):
        raise ValueError("its value does not belong to its keys: one of them was changed") from None
    header = _header(secret.name)
    if not plain.startswith(header):
        raise ValueError("it was sealed under another name")
    return plain.removeprefix(header)


def _open_data_key(secret: SealedSecret, key: DecryptionKey) -> bytes:
    nacl = load_nacl()
    copy = secret.copies.get(key.id)
    if copy is None:
        raise NotSealedFor(f"it is not sealed for the key {key.id}")
    check_copy(f"{key.id}:{copy}")
    try:
        data_key: bytes = nacl.public.SealedBox(nacl.public.PrivateKey(key.private)).decrypt(base64.b64decode(copy))
    except nacl.exceptions.CryptoError:
        raise ValueError(f"its copy for the key {key.id} was changed, or made for another key") from None
    if len(data_key) != nacl.secret.SecretBox.KEY_SIZE:
        raise ValueError(f"its copy for the key {key.id} holds no data key")
    return data_key


def _header(name: str) -> bytes:
    return f"ordain secret 1\n{name}\n".encode()


def _copies(data_key: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    nacl = load_nacl()
    public = _bounded({key_id(key): key for key in keys})
    copies = {}
    for id, key in public.items():
        try:
            box = nacl.public.SealedBox(nacl.public.PublicKey(key)).encrypt(data_key)
        except nacl.exceptions.CryptoError:  # a point that would reveal what is sealed for it
            raise ValueError(f"the key {id} cannot be used: it is not a public key of a machine; revoke it") from None
        copies[id] = base64.b64encode(box).decode()
    return copies


def _bounded(by_key: Mapping[str, T]) -> Mapping[str, T]:
    if len(by_key) > MAX_RECIPIENTS:
        raise ValueError(f"there are {len(by_key):,} recipients, and at most {MAX_RECIPIENTS:,} are possible")
    return by_key

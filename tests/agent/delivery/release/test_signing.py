"""A signature counts only if it is a whole one, over all of the text, by the key that it is said to be of."""

from __future__ import annotations

import base64

import pytest

from ordain.agent.delivery.release import signing

DATA = b"ordain statement 1\n" + b"x" * 100
SEED = bytes(range(32))
KEY = signing.key_from_seed(SEED)
PUBLIC = signing.public_bytes(KEY)
RAW = KEY.sign(DATA)
IDENTITY = bytes([1]) + bytes(31)
"""The neutral element, for which a lax check takes R = S·B as a signature of any text (RFC 8032, 8.9)."""


def test_the_signer_of_a_text_is_found() -> None:
    other = signing.public_bytes(signing.key_from_seed(bytes(32)))
    signature = signing.sign(KEY, DATA)

    assert signing.valid_signers(DATA, {PUBLIC: signature, other: signature}) == {PUBLIC}
    assert signing.valid_signers(DATA + b"x", {PUBLIC: signature}) == frozenset()


def test_a_signature_of_rfc_8032_is_valid() -> None:
    """Section 7.1, test 2."""
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )

    assert signing.valid_signers(b"\x72", {public: base64.b64encode(signature).decode()}) == {public}


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (PUBLIC, base64.b64encode(RAW[:63]).decode()),
        (PUBLIC, base64.b64encode(RAW + b"\0").decode()),
        (PUBLIC, base64.b64encode(RAW + DATA[:1]).decode()),
        (PUBLIC, ""),
        (PUBLIC, "not base64!"),
        (PUBLIC, base64.b64encode(RAW).decode() + "\n"),
        (PUBLIC, base64.urlsafe_b64encode(b"\xff" * 64).decode()),
        (PUBLIC[:31], base64.b64encode(RAW).decode()),
        (PUBLIC + b"\0", base64.b64encode(RAW).decode()),
        (b"", base64.b64encode(RAW).decode()),
        (IDENTITY, base64.b64encode(IDENTITY + bytes(32)).decode()),
    ],
)
def test_a_malformed_key_or_signature_is_not_valid(public: bytes, signature: str) -> None:
    assert signing.valid_signers(DATA, {public: signature}) == frozenset()


def test_a_signature_that_lacks_its_last_byte_does_not_take_it_from_the_text() -> None:
    """A check of signature and text as one piece would read the text's first byte as the signature's last."""
    begun = RAW[-1:] + DATA

    assert signing.valid_signers(begun, {PUBLIC: base64.b64encode(RAW[:-1]).decode()}) == frozenset()

"""The keys of an entry of the section `secrets`."""

from __future__ import annotations

from ordain.transforms.document.keys.shapes import Record, Sequence, String

SECRET = Record(
    {
        "for": Sequence(
            String(title="a recipient", format="secret-recipient", template=False),
            "The recipients: machine=NAME, a label such as role=web, key=BASE64, or recovery. `ordainctl secret list` "
            "compares it with the keys.",
            "role=web",
            template=False,
        ),
        "value": String("The encrypted secret.", "a sealed value", "secret-value", template=False),
        "keys": Sequence(
            String(title="the id of a key and a sealed copy", format="secret-copy", template=False),
            "For each recipient, the id of its key and a copy of the key of the value, which only the recipient opens.",
            template=False,
        ),
    },
    title="the keys of a secret",
)
"""Layers replace each key as a whole; a layer that seals a secret again sets all of them."""

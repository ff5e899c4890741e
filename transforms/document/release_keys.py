"""The keys of a Release: a signed list of documents, and its rollout in a fleet (docs/howto/signed-releases.md)."""

from __future__ import annotations

from ordain.transforms.document.service_keys import span
from ordain.transforms.document.shapes import Flag, Integer, Map, Record, Sequence, Shape, String

CHANNEL = String("Whose machines it is for.", "a channel: lower-case letters, digits and -", "channel", template=False)
NUMBER = Integer("Higher is newer; a channel never goes back, so a rollback is a new number.", 1, 2**53 - 1)
HASH = String("", "the SHA-256 of a document in lower-case hexadecimal digits", "sha256", template=False)

ROLLOUT = Record(
    {
        "splay": span("Each machine waits its own share of this, by its machine-id."),
        "max-parallel": Integer("How many machines apply it at a time."),
        "windows": Sequence(
            String(title="a maintenance window", format="window", template=False),
            "When machines may apply it, in their own time; else at any time.",
            "Sat,Sun 02:00-05:00",
        ),
        "stages": Sequence(
            String(title="a share of the machines", format="share", template=False),
            "Shares of the machines that `ordainctl release rollout` lets in, one after the other.",
            '["1%", "10%", "100%"]',
        ),
        "stop-at": String(
            "The rollout stops when more than this share of the machines that have it went back from it.",
            "a share",
            "share",
            template=False,
        ),
        "soak": span("How long a stage lasts before the next one is let in."),
    },
    "How the machines of the channel take it.",
    "the words of a rollout",
)

RELEASE: dict[str, Shape] = {
    "channel": CHANNEL,
    "number": NUMBER,
    "schema": String("The version of the language that its documents are written in.", "v1", template=False),
    "created": String("When it was made, for people.", "a time", template=False),
    "about": String("What it changes, for people.", "a text", template=False),
    "documents": Map(HASH, "Every document by its SHA-256.", "the name of a document", "document-name"),
    "shrinks": Flag("It is meant to take away most of what machines run; without it, they refuse that."),
    "rollout": ROLLOUT,
    "signatures": Map(
        String("", "base64", "base64", template=False),
        "Ed25519 signatures by the id of their key, over the canonical form of all the rest.",
        "the id of a key",
        "key-id",
    ),
}
REQUIRED = ("channel", "number", "schema", "documents")

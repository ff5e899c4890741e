"""The keys of a Release: a signed list of documents, and how a fleet takes it (docs/releases.md)."""

from __future__ import annotations

from ordain.transforms.document.service_keys import span
from ordain.transforms.document.shapes import Flag, Map, Record, Sequence, Shape, Text, Whole

CHANNEL = Text("Whose machines it is for.", "a channel: lower-case letters, digits and -", "channel", template=False)
NUMBER = Whole("Higher is newer; a channel never goes back, so a rollback is a new number.", 1, 2**53 - 1)
HASH = Text("", "the SHA-256 of a document in lower-case hexadecimal digits", "sha256", template=False)

ROLLOUT = Record(
    {
        "splay": span("Each machine waits its own share of this, by its machine-id."),
        "max-parallel": Whole("How many machines apply it at a time."),
        "windows": Sequence(
            Text(title="a maintenance window", format="window", template=False),
            "When machines may apply it, in their own time; else at any time.",
            "Sat,Sun 02:00-05:00",
        ),
        "stages": Sequence(
            Text(title="a share of the machines", format="share", template=False),
            "Shares of the machines that `ordainctl release rollout` lets in, one after the other.",
            '["1%", "10%", "100%"]',
        ),
        "stop-at": Text(
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
    "schema": Text("The version of the language that its documents are written in.", "v1", template=False),
    "created": Text("When it was made, for people.", "a time", template=False),
    "about": Text("What it changes, for people.", "a text", template=False),
    "documents": Map(HASH, "Every document by its SHA-256.", "the name of a document", "document-name"),
    "shrinks": Flag("It is meant to take away most of what machines run; without it, they refuse that."),
    "rollout": ROLLOUT,
    "signatures": Map(
        Text("", "base64", "base64", template=False),
        "Ed25519 signatures by the id of their key, over the canonical form of all the rest.",
        "the id of a key",
        "key-id",
    ),
}
REQUIRED = ("channel", "number", "schema", "documents")

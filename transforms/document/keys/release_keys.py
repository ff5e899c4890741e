"""The keys of a Release: a signed list of documents, and its rollout in a fleet (docs/howto/signed-releases.md)."""

from __future__ import annotations

from ordain.transforms.document.keys.service_keys import span
from ordain.transforms.document.keys.shapes import Flag, Integer, Map, Record, Sequence, Shape, String

CHANNEL = String(
    "The channel that it is for.", "a channel: lower-case letters, digits and -", "channel", template=False
)
NUMBER = Integer("Its number. A channel only takes higher numbers, so a rollback gets a new number, too.", 1, 2**53 - 1)
HASH = String("", "the SHA-256 of a document in lower-case hexadecimal digits", "sha256", template=False)

ROLLOUT = Record(
    {
        "splay": span(
            "The time over which machines spread out; each waits a part of it that depends on its machine-id."
        ),
        "max-parallel": Integer("The most machines that apply it at the same time."),
        "windows": Sequence(
            String(title="a maintenance window", format="window", template=False),
            "The times when machines may apply it, in their own time zone. Default: at any time.",
            "Sat,Sun 02:00-05:00",
        ),
        "stages": Sequence(
            String(title="a share of the machines", format="share", template=False),
            "The stages of the rollout, as shares of the machines. `ordainctl release rollout` admits them in turn.",
            '["1%", "10%", "100%"]',
        ),
        "stop-at": String(
            "The rollout stops when more than this share of the machines with it, and at least two, have rolled back.",
            "a share",
            "share",
            template=False,
        ),
        "soak": span("The time that a stage lasts before the next one is admitted."),
    },
    "The rules of the rollout to the machines of the channel.",
    "the keys of a rollout",
)

RELEASE: dict[str, Shape] = {
    "channel": CHANNEL,
    "number": NUMBER,
    "schema": String("The version of the language that its documents are written in.", "v1", template=False),
    "created": String("The time at which it was made, for people.", "a time", template=False),
    "expires": String(
        "The time from which machines that still have it report [ReleaseExpired]: a newer release should be there.",
        "a time such as 2026-12-31T00:00:00+00:00",
        "time",
        template=False,
    ),
    "about": String("A description of the changes, for people.", "a text", template=False),
    "documents": Map(HASH, "Every document with its SHA-256.", "the name of a document", "document-name"),
    "shrinks": Flag("The release removes most services of the machines on purpose; without this key they refuse it."),
    "rollout": ROLLOUT,
    "signatures": Map(
        String("", "base64", "base64", template=False),
        "Ed25519 signatures over the canonical form of all other keys, by the id of the key.",
        "the id of a key",
        "key-id",
    ),
}
REQUIRED = ("channel", "number", "schema", "documents")

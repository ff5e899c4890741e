"""The keys of /etc/ordain/agent.yaml as one table: the settings of the agent on one machine, see ordain-agent.yaml(5).

    SETTINGS ─▶ the JSON Schema (`ordainctl schema agent`), the pages (`agent_yaml_page`,
                `agent_yaml_reference`), the reader
                (`machine.agent_yaml`)

The file is not a document: it has no ``kind``, is never merged, and holds no templates. An absent key has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ordain.transforms.document.keys.schema import DIALECT, VERSION
from ordain.transforms.document.keys.shapes import (
    Choice,
    LabelValues,
    Map,
    Record,
    Schema,
    Sequence,
    String,
    TaggedRecord,
)

DOCUMENTS = "/etc/ordain/documents"
SOURCE_TYPES = ("directory", "http", "etcd", "couchdb", "relay")
TRUST = ("local", "required", "open")
WHY = ("optional", "required")


def _text(about: str, title: str = "a text", format: str = "line", example: str = "") -> String:
    return String(about, title, format, example, template=False)


SERVER_KEYS: Mapping[str, String] = {
    "user": _text("The user that logs in. Needs `credential`."),
    "credential": _text(
        "The systemd credential that holds the password of `user`; without `user`, a bearer token.",
        "the name of a credential",
        "credential",
    ),
    "ca": _text(
        "A PEM file with the certificate authorities that may sign the server's certificate. "
        "Default: the authorities of the system.",
        "an absolute path",
        "host-path",
    ),
    "cert": _text("A PEM file with the certificate of this machine. Needs `key`.", "an absolute path", "host-path"),
    "key": _text(
        "The systemd credential that holds the private key of `cert`.", "the name of a credential", "credential"
    ),
}
"""The keys of every source that is on a server."""

SOURCE = TaggedRecord(
    tag="type",
    about_tag=f"The kind of source. Default: {SOURCE_TYPES[0]}.",
    default=SOURCE_TYPES[0],
    cases={
        "directory": Record(
            {
                "path": _text(
                    "The directory that holds the documents, as `*.yaml`, `*.yml` and `*.json`. Hidden files are "
                    f"ignored. Default: {DOCUMENTS}.",
                    "an absolute path",
                    "host-path",
                )
            },
            "A directory on this machine.",
        ),
        "http": Record(
            {
                "url": Sequence(
                    _text("", "the URL of a boot server", "boot-url"),
                    "The URL of the documents. It may hold `{machine-id}`, `{hostname}` and `{mac}`.",
                    "https://boot.example/{machine-id}.yaml",
                    template=False,
                ),
                "interval": _text(
                    "The time between two requests, 1 s to 1 day, for a server that cannot wait for changes. "
                    "Default: 30s.",
                    "a time span",
                    "poll-interval",
                ),
                **SERVER_KEYS,
            },
            "A boot server, such as `ordainctl serve`.",
        ),
        "etcd": Record(
            {
                "endpoints": Sequence(
                    _text("", "the URL of a server", "server-url"),
                    "The URLs of the servers of the cluster.",
                    '["https://a:2379", "https://b:2379"]',
                    template=False,
                ),
                "prefix": _text(
                    "The prefix of all keys, with a slash at both ends. Default: /ordain/.",
                    "a prefix of keys",
                    "database-prefix",
                ),
                **SERVER_KEYS,
            },
            "An etcd cluster.",
        ),
        "couchdb": Record(
            {
                "url": Sequence(
                    _text("", "the URL of a server", "couchdb-url"),
                    "The URL of the server, with the path below which a proxy serves it, if any. A list names several "
                    "servers of one cluster.",
                    "https://db:6984",
                    template=False,
                ),
                "database": _text("The name of the database. Default: ordain."),
                **SERVER_KEYS,
            },
            "A CouchDB server.",
        ),
        "relay": Record(
            {
                "endpoints": Sequence(
                    _text("", "the URL of a relay", "server-url"),
                    "The URLs of the relays of this site, `ordainctl serve --store`. The machine uses one of them, and "
                    "another one when that does not answer or is cut off from the store.",
                    '["https://relay1:8443", "https://relay2:8443"]',
                    template=False,
                ),
                **{name: SERVER_KEYS[name] for name in ("ca", "cert", "key")},
            },
            "Relays of a store. The machine reads, reports and takes its turns in rollouts through them, and needs no "
            "password: its own key signs what it writes (`ordainctl fleet enroll`). It has `ca`, `cert` and `key` as "
            "all servers.",
        ),
    },
    required={"http": ("url",), "etcd": ("endpoints",), "couchdb": ("url",), "relay": ("endpoints",)},
    about="The place that the documents come from. ordain-source(8), which the agent starts and stops, "
    "fetches them from a server. `ordain.source=` on the kernel command line overrides the place; "
    "`credential`, `ca` and their like stay those of a source of the same type here.",
    title="a map with the keys of a source",
)

NETWORK = Record(
    {
        "reach": Sequence(
            _text("", "source, gateway, caller or HOST:PORT", "peer"),
            "The hosts that must stay reachable: the `source`, if it is remote; a default `gateway`; the host that the "
            "session of the `caller` comes from; any `HOST:PORT` that accepts connections. If a host was reachable "
            "before the change and is not reachable in time after it, the change is rolled back, also if the agent "
            "ends meanwhile. With an empty list, nothing is checked. Default: [source, gateway, caller].",
            "[gateway, 'db.example:6984']",
            template=False,
        ),
        "within": _text(
            "The time that a change has to make them reachable again, 1 s to 1 h. Default: 30s.",
            "a time span",
            "reach-time",
        ),
    },
    "The check of every change of the network.",
    "the keys of network",
)

SETTINGS = Record(
    {
        "source": SOURCE,
        "labels": Map(
            LabelValues(),
            "The labels of this machine, which documents match on. Labels in its Node document and on the kernel "
            "command line override them. The label `channel` also names the channel whose releases the machine takes "
            "(default: `stable`); for this label the Node document does not count.",
            "a label",
        ),
        "trust": Choice(
            TRUST,
            "The documents that this machine accepts without a signature: with `local`, those in the directory on this "
            "machine and those that came with the boot; with `open`, all; with `required`, none. Signed documents come "
            "as releases; the keys that the machine trusts are in `/etc/ordain/trust/*.pub`. Default: local.",
        ),
        "why": Choice(
            WHY,
            "With `required`, `ordainctl hold`, `pause` and `rollback` need a reason (`--why`). Default: optional.",
        ),
        "max-removal": _text(
            "The share of its services that the machine removes without being asked when they are missing in a remote "
            "source. A larger removal waits for `ordainctl apply`, or for a signed release that declares it "
            "[SourceShrunken]. Default: 50%.",
            "a percentage",
            "percentage",
        ),
        "windows": Sequence(
            _text("", "a maintenance window", "window"),
            "The times when this machine may change to another release, in its own time zone. The windows of the "
            "release apply as well. Default: at any time.",
            '"Sat,Sun 02:00-05:00"',
            template=False,
        ),
        "network": NETWORK,
    },
    title="a map with the settings of the agent",
)


@cache
def schema() -> Schema:
    """Return the published JSON Schema of agent.yaml."""
    return {
        "$schema": DIALECT,
        "$id": f"https://ordain.invalid/{VERSION}/agent.json",
        **SETTINGS.schema(),
        "description": "The settings of the agent on one machine: /etc/ordain/agent.yaml.",
    }

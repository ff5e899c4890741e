"""Good and bad texts of agent.yaml, with the settings that they mean and the problems that are reported."""

from __future__ import annotations

from collections.abc import Mapping

from ordain.agent.settings import Settings, Trust
from ordain.agent.source_settings import NO_SOURCE, SourceKind, SourceSettings
from ordain.transforms.document.formats.maintenance_windows import parse_window

NOWHERE = Settings(source=NO_SOURCE)
UNKNOWN = Settings(source=NO_SOURCE, trust=Trust.REQUIRED)
NIGHT, WEEKEND = parse_window("02:00-05:00"), parse_window("Sat,Sun 22:00-02:00")

GOOD: Mapping[str, tuple[str, Settings]] = {
    "an empty file": ("", Settings()),
    "a file of comments": ("# trust: open\n", Settings()),
    "an empty map": ("{}", Settings()),
    "all keys null": (
        "source:\nlabels:\ntrust:\nmax-removal:\nwindows:\nnetwork:\n",
        Settings(),
    ),
    "JSON": ('{"trust" : "required", "labels": {}}', Settings(trust=Trust.REQUIRED)),
    "a byte order mark": ("\ufefftrust: open\n", Settings(trust=Trust.OPEN)),
    "source": (
        "source: {type: directory, path: /srv/documents}\n",
        Settings(source=SourceSettings(path="/srv/documents")),
    ),
    "a source behind relays": (
        "source: {type: relay, endpoints: ['https://a:8443/', 'https://b:8443'], ca: /etc/site.pem}",
        Settings(
            source=SourceSettings(
                type=SourceKind.RELAY, path="", endpoints=("https://a:8443", "https://b:8443"), ca="/etc/site.pem"
            )
        ),
    ),
    "a source without type is a directory": ("source: {path: /a//b}", Settings(source=SourceSettings(path="/a//b"))),
    "an empty text in source is the default": ("source: {type: '', path: ''}", Settings()),
    "labels": (
        "labels: {role: web, site: [a, b, a], live: true, rack: 012, floor: 3, none: [], odd key/x: y}",
        Settings(
            labels={
                "role": ("web",),
                "site": ("a", "b"),
                "live": ("true",),
                "rack": ("012",),
                "floor": ("3",),
                "odd key/x": ("y",),
            }
        ),
    ),
    "trust": ("trust: open\n", Settings(trust=Trust.OPEN)),
    "trust, escaped": ('"tr\\u0075st": required\n', Settings(trust=Trust.REQUIRED)),
    "max-removal": ("max-removal: 20%\n", Settings(max_removal=20)),
    "max-removal with a blank": ("max-removal: 20 %\n", Settings(max_removal=20)),
    "max-removal of all": ("max-removal: 100%\n", Settings(max_removal=100)),
    "max-removal of none": ("max-removal: '0'\n", Settings(max_removal=0)),
    "windows": ('windows: "02:00-05:00"', Settings(windows=(NIGHT,))),
    "windows, a list": ('windows: ["02:00-05:00", "Sat,Sun 22:00-02:00"]', Settings(windows=(NIGHT, WEEKEND))),
    "why": ("why: required\n", Settings(requires_why=True)),
    "network": (
        "network: {reach: [gateway, 'db:6984', '[::1]:80'], within: 5s}\n",
        Settings(reach=("gateway", "db:6984", "[::1]:80"), within_sec=5),
    ),
    "network with one host": ("network: {reach: caller, within: 1h}\n", Settings(reach=("caller",), within_sec=3600)),
    "network without a host": ("network: {reach: []}\n", Settings(reach=())),
}
BAD: Mapping[str, tuple[str, Settings, tuple[str, ...]]] = {
    "a list": ("- a\n", UNKNOWN, ("1:1: error: expected a map with the settings of the agent, found a list",)),
    "a word": ("open\n", UNKNOWN, ("1:1: error: expected a map with the settings of the agent, found the string",)),
    "broken YAML": ("source: [\n", UNKNOWN, ("2:1: error: ",)),
    "broken YAML after trust": ("trust: open\nlabels: {\n", UNKNOWN, ("3:1: error: ",)),
    "a duplicate key": ("trust: required\ntrust: open\n", UNKNOWN, ("2:1: error: duplicate key 'trust'",)),
    "an unknown key": ("\nsorce: {}\n", NOWHERE, ("2:1: error: sorce: unknown key (did you mean source?)",)),
    "a key of a document": ("services: {}\n", Settings(), ("1:1: error: services: unknown key (known keys: labels, ",)),
    "labels as a list": (
        "labels: [web]\n",
        NOWHERE,
        ("1:9: error: labels: expected a map from a label, found a list",),
    ),
    "a label with a map": (
        "labels: {role: {a: b}, site: x}\n",
        Settings(source=NO_SOURCE, labels={"site": ("x",)}),
        ("1:16: error: labels/role: expected a value or a list of values, found a map",),
    ),
    "a label without a value": ("labels:\n  role:\n", NOWHERE, ("2:8: error: labels/role: expected a value",)),
    "a label with an empty value": (
        "labels: {role: [a, '']}\n",
        Settings(source=NO_SOURCE, labels={"role": ("a",)}),
        ("1:20: error: labels/role/1: '' is not a value (write a value, or leave the label out)",),
    ),
    "a label named like a fact": (
        "labels: {role: web,\n  os: x}\n",
        Settings(labels={"role": ("web",)}),
        ("2:3: warning: labels/os: a label cannot have the name of a fact: os",),
    ),
    "trust": (
        "trust: nobody\n",
        Settings(trust=Trust.REQUIRED),
        ("1:8: error: trust: expected one of local, required, open, found the string 'nobody'",),
    ),
    "trust, misspelt": ("trust: opn\n", Settings(trust=Trust.REQUIRED), ("(did you mean open?)",)),
    "trust as a list": ("trust: [open]\n", Settings(trust=Trust.REQUIRED), ("1:8: error: trust: ",)),
    "max-removal": ("max-removal: most\n", Settings(), ("1:14: error: max-removal: 'most' is not a percentage",)),
    "max-removal without %": ("max-removal: 50\n", Settings(), ("max-removal: '50' is not a percentage",)),
    "max-removal over 100": ("max-removal: 101%\n", Settings(), ("(a share of the services: 50%)",)),
    "windows": (
        'windows: ["02:00-05:00",\n  "at night"]\n',
        Settings(windows=(NIGHT,)),
        ("2:3: error: windows/1: 'at night' is not a maintenance window (such as ",),
    ),
    "network as a list": ("network: [gateway]\n", Settings(), ("1:10: error: network: expected the keys of network",)),
    "an unknown key of network": (
        "network: {reech: []}\n",
        Settings(),
        ("1:11: error: network/reech: unknown key (did you mean reach?)",),
    ),
    "reach": (
        "network: {reach: [gatway, source]}\n",
        Settings(reach=("source",)),
        ("1:19: error: network/reach/0: 'gatway' is not source, gateway, caller or HOST:PORT",),
    ),
    "reach, one host": ("network: {reach: gatway}\n", Settings(), ("1:18: error: network/reach: 'gatway' is not",)),
    "why, another word": ("why: never\n", Settings(), ("1:6: error: why: ",)),
    "within": (
        "network: {within: 0s}\n",
        Settings(),
        ("1:19: error: network/within: '0s' is not a time span (1s",),
    ),
    "within, no time": ("network: {within: soon}\n", Settings(), ("'soon' is not a time span (write it as",)),
    "the source, which is nowhere then": (
        "source: {path: documents}\ntrust: open\n",
        Settings(source=NO_SOURCE, trust=Trust.OPEN),
        ("1:16: error: source/path: 'documents' is not an absolute path (write it with a leading /)",),
    ),
    "all problems are named at once": (
        "trst: open\nlabels: [a]\nsource: {type: etcd, cert: /a, user: me, pasword: x}\nwindows: [night]\nnetwork: 1\n",
        UNKNOWN,
        (
            "1:1: error: trst: unknown key (did you mean trust?)",
            "2:9: error: labels: expected a map",
            "3:9: error: source: cert and key are needed together",
            "3:9: error: source: the key endpoints is missing",
            "3:32: error: source/user: a user needs a password",
            "3:42: error: source/pasword: unknown key",
            "4:11: error: windows/0: 'night' is not a maintenance window",
            "5:10: error: network: expected the keys of network, found the number 1",
        ),
    ),
}

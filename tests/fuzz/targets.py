"""The readers of data from others, each as a fuzz target: a function that may raise only what the reader promises.

A target takes bytes and returns nothing. Errors that a reader documents are caught here; any other exception is a
defect, also that of an ``assert``. `run.py` drives the targets, `test_fuzz_targets.py` runs each over its seeds.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from fuzz import machine_targets, request_targets
from ordain.agent import settings
from ordain.agent.cli.fleet import fleet_status
from ordain.agent.delivery.database import couchdb_wire, etcd_client, etcd_wire
from ordain.agent.delivery.database.database import StoredEntry
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.database.http_transport import Response
from ordain.agent.delivery.database.json_answers import parse_json, parse_json_object
from ordain.agent.delivery.fleet.report import MachineReport, decode_report, encode_report
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout, encode_rollout
from ordain.agent.delivery.identity.decryption_key import DecryptionKey, parse_decryption_key
from ordain.agent.delivery.identity.enrollment import enroll, read_request, vouch
from ordain.agent.delivery.identity.identities import parse_identities
from ordain.agent.delivery.identity.machine_key import parse_machine_key, parse_token
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    REQUESTS,
    FleetRecord,
    MachineRecord,
    encode_record,
)
from ordain.agent.delivery.identity.sealing import open_secret, seal
from ordain.agent.delivery.identity.statement import key_id, read_statement
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.bundle import split_releases
from ordain.agent.delivery.release.manifest import read_release
from ordain.agent.delivery.release.trusted_keys import InvalidKey, parse_key
from ordain.agent.delivery.source import handover_file
from ordain.agent.errors import MalformedAnswer, StoreError
from ordain.agent.model import to_json
from ordain.generator import cache
from ordain.generator import files as placed_files
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.node import Unreadable
from ordain.transforms.document_tests.read_tests import read_tests
from ordain.transforms.document_tests.run_tests import run_tests
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter, yaml_writer
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.file_types import FileType
from ordain.transforms.model import Document
from ordain.transforms.sealed_secret import parse as parse_sealed
from ordain.transforms.systemd import calendar, values
from ordain.transforms.systemd.quoting import INSTANCE
from ordain.transforms.systemd.splitting import split
from ordain.transforms.systemd.values import EncodeError
from ordain.transforms.template.jinja_sandbox import NoResult, expand_text
from support.samples.odd_values import places

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "fuzz" / "corpus"
"""Inputs that once were crashes, or that reach code which the seeds do not: a folder for each target."""
NOW = 1_800_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader, the valid inputs that mutations begin with, and a mutation that keeps their structure, if any."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, random.Random], bytes] | None = None


def _show(problems: Iterable[Problem]) -> None:
    for problem in problems:
        str(problem)


FACTS = facts_for(os="debian-12", hostname="web1", labels={"role": ("web",)})


@functools.cache
def _names() -> Names:
    documents = tuple(shipped())
    return names_for(documents, FACTS, shared_versions(documents))[0]


# -- documents -------------------------------------------------------------------------------------------------------


def _compiled(documents: Iterable[Document]) -> None:
    try:
        made = compile(documents, FACTS, None, shipped=shipped())
    except Refused as refused:
        _show(refused.problems)
        return
    _show(made.problems)
    for artifact in made.artifacts:
        content = getattr(artifact, "content", None)
        if isinstance(content, str) and artifact.path.startswith(("normal/", "early/")):
            assert "\0" not in content, f"a NUL byte in {artifact.path}"
            content.encode()


def read_documents(data: bytes) -> None:
    """Read a file of documents, twice with one result."""
    for path in ("a.yaml", "a.json"):
        documents, problems = read(path, data)
        _show(problems)
        if documents and not problems:
            assert read(path, data)[0] == documents, "a second reading has another result"


def compile_documents(data: bytes) -> None:
    """Compile a file of documents that the reader accepts."""
    documents, problems = read("a.yaml", data)
    if documents and not problems:
        _compiled(documents)


def document_tests(data: bytes) -> None:
    """Run Test documents on a few documents."""
    tests, problems = read_tests("t.yaml", data)
    _show(problems)
    with contextlib.suppress(Refused):  # an unknown system, or Node
        for case in run_tests(
            tests[:3], _tested(), shipped(), lambda facts, *_: facts, "tests", lambda path: None
        ).cases:
            for failure in case.failures:
                str(failure)


@functools.cache
def _tested() -> tuple[Document, ...]:
    return read("web.yaml", (TESTS.parent / "examples" / "web.yaml").read_bytes())[0]


def _import(file_type: FileType, name: str, data: bytes) -> None:
    draft = DocumentDraft()
    file_types.convert([InputFile(path=name, data=data)], _names(), draft, file_type)
    schema_filter.remove_invalid(draft)
    _show(draft.problems)
    if any(draft.sections.values()):
        text = yaml_writer.write(draft, "x", header="Made")
        documents, problems = read("x.yaml", text.encode())
        assert not problems, f"the import wrote an invalid document: {problems[0]}"
        _compiled(documents)


UNIT_NAMES = ("a.service", "a.socket", "a.timer", "a.mount", "a.path", "a.target", "a@.service", "ssh.service.d/x.conf",
              "a.swap", "a.slice", "a.automount")  # fmt: skip
QUADLET_NAMES = ("a.container", "a.volume", "a.network", "a.kube", "a.pod", "a.image", "a.build")


def import_units(data: bytes) -> None:
    """Import a unit file; the first byte chooses its name."""
    name = UNIT_NAMES[data[0] % len(UNIT_NAMES)] if data else "a.service"
    _import(FileType.UNITS, f"/etc/systemd/system/{name}", data[1:])


def import_quadlet(data: bytes) -> None:
    """Import a file of podman; the first byte chooses its name."""
    name = QUADLET_NAMES[data[0] % len(QUADLET_NAMES)] if data else "a.container"
    _import(FileType.QUADLET, f"/etc/containers/systemd/{name}", data[1:])


def import_kernel_files(data: bytes) -> None:
    """Import a file of sysctl or of modules; the first byte chooses."""
    odd = bool(data[:1] and data[0] & 1)
    file_type, name = (FileType.MODULES, "/etc/modules") if odd else (FileType.SYSCTL, "/etc/sysctl.d/a.conf")
    _import(file_type, name, data[1:])


# -- answers of servers ----------------------------------------------------------------------------------------------


def etcd_answers(data: bytes) -> None:
    """Read an answer of etcd's gateway in every way."""
    try:
        answer = parse_json_object(data, "http://x")
    except SourceError:
        return
    readers: tuple[Callable[[], object], ...] = (
        lambda: etcd_wire.header(answer),
        lambda: etcd_wire.pages(answer, "/ordain/"),
        lambda: etcd_wire.state(answer),
        lambda: etcd_wire.created(answer),
        lambda: etcd_wire.versions(answer, "/ordain/"),
    )
    for reader in readers:
        with contextlib.suppress(MalformedAnswer):
            reader()
    response = Response(endpoint="http://x", status=400, headers={}, body=data)
    error = etcd_client.refusal_error(response, answer)
    assert isinstance(error, SourceError | StoreError)
    str(error)


def couchdb_answers(data: bytes) -> None:
    """Read an answer of CouchDB in every way."""
    try:
        answer = parse_json(data, "http://x")
    except SourceError:
        return
    with contextlib.suppress(MalformedAnswer):
        leaves = couchdb_wire.leaves(answer)
        couchdb_wire.winner(leaves)
        couchdb_wire.conflict(leaves)
    with contextlib.suppress(MalformedAnswer):
        couchdb_wire.entry(answer)


def reports(data: bytes) -> None:
    """Read the report of a machine and show it as `fleet status` and `fleet show` do."""
    try:
        report = decode_report(data)
    except ValueError:
        return
    fleet_status.table_row(report, NOW)
    list(fleet_status.report_lines(report, NOW))
    json.dumps(to_json(report))
    assert decode_report(encode_report(report)) == report


def identities(data: bytes) -> None:
    """Read data as a report, a request and a record of a fleet with identities, and a key as a line."""
    machine = "0" * 32
    entries = [StoredEntry(key=f"{MACHINES}{machine}", data=data, version="1"), _FLEET]
    parse_identities(tuple(entries)).refusal(machine, f"status/{machine}", read_statement(data), _no_signer)
    known = parse_identities((_FLEET, _MACHINE))
    assert known.refusal(machine, f"status/{machine}", read_statement(data), _no_signer) is not None
    request = StoredEntry(key=f"{REQUESTS}{machine}", data=data, version="1")
    with contextlib.suppress(ValueError):
        asked = read_request(request, "f" * 16, _every_signer)
        voucher = vouch(request, asked, known, NOW, _every_signer)
        enroll(asked, voucher, known, by="ops", now=NOW)
    for parse in (parse_machine_key, parse_token, parse_decryption_key):
        with contextlib.suppress(ValueError):
            parse(data.decode("utf-8", "replace"))


_SECRET_KEY = DecryptionKey(private=bytes(range(32)))


def secrets(data: bytes) -> None:
    """Open data as a sealed secret: it opens as it was sealed, or is refused."""
    with contextlib.suppress(ValueError):
        assert open_secret(parse_sealed(data.decode("utf-8", "replace")), _SECRET_KEY) == b"sesame"


def _no_signer(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
    return frozenset()


def _every_signer(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
    return frozenset(signatures)


def rollouts(data: bytes) -> None:
    """Read the state of a rollout."""
    with contextlib.suppress(ValueError):
        state = decode_rollout(data)
        assert decode_rollout(encode_rollout(state)) == state


def handovers(data: bytes) -> None:
    """Read a handover file; in every second input, its checksum is made right."""
    if data[:1] and data[0] & 1:
        head, _, body = data[1:].removeprefix(handover_file.MAGIC).partition(b"\n")
        head = head.replace(b"SHA", hashlib.sha256(body).hexdigest().encode())
        data = handover_file.MAGIC + head + b"\n" + body
    with contextlib.suppress(SourceError):
        handover = handover_file.decode(data)
        assert handover_file.decode(handover_file.encode(handover)) == handover


def manifests(data: bytes) -> None:
    """Read manifests of releases out of a bundle."""
    for path in ("r.json", "r.yaml"):
        try:
            for name, text in split_releases([(path, data)]):
                release = read_release(name, text)
                assert read_release("x.json", release.text()).canonical == release.canonical
        except Unreadable as unreadable:
            str(unreadable.problem)
        except Refused as refused:
            _show(refused.problems)
        except SourceError as error:
            str(error)


def keys(data: bytes) -> None:
    """Read the lines of a file of public keys."""
    for line in data.decode("utf-8", "replace").splitlines():
        with contextlib.suppress(InvalidKey):
            assert parse_key(parse_key(line).line) == parse_key(line)


# -- files of the machine --------------------------------------------------------------------------------------------


def boot_caches(data: bytes) -> None:
    """Read a boot cache; in every second input, its checksum is made right."""
    if data[:1] and data[0] & 1:
        data = b"ordain-cache 1 %08x\n" % crc32(data[1:]) + data[1:]
    try:
        unpacked = cache.unpack(data)
        assert cache.pack(cache.unpack(cache.pack(unpacked))) == cache.pack(unpacked)
        for path, mode, _, _ in unpacked.entries:
            assert not path.startswith("/"), path
            assert ".." not in path.split("/"), path
            assert not mode & ~0o7777
        placed_files.read(unpacked.files)
    except cache.CacheError:
        pass


def agent_yaml(data: bytes) -> None:
    """Read agent.yaml."""
    _, problems = settings.parse_settings(data, Path("/nonexistent"))
    _show(problems)


def templates(data: bytes) -> None:
    """Expand a template with values of every type."""
    scope: dict[str, object] = {
        "facts": {"id": "debian", "mac": ("a", "b")},
        "labels": {"role": "web"},
        "values": {
            "a": "x" * 50,
            "l": ["1", "2"] * 20,
            "m": {"k": {"z": 1}},
            "n": 5,
            "f": 1.5,
            "b": True,
            "none": None,
        },
        "path": lambda name: f"/usr/bin/{name}",
        "instance": INSTANCE,
    }
    try:
        text = expand_text(data.decode("utf-8", "replace"), scope)
    except NoResult:
        return
    for leak in (" object at 0x", "<class ", "<function ", "<built-in"):
        assert leak not in text, f"the text shows an object of Python: {leak}"


def directive_values(data: bytes) -> None:
    """Read words and values in the syntax of systemd."""
    text = data.decode("utf-8", "replace")
    readers: tuple[Callable[[str], object], ...] = (
        values.timespan, values.size, values.boolean, values.integer, values.unsigned, values.mode, values.percent,
        values.signal, values.error_number, calendar.check_calendar, lambda t: split(t, unescape=True),
    )  # fmt: skip
    for reader in readers:
        with contextlib.suppress(EncodeError):
            reader(text)


# -- seeds -----------------------------------------------------------------------------------------------------------


def _files(*patterns: str) -> list[bytes]:
    return [path.read_bytes() for pattern in patterns for path in sorted(TESTS.glob(pattern)) if path.is_file()]


def _document_seeds() -> list[bytes]:
    return _files("cases/*/documents.yaml", "imports/*/expected.yaml", "../examples/*.yaml")


def _named(names: tuple[str, ...], pattern: str) -> list[bytes]:
    """Return files as inputs whose first byte chooses the name with the suffix of the file."""
    suffixes = [name.rpartition(".")[2] for name in names]
    return [
        bytes([suffixes.index(path.suffix[1:])]) + path.read_bytes()
        for path in sorted(TESTS.glob(pattern))
        if path.is_file() and path.suffix[1:] in suffixes
    ]


def _handover_seeds() -> list[bytes]:
    health: object = {"connected": False, "code": "SourceUnreachable", "what": "x", "hint": "", "since": 1}
    header: dict[str, object] = {"location": "https://boot/x", "settings": "ab", "revision": "r1", "health": health}
    header |= {"documents": [["a", 3]], "sha256": "SHA"}
    return [b"\1" + handover_file.MAGIC + json.dumps(header).encode() + b"\nabc"]


_FLEET = StoredEntry(key=FLEET_KEY, data=encode_record(FleetRecord(fleet="f" * 16)), version="1")
_MACHINE = StoredEntry(
    key=f"{MACHINES}{'0' * 32}",
    data=encode_record(MachineRecord(machine="0" * 32, key="A" * 43 + "=", name="web1", labels={"role": ("web",)})),
    version="1",
)
_IDENTITY_SEEDS = [
    _FLEET.data,
    _MACHINE.data,
    json.dumps(
        {
            "machine": "0" * 32,
            "hostname": "web1",
            "key": "A" * 43 + "=",
            "token": "0" * 16,
            "signatures": {key_id(bytes(32)): "A" * 88, "0" * 16: "A" * 88},
        }
    ).encode(),
    b"ordain-machine-key ffffffffffffffff AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= user=a password=b",
]


def _report_seeds() -> list[bytes]:
    report = MachineReport(machine="0" * 32, hostname="web1", facts=FACTS, labels={"role": ("web",)}, drift=("a",))
    full = {
        **to_json(report),
        "conditions": [{"code": "HookFailed", "item": "services/a", "what": "x"}],
        "units": {"a.service": {"state": "active", "result": "success", "restarts": 3}},
    }
    return [json.dumps(full).encode(), encode_report(report)]


_ETCD_SEEDS = (
    b'{"header":{"cluster_id":"1","revision":"7"},"succeeded":true,"responses":[{"response_range":{"kvs":[{"key":"L29yZGFpbi9h",'
    b'"create_revision":"2","mod_revision":"3","version":"1","value":"YQ=="}],"more":true,"count":"1"}}]}',
    b'{"error":"etcdserver: permission denied","code":7,"message":"etcdserver: permission denied"}',
)
_COUCHDB_SEEDS = (
    b'[{"ok":{"_id":"a","_rev":"2-b","text":"x","_revisions":{"start":2,"ids":["b","a"]}}}]',
    b'{"_id":"a","_rev":"1-b","base64":"YQ=="}',
)
_AGENT_YAML_SEEDS = (
    b"source: {type: etcd, endpoints: ['https://a:2379'], prefix: /ordain/, user: u, credential: c}\ntrust: required\n"
    b"labels: {role: web}\nmax-removal: 30%\nwindows: ['Sat 02:00-05:00']\n"
    b"network: {reach: ['1.1.1.1:53'], within: 30s}\n",
)
_TEMPLATE_SEEDS = (
    b"{{ values.a ~ facts.id }} {% for x in values.l %}{{ loop.index }}-{{ x }}{% endfor %}",
    b"{% if labels.role == 'web' %}{{ path('python') }}{% else %}{{ values.m|tojson }}{% endif %}",
    b"{% set y = values.l|map('upper')|sort|join(',') %}{{ y|replace('1', 'x')|indent(2) }}{{ '%s' % values.n }}",
)
_VALUE_SEEDS = (b"5min 20s", b"1.5G", b"Mon..Fri *-*-* 02:00:00/5", b'a "b c" \\x41', b"SIGTERM", b"0644", b"50%")
_KEY_SEEDS = (b"ed25519 " + b"A" * 43 + b"= ops channel=canary,stable",)
_ROLLOUT_SEEDS = (encode_rollout(RolloutState(number=3, share=0.1, halted="x", opened=1.0)),)


# -- mutations that keep the structure -------------------------------------------------------------------------------

ODD_VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, "", " ", "a", "%", "%n", "$x", "/", "//",
    "..", "/a/../b", "\n", "\t", "\\", '"', "'", ";", "é", "\u2028", "\x7f", "\ufeff", "\U0001f600", "x" * 300, "a@b",
    "@", "a.service", "-.mount", "*", "infinity", "yes", "0644", "12:30", "{{ x }}", [], {}, [[]], [{}], {"": ""},
    {"a": None}, {"template": "{{ 1 }}"}, {"template": ""}, ["a", "a"], [None], "localhost", "127.0.0.1:80", "root",
    "default", "1-", "::1", "10.0.0.1/24", "²", "٣", "9" * 4301,
)  # fmt: skip


@functools.cache
def _subtrees() -> tuple[tuple[object, ...], tuple[str, ...]]:
    """Return all values and all keys of the seeds of documents."""
    found: list[object] = []
    names: set[str] = set()

    def walk(value: object) -> None:
        found.append(value)
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(child)
        if isinstance(value, dict):
            names.update(map(str, value))

    for seed in _document_seeds():
        for document in _load(seed):
            walk(document)
    return tuple(found), tuple(sorted(names))


def _load(data: bytes) -> list[object]:
    import yaml

    with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
        return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(data)]
    return []


def mutate_structure(data: bytes, rng: random.Random) -> bytes:
    """Return documents, or other YAML, with a few of their values replaced, removed, renamed or doubled."""
    import yaml

    documents = _load(data)
    if not documents:
        return data
    values_of_seeds, names = _subtrees()
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        owner, key = rng.choice(places(documents))
        action = rng.randrange(6)
        if action == 0 and isinstance(owner, dict):
            owner[rng.choice(names)] = owner.pop(str(key), None)
        elif action == 1:
            del owner[key]
        elif action == 2 and isinstance(owner, dict):
            owner[rng.choice(names)] = rng.choice(values_of_seeds)
        elif action == 3:
            owner[key] = rng.choice(values_of_seeds)
        elif action == 4 and isinstance(owner, list):
            owner.append(rng.choice(ODD_VALUES))
        else:
            owner[key] = rng.choice(ODD_VALUES)
        documents = json.loads(json.dumps(documents))
        if not documents:
            break
    return yaml.safe_dump_all(documents, allow_unicode=True).encode("utf-8", "surrogatepass")


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Return JSON data with a few of its values replaced or removed."""
    changed = _load(mutate_structure(data, rng))
    return json.dumps(changed[0]).encode() if changed else data


TARGETS: Mapping[str, Target] = {
    "bus-messages": Target(run=request_targets.bus_messages, seeds=request_targets.bus_seeds),
    "requests": Target(run=request_targets.requests, seeds=lambda: request_targets.REQUESTS),
    "job-scripts": Target(run=request_targets.job_scripts, seeds=lambda: request_targets.job_seeds(TESTS / "runs")),
    "xml": Target(run=request_targets.xml, seeds=lambda: request_targets.xml_seeds(TESTS / "runs")),
    "runs": Target(run=request_targets.runs, seeds=lambda: _files("runs/documents/*.yaml"), mutate=mutate_structure),
    "document-tests": Target(
        run=document_tests, seeds=lambda: _files("../examples/tests/*.yaml"), mutate=mutate_structure
    ),
    "read-documents": Target(run=read_documents, seeds=_document_seeds, mutate=mutate_structure),
    "compile-documents": Target(run=compile_documents, seeds=_document_seeds, mutate=mutate_structure),
    "import-units": Target(run=import_units, seeds=lambda: _named(UNIT_NAMES, "imports/*/input/**/*")),
    "import-quadlet": Target(run=import_quadlet, seeds=lambda: _named(QUADLET_NAMES, "imports/quadlet/input/**/*")),
    "import-compose": Target(
        run=lambda data: _import(FileType.COMPOSE, "/srv/app/compose.yaml", data),
        seeds=lambda: _files("imports/compose/input/**/*"),
        mutate=mutate_structure,
    ),
    "import-cloud-config": Target(
        run=lambda data: _import(FileType.CLOUD, "/x/user-data", data),
        seeds=lambda: _files("imports/cloud/input/**/*"),
        mutate=mutate_structure,
    ),
    "import-network": Target(
        run=lambda data: _import(FileType.NETPLAN, "/etc/netplan/a.yaml", data),
        seeds=lambda: _files("imports/netplan/input/**/*.yaml", "imports/network-v1/input/**/*"),
        mutate=mutate_structure,
    ),
    "import-ignition": Target(
        run=lambda data: _import(FileType.IGNITION, "/x/config.ign", data),
        seeds=lambda: _files("imports/ignition/input/**/*"),
        mutate=mutate_json,
    ),
    "import-kernel-files": Target(
        run=import_kernel_files,
        seeds=lambda: [b"\0vm.swappiness = 10\n-net/ipv4/ip_forward=1\n", b"\1loop\nnbd max_part=8\n"],
    ),
    "import-fstab": Target(
        run=lambda data: _import(FileType.FSTAB, "/etc/fstab", data), seeds=lambda: _files("imports/fstab/input/**/*")
    ),
    "etcd-answers": Target(run=etcd_answers, seeds=lambda: _ETCD_SEEDS, mutate=mutate_json),
    "couchdb-answers": Target(run=couchdb_answers, seeds=lambda: _COUCHDB_SEEDS, mutate=mutate_json),
    "relay-requests": Target(
        run=request_targets.relay_requests,
        seeds=lambda: [*request_targets.relay_of_tests().seeds()],
        mutate=mutate_json,
    ),
    "reports": Target(run=reports, seeds=_report_seeds, mutate=mutate_json),
    "identities": Target(run=identities, seeds=lambda: _IDENTITY_SEEDS, mutate=mutate_json),
    "secrets": Target(run=secrets, seeds=lambda: [seal("db", b"sesame", [_SECRET_KEY.public]).text.encode()]),
    "rollouts": Target(run=rollouts, seeds=lambda: _ROLLOUT_SEEDS, mutate=mutate_json),
    "handovers": Target(run=handovers, seeds=_handover_seeds),
    "manifests": Target(run=manifests, seeds=lambda: _files("golden/release/release.json"), mutate=mutate_structure),
    "keys": Target(run=keys, seeds=lambda: _KEY_SEEDS),
    "boot-caches": Target(
        run=boot_caches,
        seeds=lambda: [
            b"\0"
            + cache.pack(
                cache.Cache(
                    entries=[("normal/a.service", 0o644, b"[Unit]\n", None), ("early/x.wants/y", 0, None, b"../y")]
                )
            )
        ],
    ),
    "agent-yaml": Target(run=agent_yaml, seeds=lambda: _AGENT_YAML_SEEDS, mutate=mutate_structure),
    "templates": Target(run=templates, seeds=lambda: _TEMPLATE_SEEDS),
    "site-facts": Target(
        run=machine_targets.site_facts, seeds=lambda: machine_targets.SITE_FACTS, mutate=mutate_structure
    ),
    "package-outputs": Target(run=machine_targets.package_outputs, seeds=lambda: machine_targets.PACKAGE_OUTPUTS),
    "setting-values": Target(run=machine_targets.setting_values, seeds=lambda: machine_targets.SETTING_VALUES),
    "initrds": Target(run=machine_targets.initrds, seeds=machine_targets.initrd_seeds),
    "directive-values": Target(run=directive_values, seeds=lambda: _VALUE_SEEDS),
}

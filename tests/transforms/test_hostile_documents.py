"""Hostile documents and transforms: each gives a named problem within 5 s of CPU time and 200 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ordain.transforms.document.reader import read

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parents[1]
LAYER = "ordain: v1\nkind: Layer\nname: x\n"
TRANSFORM = "ordain: v1\nkind: Transform\nname: x\ntier: site\n"
SSH = "---\nordain: v1\nkind: Layer\nname: y\nservices: {ssh: {limits: {memory: 1G}}}\n"
USES_A_PATH = f"{LAYER}services: {{x: {{command: [{{template: \"{{{{ path('python') }}}}\"}}]}}}}\n"
JSON = '{"ordain": "v1", "kind": "Layer", "name": "x", "values": %s}'


def service(body: str) -> str:
    return f"{LAYER}services: {{x: {{command: [/bin/x], {body}}}}}\n"


def template(text: str) -> str:
    return service(f"description: {{template: {json.dumps(text)}}}")


def row(text: str) -> str:
    return f"{TRANSFORM}services: {{ssh: {{unit: {{template: {json.dumps(text)}}}}}}}\n{SSH}"


def laughs(levels: int, width: int = 9) -> str:
    lines = ["values:", "  a0: &a0 lol"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return LAYER + "\n".join(lines) + "\n"


def many(count: int, entry: str) -> str:
    return LAYER + "services:\n" + "".join(entry.format(n) for n in range(count))


# The name of the file, its content, and a part of the problem.
CASES: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "billion laughs": ("x.yaml", lambda: laughs(30), "expands to more than"),
    "aliases by thousands": (
        "x.yaml",
        lambda: f"{LAYER}values: {{a: &a [{'1, ' * 5000}], b: [{'*a, ' * 5000}]}}",
        "expands to more than",
    ),
    "an anchor within itself": ("x.yaml", lambda: f"{LAYER}values: &a {{b: *a}}", "has no complete anchor"),
    "maps in maps": ("x.yaml", lambda: f"{LAYER}values: {'{a: ' * 20000}", "nested deeper than 64"),
    "lists in lists": ("x.yaml", lambda: f"{LAYER}values: {'[' * 20000}", "nested deeper than 64"),
    "blocks in blocks": (
        "x.yaml",
        lambda: f"{LAYER}values:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 900)),
        "nested deeper than 64",
    ),
    "JSON in JSON": ("x.json", lambda: JSON % ("[" * 100000), "nested deeper than 64"),
    "JSON maps in JSON maps": ("x.json", lambda: JSON % ('{"a":' * 100000), "nested deeper than 64"),
    "a number of a million digits": ("x.yaml", lambda: service(f"nice: {'9' * 1000000}"), "nice"),
    "a hexadecimal number of a million digits": ("x.yaml", lambda: service(f"nice: 0x{'f' * 1000000}"), "nice"),
    "a huge exponent": ("x.yaml", lambda: service("nice: 1e999999999"), "nice"),
    "a huge exponent in JSON": ("x.json", lambda: JSON % '{"a": 1e999999999}', "too large"),
    "a huge weight": ("x.yaml", lambda: f"{LAYER}weight: {'9' * 100000}\n", "weight"),
    "a huge time span": ("x.yaml", lambda: service(f"restart-delay: {'9' * 100000}y"), "restart-delay"),
    "a huge size": ("x.yaml", lambda: service(f"limits: {{memory: {'9' * 100000}T}}"), "memory"),
    "a calendar of stars": ("x.yaml", lambda: service(f"schedule: {{calendar: '{'*,' * 100000}'}}"), "calendar"),
    "a NUL in YAML": ("x.yaml", lambda: LAYER.encode() + b"values: {a: \0}", "U+0000 is not allowed"),
    "a NUL by an escape": ("x.yaml", lambda: service('description: "a\\0b"'), "NUL"),
    "a forged sentinel": ("x.yaml", lambda: service('description: "\\0i\\0"'), "NUL"),
    "a NUL in JSON": ("x.json", lambda: JSON % '{"a": "\\u0000"}', "NUL"),
    "a NUL in a key": ("x.yaml", lambda: service('environment: {"a\\0b": c}'), "NUL"),
    "a carriage return in a raw line": (
        "x.yaml",
        lambda: service('systemd: {Service: {Nice: "1\\rExecStart=/bin/evil"}}'),
        "write it on one line",
    ),
    "a line end in a name": ("x.yaml", lambda: f'{LAYER}services: {{"a\\nb": {{}}}}', "is not a service name"),
    "a line separator in a description": ("x.yaml", lambda: service('description: "a\\u2028b"'), ""),
    "half a surrogate pair in JSON": ("x.json", lambda: JSON % '{"a": "\\ud800"}', "surrogate"),
    "half a surrogate pair in YAML": ("x.yaml", lambda: service('description: "\\ud800"'), "invalid Unicode"),
    "a surrogate as bytes": ("x.yaml", lambda: LAYER.encode() + b"values: {a: \xed\xa0\x80}", "is not valid UTF-8"),
    "bad UTF-8": ("x.yaml", lambda: LAYER.encode() + b"values: {a: \xff\xfe}", "is not valid UTF-8"),
    "UTF-16": ("x.yaml", lambda: LAYER.encode("utf-16"), "the file is UTF-16"),
    "overlong UTF-8": ("x.yaml", lambda: LAYER.encode() + b"values: {a: \xc0\xaf}", "is not valid UTF-8"),
    "a noncharacter": ("x.yaml", lambda: service('description: "\\ufdd0"'), "U+FDD0"),
    "a name that climbs": ("x.yaml", lambda: f"{LAYER}services: {{../../etc/x: {{command: /bin/x}}}}", "service name"),
    "a unit name that climbs": ("x.yaml", lambda: f"{LAYER}units: {{../x.service: {{}}}}", "unit name"),
    "an instance that climbs": ("x.yaml", lambda: service("instances: [../../x]"), "instance"),
    "a file that climbs": ("x.yaml", lambda: f"{LAYER}files: {{/etc/../boot/x: {{content: x}}}}", "path"),
    "a file of a service that climbs": ("x.yaml", lambda: service("files: {../../x: {content: x}}"), "path"),
    "a mount point that climbs": ("x.yaml", lambda: f"{LAYER}mounts: {{/srv/../etc: {{what: x}}}}", "mount point"),
    "a module that climbs": ("x.yaml", lambda: f"{LAYER}modules: {{../x: {{}}}}", "modules"),
    "a user that is a line": ("x.yaml", lambda: f'{LAYER}users: {{"x\\nu root 0": {{}}}}', "not a valid account name"),
    "a parameter that is a line": ("x.yaml", lambda: f'{LAYER}sysctl: {{"a\\nb": c}}', "sysctl"),
    "a device that climbs": ("x.yaml", lambda: f"{LAYER}network: {{ethernets: {{../x: {{dhcp4: true}}}}}}", "../x"),
    "a tag": ("x.yaml", lambda: f"{LAYER}values: !!python/object/apply:os.system [id]", "tag"),
    "a tag of a set": ("x.yaml", lambda: f"{LAYER}values: !!set {{a}}", "tag"),
    "a merge key": ("x.yaml", lambda: f"{LAYER}values: {{<<: {{a: b}}}}", "merge key"),
    "a key that is a list": ("x.yaml", lambda: f"{LAYER}values: {{? [a] : b}}", "a key must be a string"),
    "a giant key": ("x.yaml", lambda: f"{LAYER}services: {{? {'k' * 1000000} : {{}}}}", "a key has 1,000,000"),
    "a giant key in JSON": ("x.json", lambda: JSON % f'{{"{"k" * 1000000}": 1}}', "a key has 1,000,000"),
    "a long key that is unknown": ("x.yaml", lambda: f"{LAYER}? {'k' * 16000}\n: x\n", "kkk"),
    "a long label": ("x.yaml", lambda: f"{LAYER}match: {{? {'k' * 16000} : x}}", "match"),
    "a giant tag": ("x.yaml", lambda: f"{LAYER}values: !{'k' * 1000000} x", "tag"),
    "a giant scalar": ("x.yaml", lambda: service(f"description: {'x' * 3000000}"), "1000000"),
    "a giant file": ("x.yaml", lambda: "#" * (5 << 20), "a file of documents has"),
    "a thousand unknown keys": (
        "x.yaml",
        lambda: f"{LAYER}services: {{x: {{{', '.join(f'comand{n}: x' for n in range(1000))}}}}}",
        "unknown key",
    ),
    "hundreds of references to services that are missing": (
        "x.yaml",
        lambda: many(500, f"  {'a' * 40}{{0}}: {{{{command: /bin/a, requires: [{'a' * 40}-{{0}}]}}}}\n"),
        "is not a service, milestone, path or unit",
    ),
    "a hundred thousand services": ("x.yaml", lambda: many(100000, "  a{}: {{}}\n"), "more than 50,000 values"),
    "a hundred thousand values": (
        "x.yaml",
        lambda: LAYER + "values:\n" + "".join(f"  a{n}: x\n" for n in range(100000)),
        "more than 50,000 values",
    ),
    "a hundred thousand documents": ("x.yaml", lambda: "---\nordain: v1\n" * 100000, "kind is missing"),
    "a hundred thousand anchors": (
        "x.yaml",
        lambda: LAYER + "values:\n" + "".join(f"  a{n}: &a{n} x\n" for n in range(100000)),
        "more than 50,000 values",
    ),
    "a duplicate key": ("x.yaml", lambda: f"{LAYER}name: y\n", "duplicate key"),
    "a duplicate key in JSON": ("x.json", lambda: JSON % '{"a": 1, "a": 2}', "duplicate key"),
    "a glob of stars": ("x.yaml", lambda: f"{LAYER}match: {{hostname: '{'*a' * 30000}b'}}\nvalues: {{a: b}}\n", ""),
    "a range without end": ("x.yaml", lambda: f"{LAYER}match: {{version: '{'>=1 ' * 50000}'}}\n", ""),
    "a template that multiplies": ("x.yaml", lambda: template("{{ 'a' * 10**9 }}"), "longer than"),
    "a template that never ends": (
        "x.yaml",
        lambda: template("{% for a in range(60000) %}{% for b in range(60000) %}{% endfor %}{% endfor %}"),
        "too many steps",
    ),
    "a template that pads": ("x.yaml", lambda: template("{{ '%999999999d' % 1 }}"), "widths up to"),
    "a template that escapes": ("x.yaml", lambda: template("{{ ''.__class__.__mro__[1] }}"), "__class__"),
    "a template that calls itself": (
        "x.yaml",
        lambda: template("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"),
        "Macro statement is not allowed",
    ),
    "a template that is deep": ("x.yaml", lambda: template("{{ " + "(" * 5000), "nested too deep"),
    "a template that is long": ("x.yaml", lambda: template("{{ 1 }}" * 9000), "tokens"),
    "a template of a file": (
        "x.yaml",
        lambda: f'{LAYER}files: {{/etc/x: {{template: "{{{{ range(10**9)|list }}}}"}}}}',
        "longer than",
    ),
    "a template that forges a sentinel": ("x.yaml", lambda: template("{{ '\\x00i\\x00' }}"), "NUL"),
    "a row that multiplies": ("x.yaml", lambda: row("{{ 'a' * 10**9 }}"), "longer than"),
    "a row that escapes": ("x.yaml", lambda: row("{{ path.__globals__ }}"), "__globals__"),
    "a row that climbs": ("x.yaml", lambda: row("../../x.service"), "not a unit name"),
    "a row that is a line": ("x.yaml", lambda: row("a\nb.service"), "not a unit name"),
    "a row of laughs": (
        "x.yaml",
        lambda: laughs(30).replace("kind: Layer", "kind: Transform").replace("values", "paths"),
        "expands to more than",
    ),
    "a transform of a hundred thousand rows": (
        "x.yaml",
        lambda: TRANSFORM + "users:\n" + "".join(f"  a{n}: b\n" for n in range(100000)),
        "more than 50,000 values",
    ),
    "a path of a program that climbs": (
        "x.yaml",
        lambda: f"{TRANSFORM}paths: {{python: /usr/../x}}\n---\n{USES_A_PATH}",
        "/../",
    ),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-P", str(HERE / "support/programs/hostile_worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.terminate()


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_document_gets_a_named_problem_in_time(
    name: str, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    called, make, says = CASES[name]
    content = make()
    path = tmp_path / called
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{path}\n")
    worker.stdin.flush()
    told: dict[str, Any] = json.loads(worker.stdout.readline())

    assert told["status"] == 0, told
    assert says in "\n".join(told["problems"]), told
    if says:
        assert told["problems"]


def test_a_name_with_a_line_end_forges_no_line_of_a_log() -> None:
    text = 'ordain: v1\nkind: Layer\nname: a\nservices: {"x\\nagent: all is well\\e[2J": {command: /bin/true}}\n'
    _, problems = read("a\n.yaml", text.encode())
    shown = str(problems[0])

    assert shown.startswith(r"a\x0a.yaml:4:12: error: services/x\x0aagent: all is well\x1b[2J: ")
    assert shown.isprintable()

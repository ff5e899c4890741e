"""Documents are read into canonical form, and every kind of wrong input is reported with its place and a remedy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.model import Kind, Leaf, Template
from support.samples.document_samples import BAD_DOCUMENTS, HEAD


def problems(text: str | bytes, path: str = "x.yaml") -> list[str]:
    documents, found = read(path, text.encode() if isinstance(text, str) else text)
    assert not (found and documents)
    return [str(problem) for problem in found]


SYNTAX = {
    "tabs": ("\tordain: v1", "x.yaml:1:1: error: a tab in the indentation (YAML is indented with spaces"),
    "open bracket": (
        "a: [1,\n b",
        "x.yaml:3:1: error: the [ … ] that begins in line 1 is not closed, or lacks a comma",
    ),
    "colon in a plain scalar": (HEAD + "a: b: c", "x.yaml:4:5: error: mapping values are not allowed"),
    "a duplicate key": (HEAD + "name: y", "x.yaml:4:1: error: duplicate key 'name' (it is also in line 3"),
    "a tag": (HEAD + "values: {a: !!str 1}", "x.yaml:4:13: error: the tag tag:yaml.org,2002:str is not allowed"),
    "a merge key": (
        HEAD + "values: {a: &a {b: c}, d: {<<: *a}}",
        "x.yaml:4:28: error: merge keys (<<) are not allowed",
    ),
    "an alias of itself": (HEAD + "values: {a: &a [*a]}", "x.yaml:4:17: error: the alias *a has no complete anchor"),
    "nesting": ("[" * 100, "x.yaml:1:66: error: nested deeper than 64 levels"),
    "a control character": (HEAD + "values: {a: \x07}", "x.yaml:4:13: error: the character U+0007 is not allowed"),
    "a list": ("[1]", "x.yaml:1:1: error: a document must be a map that begins with `ordain: v1`"),
    "no kind": (
        "ordain: v1",
        "x.yaml:1:1: error: the key kind is missing (begin the document with the lines `kind: Layer`, `name: NAME`",
    ),
    "another kind": ("kind: Layr", "x.yaml:1:7: error: kind: unknown kind 'Layr' (did you mean Layer?)"),
    "another version": (
        "ordain: v2\nkind: Layer\nname: x",
        "x.yaml:1:9: error: ordain: expected v1, found the string 'v2'",
    ),
    "no name": ("ordain: v1\nkind: Layer", "x.yaml:1:1: error: the key name is missing"),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_a_syntax_error_is_reported_at_its_place(name: str) -> None:
    text, expected = SYNTAX[name]
    (found,) = problems(text)
    assert found.startswith(expected)


@pytest.mark.parametrize("text", BAD_DOCUMENTS)
def test_a_schema_error_is_reported(text: str) -> None:
    expected = BAD_DOCUMENTS[text]
    found = problems(HEAD + text[1:-1])
    if expected is None:
        assert found == []
    else:
        (only,) = found
        assert expected in only


def test_json_is_read_by_the_grammar_of_json() -> None:
    text = '{\n\t"ordain": "v1",\n\t"kind": "Layer",\n\t"name": "x",\n\t"values": {"a": "\\ud83d\\ude00", "n": 1.50}}'
    (document,), found = read("x.json", text.encode())
    assert found == ()
    assert plain(document.sections) == {"values": {"a": "\U0001f600", "n": 1.5}}
    assert problems('{"a": 1,}', "x.json") == [
        "x.json:1:9: error: expected a key in double quotes [Syntax]",
    ]


@pytest.mark.parametrize("path", ["a.json", "credential"])
def test_an_array_of_json_is_several_documents(path: str) -> None:
    found, problems = read(
        path, b'[{"ordain": "v1", "kind": "Layer", "name": "a"},\n {"ordain": "v1", "kind": "Layer", "name": "b"}]'
    )
    assert ([(d.name, d.where.line) for d in found], problems) == ([("a", 1), ("b", 2)], ())


def test_all_problems_of_all_documents_are_reported_at_once() -> None:
    text = HEAD + "serices: {}\n---\n" + HEAD + "services: {web: {nice: 99, user: [a]}}\n---\n[\n"
    assert [problem.partition(" error: ")[0] for problem in problems(text)] == [
        "x.yaml:4:1:",
        "x.yaml:9:24:",
        "x.yaml:9:34:",
        "x.yaml:12:1:",
    ]


def test_invalid_utf8_is_found_at_its_column() -> None:
    (found,) = problems(b"ordain: v1\nname: \xc3\xa4\xff\n")
    assert found.startswith("x.yaml:2:8: error: the byte 0xff is not valid UTF-8")


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    (found,) = problems(b"#" * 10_000_000)
    assert "the file has 10,000,000 bytes; a file of documents has at most 4,194,304" in found


def test_anchors_cannot_multiply_their_content() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (found,) = problems("\n".join(lines))
    assert "expands to more than 50,000 values" in found


def test_a_scalar_that_yaml_11_reads_differently_is_a_string() -> None:
    text = HEAD + "values: {a: no, b: 0644, c: 12:30, d: 2001-12-14, e: 0x1f, f: 22.10, g: true, h: ~}"
    (document,), _ = read("x.yaml", text.encode())
    assert plain(document.sections.branch("values")) == {
        "a": "no", "b": "0644", "c": "12:30", "d": "2001-12-14", "e": 31, "f": 22.1, "g": True, "h": None,
    }  # fmt: skip


def test_a_number_in_place_of_a_string_keeps_its_text() -> None:
    (document,), _ = read("x.yaml", (HEAD + "services: {web: {description: 22.10}}").encode())
    assert document.sections.branch("services").branch("web").value("description") == "22.10"


def test_the_canonical_form_has_no_shorthand() -> None:
    text = (
        HEAD
        + """
services:
  web:
    command: /bin/a 'b c'
    before-start: [/bin/x, [/bin/y, {template: z}]]
    after: [a, b]
    sandbox: strict
    schedule: daily
    instances: [1, two]
    listen: {stream: 80}
"""
    )
    (document,), _ = read("x.yaml", text.encode())
    assert plain(document.sections.branch("services").branch("web")) == {
        "command": [["/bin/a", "b c"]],
        "before-start": [["/bin/x"], ["/bin/y", {"template": "z"}]],
        "after": {"a": True, "b": True},
        "sandbox": {"level": "strict"},
        "schedule": {"calendar": ["daily"]},
        "instances": {"1": {}, "two": {}},
        "listen": {"stream": ["80"]},
    }


def test_every_leaf_has_its_place() -> None:
    (document,), _ = read("x.yaml", (HEAD + "services:\n  web:\n    user: www\n").encode())
    leaf = document.sections.branch("services").branch("web").leaf("user")
    assert isinstance(leaf, Leaf)
    where = leaf.where
    assert (where.path, where.line, where.column, where.pointer) == ("x.yaml", 6, 11, "services/web/user")
    assert leaf.layer == "x"


def test_templates_stay_templates() -> None:
    (document,), _ = read("x.yaml", (HEAD + "services: {web: {user: {template: '{{ x }}'}}}").encode())
    assert document.sections.branch("services").branch("web").value("user") == Template("{{ x }}")


@pytest.mark.parametrize("kind", Kind)
def test_the_published_schema_is_a_json_schema(kind: Kind) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert json.loads(json.dumps(schema(kind))) == schema(kind)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["web", "command", "limits", "after", "files", "not", "template", "a/b"]), inner
        )
    ),
    max_leaves=20,
)


@pytest.mark.thorough
@settings(deadline=None, max_examples=150)
@given(
    section=st.sampled_from(["services", "mounts", "units", "values", "match", "users", "files", "network"]),
    value=_JSON,
)
def test_no_json_value_makes_a_traceback(section: str, value: object) -> None:
    document = {"ordain": "v1", "kind": "Layer", "name": "x", section: value}
    documents, found = read("x.json", json.dumps(document).encode())
    assert bool(documents) != bool(found)
    assert all(problem.where.line for problem in found)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_a_traceback(data: bytes) -> None:
    for path in ("x.yaml", "x.json"):
        _, found = read(path, data)
        assert all(problem.what for problem in found)


@pytest.mark.parametrize("text", ["kind: Transform\nordain: v1\n", "kind: Transform\nname: x\n"])
def test_a_transform_without_a_name_or_a_version_is_reported(text: str) -> None:
    documents, problems = read("a.yaml", text.encode())

    assert documents == ()
    assert "is missing" in problems[0].what


LAYER = "ordain: v1\nkind: Layer\nname: {}\nvalues: {{a: 1}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + LAYER.format("a") + "---\n" + LAYER.format("b"),
        LAYER.format("a") + "\ufeff---\n" + LAYER.format("b"),
        LAYER.format("a") + "---\n\ufeff" + LAYER.format("b"),
        "---\n\ufeff" + LAYER.format("a") + "...\n\ufeff---\r\n" + LAYER.format("b"),
        "\ufeff# a comment\n" + LAYER.format("a") + "---\n" + LAYER.format("b"),
    ],
)
def test_a_byte_order_mark_may_begin_a_document(text: str) -> None:
    documents, problems = read("x.yaml", text.encode())

    assert problems == ()
    assert [document.name for document in documents] == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        ("x.yaml", LAYER.format("a") + "\ufeffhost: {}\n", "x.yaml:5:1"),
        ("x.yaml", LAYER.format("a") + "host: {\ufeffhostname: x}\n", "x.yaml:5:8"),
        ("x.yaml", LAYER.format("\ufeffa"), "x.yaml:3:7"),
        ("x.json", "[1, \ufeff2]", "x.json:1:5"),
    ],
)
def test_a_byte_order_mark_elsewhere_is_named(path: str, text: str, place: str) -> None:
    _, (problem,) = read(path, text.encode())

    assert str(problem.where) == place
    assert "byte order mark (U+FEFF)" in problem.what


def test_a_byte_order_mark_in_quotes_is_a_part_of_the_text() -> None:
    (document,), problems = read("x.yaml", f'{LAYER.format("a")}files: {{/a: {{content: "\ufeffa"}}}}'.encode())

    assert problems == ()
    assert document.sections.branch("files").branch("/a").value("content") == "\ufeffa"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_named(encoding: str) -> None:
    _, (problem,) = read(
        "x.yaml", ("\ufeff" if encoding.endswith("be") else "").encode(encoding) + LAYER.encode(encoding)
    )

    assert problem.what == "the file is UTF-16"

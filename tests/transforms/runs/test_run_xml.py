"""The XML form of Runs: the same documents both ways, the same bytes, and no entity."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.text.json_reader import read as read_json
from ordain.transforms.document.text.node import Node, Unreadable
from ordain.transforms.runs.run_draft import node_yaml
from ordain.transforms.runs.run_xml import NAMESPACE, read_xml, read_xml_nodes, write_xml

DOCUMENTS = sorted((Path(__file__).parents[2] / "runs/documents").glob("*.yaml"))
HEAD = f'<run xmlns="{NAMESPACE}"><name>a</name>'
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE run [<!ENTITY a "aaaaaaaaaa">{}]>' + HEAD + "<description>&j;</description></run>"
)
LAUGHS = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
ATTACKS = {
    "a billion laughs": BOMB.format(LAUGHS),
    "quadratic blowup": BOMB.format(f'<!ENTITY j "{"a" * 1000}">'),
    "an external entity": BOMB.format('<!ENTITY j SYSTEM "file:///etc/passwd">'),
    "a parameter entity": BOMB.format('<!ENTITY % p SYSTEM "http://localhost/x.dtd"> %p;'),
    "an external document type": f'<!DOCTYPE run SYSTEM "http://localhost/x.dtd">{HEAD}</run>',
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_survives_the_way_to_xml_and_back_with_the_same_bytes(path: Path) -> None:
    nodes = list(read_nodes(path.name, path.read_bytes()))

    text = write_xml(nodes)
    back = list(read_xml_nodes("run.xml", text.encode()))

    assert [node.plain() for node in back] == [node.plain() for node in nodes]
    assert write_xml(back) == text
    documents, problems = read_xml("run.xml", text.encode())
    assert (len(documents), problems) == (len(nodes), ())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_xml_has_the_same_bytes_after_a_way_through_yaml(path: Path) -> None:
    text = write_xml(read_nodes(path.name, path.read_bytes()))

    as_yaml = "---\n".join(map(node_yaml, read_xml_nodes("run.xml", text.encode())))
    again = list(read_nodes("run.yaml", as_yaml.encode()))

    assert write_xml(again) == text
    assert "---\n".join(map(node_yaml, again)) == as_yaml


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.one_of(
        TEXT, st.booleans(), st.none(), st.integers(), st.sampled_from(["", "true", "null", "~", "1.50", " a ", "\r"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc item", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values=st.dictionaries(st.text("abcdef-", min_size=1, max_size=5), VALUES, max_size=3), text=TEXT)
def test_any_values_survive_the_way_to_xml_and_back(values: dict[str, object], text: str) -> None:
    import json

    node = read_json(
        "a.json", json.dumps({"ordain": "v1", "kind": "Run", "name": "a", "values": values, "description": text})
    )

    written = write_xml([node])
    (back,) = read_xml_nodes("run.xml", written.encode())

    assert back.plain() == node.plain()
    assert write_xml([back]) == written


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_document_type_and_every_entity_is_refused(attack: str) -> None:
    documents, problems = read_xml("run.xml", ATTACKS[attack].encode())

    assert documents == ()
    (problem,) = problems
    assert problem.code == "Syntax"
    assert "document type or an entity" in problem.what
    assert problem.where.line == 1
    assert problem.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<a", "not well-formed XML"),
        ("<a/>", "the root element <a> is not a Run"),
        (f'<run xmlns="{NAMESPACE}"/>', "a run without keys"),
        (f"{HEAD}<name>b</name></run>", "duplicate key 'name'"),
        (f"{HEAD}text<command>a</command></run>", "text beside elements"),
        (f"{HEAD}<entry>a</entry></run>", "<entry> without a name"),
        (f'{HEAD}<command kind="x">a</command></run>', "unknown attribute kind"),
        (f'{HEAD}<command type="number">a</command></run>', 'unknown attribute type="number"'),
        (f"{HEAD}<command><item>a</item><b>c</b></command></run>", "<item> beside keys"),
        (f'{HEAD}<command encoding="json">a</command></run>', "the text is not a JSON string"),
        (f'{HEAD}<command encoding="json">"\\ud800"</command></run>', "the text is not a JSON string"),
        (f"{HEAD}&undefined;</run>", "not well-formed XML"),
        ("<a>" * 100 + "</a>" * 100, "nested deeper"),
    ],
)
def test_wrong_xml_is_refused_with_its_place(text: str, what: str) -> None:
    _, (problem, *_) = read_xml("run.xml", text.encode())

    assert what in problem.what
    assert problem.where.line == 1


def test_a_wrong_key_in_xml_has_its_line_and_near_names() -> None:
    _, (problem,) = read_xml(
        "run.xml", f"{HEAD}\n<command>a</command>\n<resources><node>1</node></resources></run>".encode()
    )

    assert (problem.where.line, problem.where.pointer, problem.hint) == (3, "resources/node", "did you mean nodes?")


def test_a_key_that_xml_cannot_hold_is_an_error_and_not_another_key() -> None:
    where = next(iter(read_nodes("a.yaml", b"a: b"))).where
    node = Node(value={"environment": Node(value={"\x01": Node(value="a", where=where)}, where=where)}, where=where)

    with pytest.raises(ValueError, match="cannot hold the key"):
        write_xml([node])


def test_xml_that_is_too_large_is_refused() -> None:
    with pytest.raises(Unreadable, match="at most"):
        list(read_xml_nodes("run.xml", b"<" * ((4 << 20) + 1)))

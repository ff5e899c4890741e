"""Layers are merged by docs/design/documents.md, rules 6 to 8: each rule, and their laws as properties."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.transforms.document.keys.schema import sections
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.model import Branch, Document, Facts, Kind, Leaf, Tree
from ordain.transforms.resolve import merge as merge_module
from ordain.transforms.resolve.merge import MAX_HINTS, merge, rank
from ordain.transforms.resolve.resolve import certain_conflicts, resolve

FACTS = Facts(id="debian", version="12", systemd=252, hostname="m1", labels={"role": ("web",)})


def layers(*texts: str) -> tuple[Document, ...]:
    """Return the layers of ``HEADER | SECTIONS`` texts."""
    found: list[Document] = []
    for number, text in enumerate(texts):
        header, _, body = text.partition("|")
        name = chr(ord("a") + number)
        whole = f"{{ordain: v1, kind: Layer, name: {name}, {header}{', ' if header.strip() else ''}{body}}}"
        documents, problems = read(f"{name}.yaml", whole.encode())
        assert problems == ()
        found += documents
    return tuple(found)


def merged(*texts: str) -> object:
    resolved, _ = resolve(layers(*texts), FACTS, {})
    return plain(resolved.tree)


def codes(*texts: str) -> list[str]:
    try:
        _, problems = resolve(layers(*texts), FACTS, {})
    except Refused as refused:
        problems = refused.problems
    return sorted(problem.code for problem in problems)


def test_a_higher_tier_wins_whatever_the_order_of_the_files() -> None:
    assert merged("tier: site | values: {x: 1}", "| values: {x: 2, y: 3}") == {"values": {"x": 1, "y": 3}}


def test_within_a_tier_the_higher_weight_wins() -> None:
    assert merged("weight: 1 | values: {x: 1}", "weight: -1 | values: {x: 2}") == {"values": {"x": 1}}


def test_within_a_weight_the_closer_match_of_the_system_wins() -> None:
    texts = (
        "| values: {x: none}",
        'match: {os: debian, version: ">=12"} | values: {x: versioned}',
        "match: {os: debian} | values: {x: os}",
        "match: {id: debian} | values: {x: id}",
    )
    assert merged(*texts[:1]) == {"values": {"x": "none"}}
    assert merged(*texts[:2]) == {"values": {"x": "versioned"}}
    assert merged(texts[0], texts[2], texts[1]) == {"values": {"x": "versioned"}}
    assert merged(*texts) == {"values": {"x": "id"}}


def test_layers_add_to_sets_and_null_removes_a_member() -> None:
    assert merged("| services: {w: {after: [a, b]}}", "weight: 1 | services: {w: {after: {b: null, c: true}}}") == {
        "services": {"w": {"after": {"a": True, "c": True}}}
    }


def test_a_sequence_is_replaced_as_a_whole() -> None:
    assert merged("| services: {w: {command: [a, b]}}", "weight: 1 | services: {w: {command: c}}") == {
        "services": {"w": {"command": [["c"]]}}
    }


def test_a_key_of_an_exclusive_group_removes_the_others() -> None:
    assert merged(
        "| services: {w: {health: {tcp: a, within: 5s}}}", "weight: 1 | services: {w: {health: {http: b}}}"
    ) == {"services": {"w": {"health": {"within": "5s", "http": "b"}}}}


def test_null_removes_a_value_of_lower_layers() -> None:
    assert merged("| services: {w: {nice: 1}, x: {}}", "weight: 1 | services: {w: null}") == {"services": {"x": {}}}
    assert merged(
        "| services: {w: {nice: 1}}", "weight: 1 | services: {w: null}", "weight: 2 | services: {w: {umask: '022'}}"
    ) == {"services": {"w": {"umask": "022"}}}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("| values: {x: 1}", "| values: {x: 2}"),
        ("| values: {x: 1}", "| values: {x: null}"),
        ("| values: {x: {y: 1}}", "| values: {x: null}"),
        ("| values: {x: {y: 1}}", "| values: {x: 1}"),
        ("| services: {w: {health: {tcp: a}}}", "| services: {w: {health: {http: b}}}"),
        ("| services: {w: {credentials: {k: {file: /a}}}}", "| services: {w: {credentials: {k: {encrypted: /a}}}}"),
    ],
)
def test_different_values_of_equal_layers_are_a_conflict_in_either_order(one: str, two: str) -> None:
    assert "LayerConflict" in codes(one, two)
    assert "LayerConflict" in codes(two, one)


def test_the_same_value_of_equal_layers_is_not_a_conflict() -> None:
    assert codes("| values: {x: 1}", "| values: {x: 1}") == []


def test_a_conflict_below_a_higher_layer_is_still_reported() -> None:
    assert "LayerConflict" in codes("| values: {x: 1}", "| values: {x: 2}", "tier: site | values: {x: 3}")


def test_a_null_with_nothing_to_remove_is_a_warning_with_similar_names() -> None:
    _, problems = resolve(layers("| services: {web: {nice: 1}}", "weight: 1 | services: {wbe: null}"), FACTS, {})
    assert [(p.code, p.hint) for p in problems] == [("NullOfNothing", "did you mean web?")]


def test_a_null_is_not_taken_for_the_name_that_another_null_means() -> None:
    _, problems = resolve(layers("| files: {/etc/a1: null, /etc/a2: null}"), FACTS, {})
    assert {p.hint for p in problems} == {"remove this key"}


def test_only_the_first_of_thousands_of_nulls_are_compared_with_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def record(name: str, known: Iterator[str]) -> str:
        compared.append(name)
        return ""

    monkeypatch.setattr(merge_module, "did_you_mean", record)
    nulls = ", ".join(f"/etc/a{number}: null" for number in range(1000))
    _, problems = resolve(layers(f"| files: {{{nulls}}}"), FACTS, {})
    assert len(problems) == 1000
    assert len(compared) == MAX_HINTS


def test_a_leaf_that_is_overridden_on_all_machines_of_its_layer_is_a_warning() -> None:
    assert codes("match: {role: web} | values: {x: 1}", "tier: site | values: {x: 2}") == ["Overridden"]
    assert codes("| values: {x: 1}", "tier: site, match: {role: web} | values: {x: 2}") == []


def test_provenance_names_the_layer_the_line_and_the_overridden_values() -> None:
    resolved, _ = resolve(
        layers("| values: {x: 1}", "tier: site | values: {x: 2}", "tier: pool | values: {x: 3}"), FACTS, {}
    )
    leaf = resolved.tree.branch("values").leaf("x")
    assert leaf
    assert (leaf.layer, leaf.where.path, leaf.where.pointer) == ("c", "c.yaml", "values/x")
    assert [(old.layer, old.value) for old in leaf.overrode] == [("b", 2), ("a", 1)]


def test_two_documents_of_one_name_and_two_nodes_of_one_machine_are_refused() -> None:
    twice = read("x.yaml", b"{ordain: v1, kind: Layer, name: a}\n---\n{ordain: v1, kind: Layer, name: a}")[0]
    nodes = read(
        "x.yaml", b"{ordain: v1, kind: Node, name: m1}\n---\n{ordain: v1, kind: Node, name: x, match: {hostname: m*}}"
    )[0]
    for documents, code in ((twice, "Duplicate"), (nodes, "TwoNodes")):
        with pytest.raises(Refused) as refused:
            resolve(documents, FACTS, {})
        assert [p.code for p in refused.value.problems] == [code]


def test_conflicts_on_every_machine_are_certain() -> None:
    assert [p.code for p in certain_conflicts(layers("| values: {x: 1}", "| values: {x: 2}"))] == ["LayerConflict"]
    role = "match: {role: web} | values: {x: 1}"
    assert [p.code for p in certain_conflicts(layers(role, "| values: {x: 2}"))] == ["LayerConflict"]
    assert certain_conflicts(layers(role, "match: {role: db} | values: {x: 2}")) == ()
    assert certain_conflicts(layers(role, "weight: 1, match: {role: web, os: debian} | values: {x: 2}")) == ()
    assert certain_conflicts(layers("match: {os: debian} | values: {x: 1}", "| values: {x: 2}")) == ()


_names = st.sampled_from(["a", "b", "c"])
_leaves = st.integers(0, 2) | st.none()
_trees = st.recursive(_leaves, lambda inner: st.dictionaries(_names, inner, max_size=3), max_leaves=6)
_sections = st.fixed_dictionaries(
    {
        "values": st.dictionaries(_names, _trees, max_size=3),
        "services": st.dictionaries(
            _names,
            st.none()
            | st.fixed_dictionaries(
                {},
                optional={
                    "nice": st.integers(0, 2) | st.none(),
                    "after": st.lists(_names, unique=True) | st.dictionaries(_names, st.sampled_from([True, None])),
                    "health": st.none()
                    | st.sampled_from([{"tcp": "a"}, {"http": "b"}, {"tcp": None}, {"within": "5s"}]),
                },
            ),
            max_size=2,
        ),
    }
)
_documents = st.lists(st.tuples(st.sampled_from(["default", "role", "site"]), st.integers(0, 1), _sections), max_size=4)


def _read(rows: list[tuple[str, int, object]]) -> tuple[Document, ...]:
    import json

    found: list[Document] = []
    for number, (tier, weight, body) in enumerate(rows):
        assert isinstance(body, dict)
        head = {"ordain": "v1", "kind": "Layer", "name": f"l{number}", "tier": tier, "weight": weight}
        documents, problems = read(f"l{number}.json", json.dumps({**head, **body}).encode())
        assert problems == ()
        found += documents
    return tuple(found)


def _leaves_of(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    else:
        for child in tree.children.values():
            yield from _leaves_of(child)


@settings(deadline=None, max_examples=200)
@given(_documents)
@pytest.mark.thorough
def test_the_order_of_documents_does_not_matter(rows: list[tuple[str, int, object]]) -> None:
    documents = _read(rows)
    outcomes = set()
    for order in itertools.islice(itertools.permutations(documents), 8):
        tree, problems = merge(((d, rank(d, (0, 0))) for d in order), sections(Kind.LAYER))
        wrong = bool(only_errors(problems))
        outcomes.add(str(plain(tree)) if not wrong else "conflict")
    assert len(outcomes) == 1


@settings(deadline=None, max_examples=100)
@given(_documents)
@pytest.mark.thorough
def test_the_order_of_reading_does_not_decide_a_conflict(rows: list[tuple[str, int, object]]) -> None:
    """The same documents get other file names, so that they are merged in another order."""
    forth, back = _read(rows), _read(rows[::-1])
    outcomes = []
    for documents in (forth, back):
        tree, problems = merge(((d, rank(d, (0, 0))) for d in documents), sections(Kind.LAYER))
        outcomes.append("conflict" if only_errors(problems) else str(plain(tree)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.thorough
@settings(deadline=None, max_examples=100)
@given(_documents)
def test_a_layer_merged_with_itself_is_unchanged_and_provenance_is_complete(
    rows: list[tuple[str, int, object]],
) -> None:
    documents = _read(rows)
    tree, _ = merge(((d, rank(d, (0, 0))) for d in documents), sections(Kind.LAYER))
    names = {document.name for document in documents}
    for leaf in _leaves_of(tree):
        assert leaf.layer in names
        assert leaf.where.path == f"{leaf.layer}.json"
        assert leaf.where.line
        assert {old.layer for old in leaf.overrode} <= names
    if documents:
        once, _ = merge([(documents[0], rank(documents[0], (0, 0)))], sections(Kind.LAYER))
        twice, wrong = merge([(documents[0], rank(documents[0], (0, 0)))] * 2, sections(Kind.LAYER))
        assert (plain(once), only_errors(wrong)) == (plain(twice), ())
    assert isinstance(tree, Branch)

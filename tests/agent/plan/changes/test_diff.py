"""The changes between two generations, and the identity of a generation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ordain.agent.generation import digest, generation, member_from_json
from ordain.agent.model import Change, Effect, Generation, to_json
from ordain.agent.plan.changes.diff import FRAGMENT, diff, needs_reload, placed_units
from ordain.transforms.artifacts import UnitFile, UnitLink
from ordain.transforms.errors import Where
from ordain.transforms.model import Branch, Compiled, Facts, Leaf, Member, OnChange, Resolved, Template, Wanted


def placed(files: dict[str, str]) -> Generation:
    """Return a generation with files by path; ``-> TARGET`` is a link."""
    return Generation(
        artifacts=tuple(
            UnitLink(path=path, target=text[3:]) if text.startswith("-> ") else UnitFile(path=path, content=text)
            for path, text in sorted(files.items())
        )
    )


def changes(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]]:
    return [(c.unit, c.section, c.key, c.old, c.new) for c in diff(placed(old), placed(new))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("[Service]\nUser=a\n", "# web.yaml:1\n[Service]\n\n  User = a\n; b\n", id="comments and blanks"),
        pytest.param("[Service]\nUser=a\nNice=1\n", "[Service]\nNice=1\nUser=a\n", id="the order of keys"),
        pytest.param("[Service]\nUser=a\n", "[Unit]\nX-Ordain-Item=x\n[Service]\nUser=a\n", id="keys of our own"),
        pytest.param("[Service]\nUser=a\n", "[Service]\nUser=a\n[X-Other]\nA=b\n", id="sections not for PID 1"),
        pytest.param("[Service]\nUser=a\n", "[Service]\nUser=b\nUser=a\n", id="a value that a later one replaces"),
        pytest.param("[Unit]\nAfter=a\n", "[Unit]\nAfter=b\nAfter=\nAfter=a\n", id="values that a reset removes"),
        pytest.param("[Service]\nExecStart=a b\n", "[Service]\nExecStart=a\\\nb\n", id="a continued line"),
    ],
)
def test_a_difference_that_pid_1_ignores_is_not_a_change_but_is_placed(old: str, new: str) -> None:
    before, after = {"normal/web.service": old}, {"normal/web.service": new}

    assert changes(before, after) == []
    assert needs_reload(placed(before), placed(after))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("User=a", "User=b", ("User", ("a",), ("b",)), id="a value"),
        pytest.param("Nice=1", "Nice=1\nUser=b", ("User", (), ("b",)), id="a key more"),
        pytest.param("Nice=1\nUser=a", "Nice=1", ("User", ("a",), ()), id="a key less"),
        pytest.param("Nice=1\nUser=a", "Nice=1\nUser=a\nUser=", ("User", ("a",), ()), id="a key reset"),
        pytest.param(
            "ExecStart=a\nExecStart=b",
            "ExecStart=b\nExecStart=a",
            ("ExecStart", ("a", "b"), ("b", "a")),
            id="the order of a list",
        ),
        pytest.param("Environment=A", "Environment=A\nEnvironment=A", ("Environment", ("A",), ("A", "A")), id="twice"),
    ],
)
def test_a_difference_that_pid_1_reads_is_a_change(
    old: str, new: str, expected: tuple[str, tuple[str, ...], tuple[str, ...]]
) -> None:
    found = changes({"normal/web.service": f"[Service]\n{old}\n"}, {"normal/web.service": f"[Service]\n{new}\n"})

    assert found == [("web.service", "Service", *expected)]


def test_drop_ins_follow_their_unit_file_in_the_order_of_names() -> None:
    one = {"normal/a.service": "[Service]\nUser=a\n", "normal/a.service.d/10-x.conf": "[Service]\nUser=b\n"}
    two = {"normal/a.service": "[Service]\nUser=b\n", "normal/a.service.d/10-x.conf": "[Service]\nUser=b\n"}
    other = {**one, "normal/a.service.d/00-y.conf": "[Service]\nUser=c\n"}
    last = {**one, "normal/a.service.d/20-y.conf": "[Service]\nUser=c\n"}

    assert changes(one, two) == []
    assert changes(one, other) == []
    assert changes(one, last) == [("a.service", "Service", "User", ("b",), ("c",))]


def test_an_instance_reads_its_template_and_the_drop_ins_of_both() -> None:
    template = {
        "normal/t@.service": "[Service]\nUser=a\n",
        "normal/t@.service.d/10-x.conf": "[Service]\nNice=1\n",
        "normal/t@1.service.d/00-ordain.conf": "[Service]\nUser=b\n",
        "normal/x.target.wants/t@2.service": "-> ../t@.service",
    }

    found = placed_units(placed(template))

    assert found.keys() == {"t@1.service", "t@2.service"}
    assert found["t@1.service"].values == {("Service", "User"): ("b",), ("Service", "Nice"): ("1",)}
    assert found["t@2.service"].last("Service", "User") == "a"
    assert found["t@2.service"].fragment == "normal/t@.service"


def test_a_drop_in_of_an_instance_replaces_the_one_with_the_same_name_of_the_template() -> None:
    found = placed_units(
        placed(
            {
                "normal/t@.service.d/00-ordain.conf": "[Service]\nNice=1\nUser=a\n",
                "normal/t@1.service.d/00-ordain.conf": "[Service]\nUser=b\n",
            }
        )
    )

    assert found["t@1.service"].values == {("Service", "User"): ("b",)}


def test_drop_ins_of_a_template_and_its_instance_are_sorted_together() -> None:
    found = placed_units(
        placed(
            {
                "normal/t@.service": "[Service]\nUser=a\n",
                "normal/t@.service.d/20-x.conf": "[Service]\nUser=b\n",
                "normal/t@1.service.d/10-y.conf": "[Service]\nUser=c\n",
            }
        )
    )

    assert found["t@1.service"].last("Service", "User") == "b"


def test_the_early_one_of_two_drop_ins_with_one_name_counts() -> None:
    found = placed_units(
        placed(
            {
                f"{where}/web.service.d/00-ordain.conf": f"[Service]\nUser={where}\n"
                for where in ("normal", "early", "late")
            }
        )
    )

    assert found["web.service"].last("Service", "User") == "early"


def test_links_only_change_enablement() -> None:
    new = {
        "normal/a.target.wants/web.service": "-> ../web.service",
        "early/b.target.wants/web.service": "-> /dev/null",
        "normal/c.target.requires/web.service": "-> ../web.service",
        "normal/www.service": "-> web.service",
    }

    found = diff(placed({}), placed(new))

    assert {(c.key, c.new) for c in found} == {
        ("WantedBy", ("a.target", "not b.target")),
        ("RequiredBy", ("c.target",)),
        ("Alias", ("www.service",)),
    }
    assert {c.unit for c in found} == {"web.service"}
    assert {c.effect for c in found} == {Effect.NOTHING}


def test_a_unit_that_is_added_removed_or_masked_is_one_change() -> None:
    unit = {"normal/web.service": "[Service]\nUser=a\nNice=1\n"}
    mask = {"early/web.service": "-> /dev/null"}
    early = {"early/web.service": unit["normal/web.service"]}

    assert changes({}, unit) == [("web.service", "", FRAGMENT, (), ("normal/web.service",))]
    assert changes(unit, {}) == [("web.service", "", FRAGMENT, ("normal/web.service",), ())]
    assert changes(unit, mask) == [("web.service", "", FRAGMENT, ("normal/web.service",), ("/dev/null",))]
    [moved] = diff(placed(unit), placed(early))
    assert moved.effect is Effect.MANAGER


def test_an_early_mask_hides_a_unit_file_in_another_directory() -> None:
    both = {"early/web.service": "-> /dev/null", "normal/web.service": "[Service]\nUser=a\n"}
    late = {"late/web.service": "[Service]\nUser=l\n", "normal/web.service": "[Service]\nUser=n\n"}

    assert placed_units(placed(both))["web.service"].masked
    assert placed_units(placed(late))["web.service"].last("Service", "User") == "n"


def test_the_hash_of_a_unit_ignores_comments() -> None:
    a, commented, b = (
        placed_units(placed({"normal/w.service": text}))["w.service"].hash
        for text in ("[Service]\nUser=a\n", "# x\n[Service]\nUser=a\n", "[Service]\nUser=b\n")
    )

    assert a == commented != b


def test_files_that_are_not_units_change_no_unit_but_need_a_reload() -> None:
    new = placed({"/etc/web.conf": "x"})

    assert diff(placed({}), new) == ()
    assert needs_reload(placed({}), new)


def leaf(value: object, line: int, *overrode: Leaf) -> Leaf:
    return Leaf(value=value, where=Where(path="web.yaml", line=line), layer="web", overrode=overrode)  # type: ignore[arg-type]


TREE = Branch(
    children={
        "services": Branch(
            children={
                "web": Branch(
                    children={
                        "command": leaf((("/bin/web", Template("{{ facts.arch }}")),), 3),
                        "user": leaf("www", 4, leaf("web", 9)),
                    }
                ),
                "ssh": Branch(where=Where(path="ssh.yaml", line=2), layer="ssh"),
            }
        ),
        "files": Branch(children={"/etc/a~b": Branch(children={"mode": leaf("0644", 7)})}),
    }
)
ARTIFACTS = (UnitFile(path="normal/b.service", content="x"), UnitFile(path="normal/a.service", content="y"))
MEMBERS = (
    Member(unit="b.service", item="services/b", wanted=Wanted.MASKED, ours=True),
    Member(unit="a.service", item="services/a", wanted=Wanted.PRESENT, ours=False, on_change=OnChange.NONE),
)


def compiled(tree: Branch) -> Compiled:
    resolved = Resolved(tree=tree, facts=Facts(id="debian", systemd=252))
    return Compiled(resolved=resolved, artifacts=ARTIFACTS, members=MEMBERS)


def test_a_generation_holds_the_document_and_the_place_of_each_value() -> None:
    found = generation(compiled(TREE), 7)

    assert found.number == 7
    assert found.document == {
        "files": {"/etc/a~b": {"mode": "0644"}},
        "services": {"ssh": {}, "web": {"command": [["/bin/web", {"template": "{{ facts.arch }}"}]], "user": "www"}},
    }
    assert found.provenance.keys() == {
        "files/~1etc~1a~0b/mode",
        "services/ssh",
        "services/web/command",
        "services/web/user",
    }
    assert found.provenance["services/web/user"] == {
        "layer": "web",
        "path": "web.yaml",
        "line": 4,
        "overrode": [{"layer": "web", "path": "web.yaml", "line": 9, "value": "web"}],
    }


def test_the_identity_does_not_depend_on_places_in_the_documents() -> None:
    moved = Branch(children={**TREE.children, "values": Branch(where=Where(line=99))})
    again = Branch(children={**TREE.children, "values": Branch(where=Where(line=1))})

    assert generation(compiled(moved)).hash == generation(compiled(again)).hash
    assert generation(compiled(moved)).hash != generation(compiled(TREE)).hash
    assert generation(compiled(TREE), 1).hash == generation(compiled(TREE), 2).hash


def test_the_identity_depends_on_every_part_but_not_on_their_order() -> None:
    one = [
        digest({}, ARTIFACTS, MEMBERS),
        digest({"a": 1}, ARTIFACTS, MEMBERS),
        digest({}, ARTIFACTS[:1], MEMBERS),
        digest({}, (ARTIFACTS[0], replace(ARTIFACTS[1], mode=0o600)), MEMBERS),
        digest({}, ARTIFACTS, MEMBERS[:1]),
    ]

    assert all(a != b for a, b in itertools.combinations(one, 2))
    assert digest({}, ARTIFACTS[::-1], MEMBERS[::-1]) == one[0]


def test_a_member_is_read_back_from_json() -> None:
    assert [member_from_json(to_json(m)) for m in MEMBERS] == list(MEMBERS)
    with pytest.raises(ValueError, match="sleeping"):
        member_from_json({**to_json(MEMBERS[0]), "wanted": "sleeping"})


def test_a_change_is_plain_data() -> None:
    change = Change(unit="a.service", section="Service", key="User", old=("a",), new=("b",))

    assert to_json(change) == {
        "unit": "a.service",
        "section": "Service",
        "key": "User",
        "old": ["a"],
        "new": ["b"],
        "effect": "restart",
        "artifact": "",
        "causes": [],
    }

"""A compile with a memo gives the same bytes as one without, after any edit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.agent.compile.compile_cache import MachineInputs
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.model import Generation
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.errors import Refused
from ordain.transforms.memo import Memo, identical
from ordain.transforms.model import Installed, InstalledUnit, MachineAccounts

PLAIN = "{command: [/bin/a], environment: {A: 1}}"
SERVICE = (
    "",
    PLAIN,
    "{command: [/bin/a], type: notify-reload}",
    "{command: [/bin/a], environment: {B: 1, A: 1}}",
    "{command: [/bin/a], systemd: {Service: {CPUWeight: 1}}}",
    '{command: [/bin/a], listen: {stream: ["80"]}}',
    "{command: [/bin/a], instances: {x: {}, y: {}}}",
    "{command: [/bin/a], after: [two], requires: [one]}",
    "{command: [/bin/a], before: [ssh, tow, network]}",
    "{command: [/bin/a, {template: '{{ values.v }} {{ values.m | join }} {{ facts.hostname }}'}]}",
    "{command: [/bin/a, {template: '{{ path(\"tool\") }}'}]}",
    "{command: [/bin/a], reload: [SIGHUP], files: {/srv/f: {template: '{{ labels.role }}'}}}",
    "{command: [/bin/a], unit: null}",
    "{unit: one.service, environment: {A: 1}}",
    "{state: masked, command: [/bin/a]}",
    "{nice: 5}",
)
CHOICES = {
    "one": SERVICE,
    "two": SERVICE,
    "three": SERVICE,
    "ssh": ("", "{state: running}", "{uses: {/etc/x: restart}}", "{nice: 5, after: [one]}"),
    "over": (
        "",
        "one: {nice: 5}",
        "one: {environment: {A: null}}",
        "two: {environment: {A: 1}}",
        "one: {after: [two]}",
    ),
    "lines": ("", "\n"),
    "value": tuple(
        f"{{v: {v}, m: {m}}}" for v in (1, "true", '"1"') for m in ("{a: 1, b: 2}", "{b: 2, a: 1}", "[1, x]")
    ),
    "mounts": ("", "/srv: {what: /dev/a, type: ext4}", "/srv: {what: 'a:/b', type: nfs}"),
    "transform": (
        "",
        "paths: {tool: /usr/bin/tool, kill: /usr/bin/kill}",
        "paths: {tool: {template: '/{{ values.v }}'}}",
        "services: {one: {unit: other.service}, ssh: {unit: two.service}}",
        "services: {three: {unit: 3}, ssh: {config: /etc/x}}",
        "services: {tow: {unit: tow.service}}",
        "nonsense: {}",
    ),
    "hostname": ("m1", "m2"),
    "role": ("web", "db"),
    "systemd": ("252", "257"),
    "installed": ("", "one.service", "ssh.service", "two.service"),
}
edits = st.sampled_from(sorted(CHOICES)).flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(CHOICES[key])))


def texts(state: dict[str, str]) -> list[tuple[str, bytes]]:
    """Return two layers, one above the other, with the values that templates read."""
    services = "\n".join(f"  {name}: {state[name]}" for name in ("one", "two", "three", "ssh") if state[name])
    header = "ordain: v1\nkind: Layer\nname: "
    layers = {
        "a": f"{header}a\nservices:{state['lines']}\n{services or '  {}'}\n",
        "b": f"{header}b\ntier: site\nservices: {{{state['over']}}}\nvalues: {state['value']}\n",
        "c": f"{header}c\nmounts: {{{state['mounts']}}}\n",
    }
    return [(f"/{name}.yaml", text.encode()) for name, text in layers.items()]


def machine(state: dict[str, str]) -> MachineInputs:
    facts = facts_for(
        "debian-12", systemd=int(state["systemd"]), hostname=state["hostname"], labels={"role": (state["role"],)}
    )
    unit = state["installed"]
    there = {unit: InstalledUnit(name=unit, path=f"/usr/lib/systemd/system/{unit}", sections={})} if unit else {}
    own = f"ordain: v1\nkind: Transform\nname: own\n{state['transform']}\n".encode()
    return MachineInputs(
        root=Path("/nowhere"),
        facts=facts,
        problems=(),
        installed=Installed(units=there),
        accounts=MachineAccounts(),
        transforms=(("/own.yaml", own),) if state["transform"] else (),
        live=False,
    )


def result(state: dict[str, str], memo: Memo) -> str:
    """Return the whole result of ``state``, with every place, type and order in it."""
    try:
        return repr(compile_generation(texts(state), machine(state), Generation(), memo))
    except Refused as refused:
        return repr(refused.problems)


@settings(deadline=None, max_examples=30)
@given(st.fixed_dictionaries({key: st.sampled_from(of) for key, of in CHOICES.items()}), st.lists(edits, max_size=8))
@pytest.mark.thorough
def test_a_compile_with_a_memo_equals_one_without(state: dict[str, str], changes: list[tuple[str, str]]) -> None:
    warm = Memo()
    result(state, warm)
    for key, value in changes:
        state = {**state, key: value}
        assert result(state, warm) == result(state, Memo())


USUAL = {key: of[0] for key, of in CHOICES.items()} | {"one": PLAIN, "two": PLAIN, "value": CHOICES["value"][0]}


@pytest.mark.parametrize("key", sorted(CHOICES))
@pytest.mark.thorough
def test_every_edit_has_an_effect(key: str) -> None:
    """Each value is changed and changed back; the memo must notice both."""
    user = {"value": SERVICE[9], "transform": SERVICE[10], "hostname": SERVICE[9], "role": SERVICE[11]}
    user |= {"mounts": SERVICE[11], "systemd": SERVICE[2]}
    base = USUAL | {"three": user.get(key, SERVICE[7]), "ssh": "{state: running}"}
    warm = Memo()
    for value in CHOICES[key] + CHOICES[key][-2::-1]:
        assert result(base | {key: value}, warm) == result(base | {key: value}, Memo())


def test_only_changed_entries_are_made_again() -> None:
    memo = Memo()
    made: list[str] = []

    def compiled(**sources: tuple[object, ...]) -> list[str]:
        made.clear()
        notes = memo.table("things", "ground")
        for name, source in sources.items():
            notes.get_or_make(name, source, lambda name=name: made.append(name))  # type: ignore[misc] # python/mypy#12557
        return list(made)

    assert compiled(a=(1, "x"), b=(1,)) == ["a", "b"]
    assert compiled(a=(1, "x"), b=(True,)) == ["b"]
    assert compiled(a=(1, "x")) == []
    assert compiled(a=(1, "x"), b=(True,)) == ["b"], "what the last compile did not have is forgotten"


def test_all_entries_are_made_again_after_a_change_of_the_inputs() -> None:
    memo = Memo()
    assert memo.table("things", {"x": 1}).get_or_make("a", 1, lambda: "one") == "one"
    assert memo.table("things", {"x": 1}).get_or_make("a", 1, lambda: "two") == "one"
    assert memo.table("things", {"x": True}).get_or_make("a", 1, lambda: "three") == "three"


def test_values_that_look_alike_are_not_identical() -> None:
    facts = facts_for("debian-12")
    assert identical(facts, replace(facts))
    assert not identical(facts, replace(facts, hostname="other"))
    assert not identical((1, 2), [1, 2])
    assert not identical({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not identical(("a",), ("a", "b"))

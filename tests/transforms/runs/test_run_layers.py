"""Layers of runs, dependencies, templates, and errors of Run documents with their places."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.runs.run_render import cause_texts
from support.samples.run_samples import documents_of, lines, refused, rendered, run

LAYER = "ordain: v1\nkind: Run\nname: {}\nmatch: {}\n{}\n---\n"
HPC = "ordain: v1\nkind: Transform\nname: t\nsystems: {hpc: {scheduler: slurm}}\n"


def layer(name: str, match: str, keys: str) -> str:
    return LAYER.format(name, match, keys)


def test_layers_are_merged_by_tier_and_the_run_overrides_them() -> None:
    text = layer("site", "{system: slurm}", "tier: site\naccount: site\nqueue: site\nenvironment: {A: site, B: site}")
    text += layer("system", "{scheduler: slurm}", "tier: system\nqueue: system\nenvironment: {B: system}")
    text += layer("project", "{project: qcd}", "tier: project\nenvironment: {C: project}")
    text += layer("user", "{user: ann}", "tier: user\nenvironment: {C: user}")
    text += run("command: a\nlabels: {project: qcd}\naccount: own")

    made = rendered(text, user="ann")
    found = {line.text: " ".join(cause_texts(line)).partition(" ")[2] for line in made.scripts[0].lines}

    assert made.runs["x"].layers == ("site", "system", "project", "user", "x")
    assert found["#SBATCH --account=own"] == "(x) account"
    assert found["#SBATCH --partition=system"] == "(system) queue"
    assert found["export A=site"] == "(site) environment/A"
    assert found["export B=system"] == "(system) environment/B"
    assert found["export C=user"] == "(user) environment/C"
    cause = next(line.cause for line in made.scripts[0].lines if line.text == "#SBATCH --account=own")
    assert text.splitlines()[cause.where.line - 1] == "account: own"
    leaf = made.runs["x"].tree.leaf("account")
    assert leaf
    assert [(old.layer, old.value) for old in leaf.overrode] == [("site", "site")]


def test_a_layer_for_another_system_project_or_user_does_not_match() -> None:
    text = "".join(
        layer(f"l{at}", match, f"environment: {{L{at}: x}}")
        for at, match in enumerate(["{system: pbs}", "{project: qcd}", "{user: ann}", "{run: y*}", "{run: {not: x}}"])
    )

    assert not [line for line in lines(text + run("command: a")) if line.startswith("export L")]


def test_a_layer_that_names_the_run_changes_it_on_one_system() -> None:
    text = layer("exception", "{run: x, system: local}", "queue: null\naccount: null")
    text += run("command: a\nqueue: q\naccount: a")

    assert "#SBATCH --partition=q" in lines(text, "slurm")
    assert rendered(text, "local").scripts


def test_equal_layers_with_different_values_are_a_conflict() -> None:
    text = layer("a", "{system: slurm}", "account: a") + layer("b", "{scheduler: slurm}", "account: b")

    (problem,) = refused(text + run("command: a"))

    assert problem.code == "LayerConflict"
    assert "a higher weight" in problem.hint


def test_a_module_of_a_layer_is_loaded_before_those_of_the_run() -> None:
    text = layer("site", "{system: slurm}", "modules: {base: base/1, old: old/1}")
    text += run("command: a\nmodules: {mpi: mpi/2, old: null}")

    assert [line.split()[2] for line in lines(text) if line.startswith("module load")] == ["base/1", "mpi/2"]


def test_templates_know_the_target_and_the_values() -> None:
    text = run(
        "values: {n: 3}\nlabels: {project: qcd}\naccount: {template: '{{ labels.project }}-{{ system }}'}\n"
        "command: [a, {template: '{{ run }} {{ scheduler }} {{ user }} {{ values.n * 2 }}'}]"
    )

    made = rendered(text, user="ann").scripts[0].lines

    assert {"#SBATCH --account=qcd-slurm", "a 'x slurm ann 6'"} <= {line.text for line in made}


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("command: [a, {template: '{{ nothing }}'}]", "'nothing' is undefined"),
        ("command: a\naccount: {template: '{{ index }}'}\narray: 1-2", "'index' is undefined"),
        ("command: a\naccount: {template: 'a b'}", "'a b' is not a word"),
        ("command: a\nworking-directory: {template: 'rel'}", "'rel' is not an absolute path"),
    ],
)
def test_a_wrong_template_is_an_error_at_its_place(keys: str, what: str) -> None:
    (problem,) = refused(run(keys))

    assert what in problem.what
    assert problem.where.line >= 4
    assert problem.hint


def test_jobs_are_in_the_order_of_their_dependencies() -> None:
    text = "---\n".join(
        [run("command: a\nafter: {b: ended, c: ok}", "a"), run("command: b\nafter: [c]", "b"), run("command: c", "c")]
    )

    assert [(made.run, made.after) for made in rendered(text).scripts] == [
        ("c", ()),
        ("b", (("c", "ok"),)),
        ("a", (("b", "ended"), ("c", "ok"))),
    ]


def test_a_circle_of_dependencies_is_refused_with_its_runs() -> None:
    text = "---\n".join(run(f"command: a\nafter: [{after}]", name) for name, after in ("ab", "bc", "ca"))

    (problem,) = refused(text)

    assert (problem.code, problem.where.pointer) == ("Cycle", "after/b")
    assert "a after b after c after a" in problem.what


def test_a_run_cannot_depend_on_itself() -> None:
    assert [problem.code for problem in refused(run("command: a\nafter: [x]"))] == ["Cycle"]


def test_an_unknown_run_in_after_has_near_names() -> None:
    (problem,) = refused("---\n".join([run("command: a", "prepare"), run("command: a\nafter: [prepar]", "b")]))

    assert (problem.code, problem.hint) == ("UnknownName", "did you mean prepare?")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("comand: a", "comand: unknown key (did you mean command?)"),
        ("command: a\nresources: {node: 2}", "resources/node: unknown key (did you mean nodes?)"),
        ("command: a\nresources: {nodes: 0}", "resources/nodes: 0 is less than the minimum, 1"),
        ("command: a\nresources: {nodes: '2'}", "write a whole number without quotes"),
        ("command: a\nresources: {memory: 1Q}", "resources/memory: '1Q' is not a size"),
        ("command: a\nresources: {time: soon}", "resources/time: 'soon' is not a time span"),
        ("command: a\nresources: {memory: 1G, memory-per-cpu: 1G}", "exclude each other"),
        ("command: a\nscript: b", "command and script exclude each other"),
        ("command: a\narray: 1-2\nparameters: {a: [b]}", "array and parameters exclude each other"),
        ("command: a\narray: 5-1", "the range 5-1 is empty"),
        ("command: a\narray: 1-5,3", "an index is in the list twice"),
        ("command: a\narray: 1-1000000", "at most 100,000 are allowed"),
        ("command: a\nafter: {b: okay}", "did you mean ok?"),
        ("command: a\nmail: {on: [ende]}", "did you mean end?"),
        ("command: a\nmatch: {os: debian}", "os is a fact of machines"),
        ("command: a\nenvironment: {1a: b}", "'1a' is not a variable name"),
        ("command: a\nworking-directory: a", "is not an absolute path"),
        ("command: a\ntier: node", "expected one of default, site, system, project, user, run"),
        ('command: "a \'b"', "is not a command"),
    ],
)
def test_a_wrong_run_is_refused_with_place_and_remedy(keys: str, problem: str) -> None:
    _, problems = read("run.yaml", run(keys).encode())

    assert any(problem in str(found) for found in problems), [str(found) for found in problems]
    assert all(found.where.line for found in problems)


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("description: nothing to run", "Item"),
        ("steps: []", "Item"),
        ("command: ['', a]", "Item"),
        ("script: a\nlauncher: mpi", "Item"),
        ('script: "a\\r\\nb"', "Encode"),
        ("command: a\noutput: 'a{b}'", "Schema"),
        ("command: a\noutput: 'a{index}'", "Schema"),
        ("command: a\ncontainer: {mounts: {/a: /b}}", "Item"),
        ("command: a\ncontainer: {image: i, mounts: {'/a:b': /b}}", "Encode"),
        ("command: a\naccount: 'a`b'", "Encode"),
    ],
)
def test_a_run_that_no_script_can_express_is_refused(keys: str, code: str) -> None:
    assert [(problem.code, bool(problem.hint)) for problem in refused(run(keys))] == [(code, True)]


def test_the_order_of_documents_makes_no_difference() -> None:
    documents = [layer("a", "{system: slurm}", "environment: {A: a}"), layer("b", "{run: x}", "environment: {B: b}")]
    own = run("command: a\nmodules: {m: m/1}")

    def exports(text: str) -> set[str]:
        return {line for line in lines(text) if line.startswith(("export", "#SBATCH"))}

    assert exports("".join(documents) + own) == exports("".join(reversed(documents)) + own)


def test_the_agent_of_a_machine_ignores_runs() -> None:
    services = "ordain: v1\nkind: Layer\nname: a\nservices: {web: {command: /bin/true}}\n---\n"
    layers = documents_of(services)
    both = documents_of(services + layer("site", "{system: slurm}", "account: a") + run("command: a"))

    made = [compile(documents, facts_for("debian-13"), shipped=shipped()) for documents in (layers, both)]

    assert made[0].artifacts == made[1].artifacts
    assert made[0].problems == made[1].problems == ()


def test_a_line_names_every_document_that_set_a_part_of_it() -> None:
    layer = (
        "ordain: v1\nkind: Run\nname: zz\ntier: site\nmatch: {system: pbs}\nresources: {memory: 4G, cpus-per-task: 2}\n"
    )

    made = rendered(run("command: a\nlauncher: mpi\nresources: {nodes: 2, tasks-per-node: 4}"), "pbs", layer).scripts[0]

    (select,) = [line for line in made.lines if "select=" in line.text]
    assert cause_texts(select) == (
        "run.yaml:6 (x) resources/nodes",
        "run.yaml:6 (x) resources/tasks-per-node",
        "site.yaml:6 (zz) resources/memory",
        "site.yaml:6 (zz) resources/cpus-per-task",
    )
    (launched,) = [line for line in made.lines if line.text.startswith("mpiexec")]
    assert [text.rpartition(" ")[2] for text in cause_texts(launched)] == [
        "command",
        "resources/nodes",
        "resources/tasks-per-node",
    ]

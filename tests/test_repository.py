"""The structure of the repository: allowed imports, packages of the wheel, entries at the top, links of the guides."""

from __future__ import annotations

import ast
import builtins
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from ordain.transforms.document.reader import read
from support.pages.syntax_nodes import nodes_of

# One process runs them all, and reads the syntax tree of each module once.
pytestmark = pytest.mark.xdist_group("syntax trees")

TREE = Path(__file__).parents[1]
PARTS = ("transforms", "generator", "agent")
MAY_IMPORT = {
    # Documents in, artifacts out.
    "transforms/systemd": "",
    "transforms/systemd/checks": "systemd",
    "transforms/template": "document/formats systemd",
    "transforms/document/text": "",
    "transforms/document/formats": "document/text systemd/checks systemd",
    "transforms/document/keys": "document/formats document/text",
    "transforms/document": "document/keys document/formats document/text systemd",
    "transforms/machine": "document document/keys document/formats document/text systemd",
    "transforms/resolve": "document document/keys document/formats document/text template",
    "transforms/catalog": "machine resolve document document/keys document/formats document/text template systemd",
    "transforms/render": "catalog template machine document document/keys document/formats document/text"
    " systemd/checks systemd",
    "transforms/render/services": "render catalog machine document/keys document/formats systemd/checks systemd",
    "transforms/render/settings": "render/services render catalog template document/formats document/text systemd",
    "transforms/render/network": "render catalog template document/keys document/formats document/text"
    " systemd/checks systemd",
    "transforms/graph": "render/services render catalog systemd/checks systemd",
    "transforms/importing/draft": "document document/keys document/text systemd",
    "transforms/importing/units": "importing/draft render/services render catalog document document/keys"
    " document/formats document/text systemd",
    "transforms/importing/containers": "importing/units importing/draft render catalog document/formats"
    " document/text systemd",
    "transforms/importing": "importing/containers importing/units importing/draft render catalog document"
    " document/keys document/formats document/text systemd",
    "transforms/netboot": "resolve template document/formats document/text systemd",
    "transforms/query": "document/text systemd",
    "transforms/document_tests": "render catalog resolve document document/keys document/formats document/text",
    "transforms/runs": "importing/draft catalog resolve template document document/keys document/formats"
    " document/text systemd",
    # The program that systemd runs at boot: standard library only.
    "generator": "",
    # The effects.
    "agent/system": "",
    "agent/system/dbus": "system",
    "agent/system/systemd": "system/dbus system",
    "agent/state": "system",
    "agent/packages": "state system/systemd system/dbus system",
    "agent/plan/changes": "",
    "agent/plan": "plan/changes",
    "agent/delivery": "",
    "agent/delivery/database": "delivery system",
    "agent/delivery/setup": "delivery/database delivery",
    "agent/delivery/release": "delivery/database delivery system",
    "agent/delivery/identity": "delivery/release delivery/setup delivery/database delivery system",
    "agent/delivery/fleet": "delivery/identity delivery/release delivery/database delivery state system",
    "agent/delivery/source": "delivery/fleet delivery/release delivery/database delivery system",
    "agent/secrets": "delivery/identity delivery/release delivery/database delivery system",
    "agent/compile": "delivery/source delivery/release delivery state system",
    "agent/apply/differences": "plan plan/changes system/systemd system/dbus system",
    "agent/apply/jobs": "plan plan/changes system/systemd system/dbus",
    "agent/apply/deviations": "plan plan/changes state system/systemd system/dbus system",
    "agent/apply/network": "apply/differences plan plan/changes system/systemd system/dbus system",
    "agent/apply": "apply/network apply/deviations apply/differences apply/jobs packages secrets compile plan"
    " plan/changes state system/systemd system/dbus system",
    "agent/netboot": "system",
    "agent/install": "system",
    "agent/server/relay": "delivery/source delivery/fleet delivery/identity delivery/release delivery/database"
    " delivery system",
    "agent/server": "server/relay netboot compile delivery/source delivery/release delivery/database delivery state",
    "agent/source_daemon": "delivery/source delivery/fleet delivery/identity delivery/database delivery"
    " system/systemd system",
    "agent/runs": "",
    "agent/daemon/status": "apply compile delivery/source delivery plan state system/systemd system/dbus system",
    "agent/daemon/minders": "daemon/status apply compile delivery/source delivery plan plan/changes state"
    " system/systemd system/dbus system",
    "agent/daemon/clients": "daemon/status apply/differences apply compile delivery/fleet plan state system/systemd"
    " system/dbus system",
    "agent/daemon": "daemon/minders daemon/clients daemon/status apply/deviations apply compile delivery/source"
    " delivery/fleet delivery/identity delivery plan state system/systemd system/dbus system",
    "agent/cli/commands": "",
    "agent/cli": "cli/commands",
    "agent/cli/documents": "cli cli/commands apply/deviations apply compile daemon/status netboot delivery/release"
    " delivery/source delivery system",
    "agent/cli/boot": "cli cli/commands cli/documents cli/store compile delivery netboot packages server"
    " server/relay system/systemd",
    "agent/cli/runs": "cli cli/commands cli/documents runs",
    "agent/cli/machine": "cli cli/commands cli/documents apply/deviations apply compile daemon/clients daemon/status"
    " delivery/source delivery plan plan/changes state system/dbus system",
    "agent/cli/store": "cli cli/commands cli/documents apply delivery/source delivery/fleet delivery/release"
    " delivery/identity delivery/setup delivery/database delivery system",
    "agent/cli/fleet": "cli cli/commands cli/documents cli/machine cli/store delivery/fleet delivery/identity"
    " delivery/release delivery/setup delivery/database system",
    "agent/cli/manual": "cli cli/commands cli/machine daemon/status delivery/fleet delivery/identity"
    " delivery/release netboot plan server server/relay state",
}
"""For each package, the packages of its part that it may import; all may import the modules at the top of the part."""
DOORS = {
    "ordain.transforms.compile",
    "ordain.transforms.section_pages",
    "ordain.transforms.compare_systems",
}
"""Modules at the top of a part that use all of it; the other modules there import none of its packages."""
FOREIGN = {"transforms": (), "generator": ("transforms",), "agent": ("transforms", "generator")}
TOP = set(PARTS) | {
    *("units", "packaging", "tests", "bench", "docs", "examples", "pyproject.toml", "tox.ini", "Makefile"),
    *("README.md", "HACKING.md", "NEWS.md", "SECURITY.md", "LICENSE", ".gitignore", ".ci"),
}
pytestmark = pytest.mark.skipif(
    not (TREE / "pyproject.toml").exists(), reason="needs the source tree: this is a copy of tests/"
)


def modules() -> dict[str, Path]:
    """Return every module of the three parts by its dotted name."""
    paths = {}
    for part in PARTS:
        for path in sorted((TREE / part).rglob("*.py")):
            words = ["ordain", *path.relative_to(TREE).with_suffix("").parts]
            paths[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return paths


MODULES = modules() if (TREE / "pyproject.toml").exists() else {}


@cache
def text_of(module: str) -> str:
    """Return the text of a module."""
    return MODULES[module].read_text()


@cache
def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(text_of(module))


def nodes(module: str) -> Iterator[ast.AST]:
    """Yield every node of the syntax tree of a module."""
    return nodes_of(tree_of(module))


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of Ordain that ``module`` imports, also inside functions."""
    return frozenset(imported_by(module))


def imported_by(module: str) -> Iterator[str]:
    """Yield the modules of Ordain that ``module`` imports, as often as it does."""
    for node in nodes(module):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("ordain."):
                yield name if name in MODULES else name.rpartition(".")[0]


def package(module: str) -> str:
    """Return the folder of ``module`` from the top of the tree."""
    return MODULES[module].parent.relative_to(TREE).as_posix()


def imported_from_above(module: str) -> Iterator[str]:
    """Yield the modules that ``module`` imports although their packages are not below its own."""
    own = package(module)
    part = own.split("/")[0]
    allowed = {own, part, *(f"{part}/{name}" for name in MAY_IMPORT.get(own, "").split())}
    for name in sorted(imports(module)):
        if name.split(".")[1] not in FOREIGN[part] and package(name) not in allowed and module not in DOORS:
            yield name


def test_a_package_imports_only_the_packages_below_it() -> None:
    assert [f"{module} imports {name}" for module in MODULES for name in imported_from_above(module)] == []


def test_every_package_has_a_row_in_the_table() -> None:
    folders = {package(module) for module, path in MODULES.items() if path.name == "__init__.py"}

    assert folders - {"transforms", "agent"} == set(MAY_IMPORT)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {module: imports(module) - {module} for module in MODULES}
    while leaves := {module for module, below in graph.items() if not below & graph.keys()}:
        for module in leaves:
            del graph[module]

    assert graph == {}


def test_packages_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        folder: {f"{folder.split('/')[0]}/{name}" for name in names.split()} for folder, names in MAY_IMPORT.items()
    }
    while leaves := {folder for folder, below in graph.items() if not below & graph.keys()}:
        for folder in leaves:
            del graph[folder]

    assert graph == {}


def exceptions_of_the_agent() -> dict[str, set[str]]:
    """Return the exception classes of agent/ by name, each with the last words of its bases."""
    classes = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for module in MODULES
        if module.startswith("ordain.agent")
        for node in nodes(module)
        if isinstance(node, ast.ClassDef)
    }
    builtin = {name for name, value in vars(builtins).items() if isinstance(value, type)}
    known = {name for name in builtin if issubclass(getattr(builtins, name), BaseException)}
    while more := {name for name, bases in classes.items() if bases & known} - known:
        known |= more
    return {name: bases for name, bases in classes.items() if name in known}


def test_every_exception_of_the_agent_is_in_the_drawn_tree_below_its_base() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (ast.get_docstring(ast.parse(MODULES["ordain.agent.errors"].read_bytes())) or "").splitlines():
        if match := re.match(r"([│ ]*)(?:[├└]── )?([A-Z_]\w+)(?:  |$)", line):
            depth = (len(match[1]) + 4 * ("── " in line)) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1] if depth else "Exception"

    exceptions = exceptions_of_the_agent()

    assert drawn.keys() == exceptions.keys()
    assert [name for name, base in drawn.items() if base not in exceptions[name]] == []


def test_no_module_compiles_a_regular_expression_when_it_is_imported() -> None:
    compiled = [
        f"{module}: {ast.unparse(node)[:80]}"
        for module in MODULES
        for node in tree_of(module).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and "re.compile(" in ast.unparse(node)
    ]

    assert compiled == [], "use `lazy_pattern` of ordain.transforms.lazy_patterns: it costs nothing at each start"


def test_the_copy_of_the_generator_holds_every_module_that_its_modules_import() -> None:
    names = re.search(r"for name in (\(\"__init__\".*?\))", (TREE / "packaging/install").read_text())
    assert names is not None
    copied = {f"ordain.transforms.{name}" for name in ast.literal_eval(names[1])}
    copied |= {module for module in MODULES if module.startswith("ordain.generator")}

    missing = {module: imports(module) - copied for module in copied & MODULES.keys()}

    assert {module: names for module, names in missing.items() if names} == {}


def test_public_classes_have_different_names() -> None:
    names = [
        node.name
        for module in MODULES
        for node in tree_of(module).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]

    assert {name for name in names if names.count(name) > 1} == set()


def test_modules_of_a_part_have_different_names() -> None:
    plain = {"main.py", "__init__.py"}
    names = [
        (path.relative_to(TREE).parts[0], path.name)
        for path in MODULES.values()
        if path.name not in plain and "cli" not in path.parts
    ]

    assert {name for name in names if names.count(name) > 1} == set()


def test_the_wheel_holds_every_package() -> None:
    settings = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["setuptools"]

    folders = {module for module, path in MODULES.items() if path.name == "__init__.py"}

    assert set(settings["packages"]) == folders


def test_package_and_project_have_the_same_version() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    changelog = (TREE / "packaging/debian/changelog").read_text()

    assert changelog.startswith(f"ordain ({project['version']}) ")


def test_the_top_of_the_tree_has_only_the_agreed_entries() -> None:
    if not (TREE / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    listing = subprocess.run(
        ["git", "-C", TREE, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {path.split("/")[0] for path in listing.stdout.split("\0") if path} <= TOP


def test_the_document_in_the_readme_is_valid() -> None:
    text = (TREE / "README.md").read_text()
    document = text[text.index("    ordain: v1") :].partition("\n\n")[0]

    documents, problems = read("README.md", document.encode())

    assert problems == ()
    assert [document.name for document in documents] == ["hello"]


def test_hacking_draws_every_package_above_those_that_it_imports() -> None:
    text = (TREE / "HACKING.md").read_text()
    floors: dict[str, int] = {}
    for part in ("transforms", "agent"):
        drawn = text.partition(f"    {part}/\n")[2].partition("\n\n")[0].splitlines()
        for floor, line in enumerate(drawn):
            for name in re.findall(r"[a-z_/]+(?=/)", line.partition("|")[0]):
                floors[f"{part}/{name}"] = floor

    assert set(floors) == set(MAY_IMPORT) - {"generator"}
    for folder, names in MAY_IMPORT.items():
        for name in names.split():
            below = f"{folder.partition('/')[0]}/{name}"
            assert floors[folder] < floors[below], f"HACKING.md draws {below} above {folder}, which imports it"


def test_the_walk_in_hacking_names_functions_that_exist() -> None:
    rows = re.findall(r"^\| \d+ \| `([^`]+)` \| `([^`]+)` \|", (TREE / "HACKING.md").read_text(), re.MULTILINE)

    assert len(rows) == 21
    assert [f"{path}: {name}" for path, name in rows if name not in defined(TREE / path)] == []


REFERENCE = re.compile(
    r"(?<=[\s(`])docs/(?P<page>[\w/.-]+\.md)(?:, (?P<word>rule|fact)s? (?P<numbers>\d+(?:(?:, | and | to )\d+)*))?"
)
"""A page that a comment or a docstring refers to, as in ``docs/design/systemd.md, facts 3, 7 and 9``."""
SAYS_PAGE = re.compile(r"(?:(?<=[\s(`])|^)(?:design/)?(?:product|reconcile|generator|documents|stores)\.md\b")


def sources() -> Iterator[Path]:
    """Yield the files whose comments people follow: the code, the tests, the units and the packaging."""
    for folder in (*PARTS, "tests", "bench", "units", "packaging/initrd", "packaging/debian"):
        for path in sorted((TREE / folder).rglob("*")):
            if path.suffix in {"", ".py", ".service", ".target", ".timer", ".yaml"} and path.is_file():
                yield path


def test_references_to_pages_and_their_rules_resolve() -> None:
    wrong = []
    for path in sources():
        text = re.sub(r"\s+#?\s*", " ", path.read_text())
        for reference in REFERENCE.finditer(text):
            page = TREE / "docs" / reference["page"]
            numbers = {int(number) for number in re.findall(r"\d+", reference["numbers"] or "")}
            word = (reference["word"] or "").title()
            known = re.findall(rf"^\*\*{word} (\d+)\.\*\*", page.read_text(), re.MULTILINE) if page.exists() else []
            if not page.exists() or numbers - set(map(int, known)):
                wrong.append(f"{path.relative_to(TREE)}: {reference[0]}")
        wrong += [f"{path.relative_to(TREE)}: {reference[0]} is not a path" for reference in SAYS_PAGE.finditer(text)]

    assert wrong == []


def test_rules_and_facts_of_the_design_are_numbered_without_gaps() -> None:
    for page in sorted((TREE / "docs/design").glob("*.md")):
        numbers = re.findall(r"^\*\*(?:Rule|Fact) (\d+)\.\*\*", page.read_text(), re.MULTILINE)

        assert sorted(map(int, numbers)) == list(range(1, len(numbers) + 1)), page


def defined(path: Path) -> set[str]:
    """Return the functions of a module, and its classes' methods as ``Class.method``."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    body = ast.parse(path.read_bytes()).body
    methods = {
        f"{node.name}.{method.name}"
        for node in body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, functions)
    }
    return methods | {node.name for node in body if isinstance(node, functions)}


@pytest.mark.parametrize("guide", ["README.md", "HACKING.md"])
def test_paths_and_links_in_a_guide_exist(guide: str) -> None:
    text = (TREE / guide).read_text()
    pointed = re.findall(
        r"`((?:agent|generator|transforms|tests|units|packaging|docs)/[a-z0-9_./-]*)`|\]\(([^)]+)\)", text
    )

    assert pointed
    assert [name for names in pointed for name in names if name and not (TREE / name).exists()] == []


def test_modules_of_the_tests_have_different_names() -> None:
    """pytest imports a module by its file name; one called ``agent`` would be imported instead of the package."""
    names = [
        *PARTS,
        *(path.stem for path in (TREE / "tests").rglob("*.py") if path.stem not in {"conftest", "__init__"}),
    ]

    assert sorted({name for name in names if names.count(name) > 1}) == []


def is_set(expression: ast.expr) -> bool:
    """Return whether an expression is certainly a set: its order would differ from run to run."""
    if isinstance(expression, ast.BinOp):
        return isinstance(expression.op, ast.Sub | ast.BitAnd | ast.BitOr | ast.BitXor)
    if isinstance(expression, ast.Call):
        return isinstance(expression.func, ast.Name) and expression.func.id in ("set", "frozenset")
    return isinstance(expression, ast.Set | ast.SetComp)


def test_no_loop_follows_the_order_of_a_set() -> None:
    """The same input gives the same output (docs/design/contract.md, rule 3), problems and their order included."""
    loops = [
        (module, iterated)
        for module in MODULES
        for node in nodes(module)
        for iterated in (
            [node.iter]
            if isinstance(node, ast.For)
            else [generator.iter for generator in node.generators]
            if isinstance(node, ast.ListComp | ast.DictComp)
            else []
        )
    ]

    wrong = [
        f"{module}:{iterated.lineno}: sorted({ast.unparse(iterated)})" for module, iterated in loops if is_set(iterated)
    ]
    assert wrong == []


IDEAS = {
    "agent": {"trust_decision"},
    "agent/apply": {"first_boot_generation"},
    "agent/cli": {"fleet_page"},
    "agent/cli/manual": {"completion", "manual"},
    "agent/compile": {"taken_numbers"},
    "agent/daemon": {"converged_model"},
    "agent/daemon/minders": {"minders"},
    "agent/delivery/database": {"malformed_answers"},
    "agent/delivery/release": {"release_page", "second_site"},
    "generator": {"initrd_handover", "initrd_netboot"},
    "transforms": {
        *(
            "determinism",
            "examples",
            "golden_cases",
            "hostile_documents",
            "no_problem_is_lost",
            "sections",
            "silent_values",
        ),
    },
    "transforms/catalog": {"audit", "local_transforms", "packaging_audit"},
    "transforms/graph": {"settings_without_effect"},
    "transforms/importing": {"import_accounting", "import_golden", "import_hostile", "import_round_trips"},
    "transforms/render": {"descriptions", "older_systemd", "render_mounts", "render_packages"},
    "transforms/render/network": {"keyfiles_netplan", "network_draws", "network_managers", "network_words"},
    "transforms/runs": {"run_goldens", "run_systems"},
}
"""Tests of several modules of a package together, named after their idea."""


def test_no_folder_of_tests_is_left_out() -> None:
    """A name in ``norecursedirs`` leaves out the folders of this name everywhere, without a word."""
    left_out = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["norecursedirs"]
    folders = {path.parent for path in (TREE / "tests").rglob("test_*.py")}

    assert [
        str(folder)
        for folder in sorted(folders)
        for name in folder.relative_to(TREE).parts
        if any(fnmatch(name, pattern) for pattern in left_out)
    ] == []


@pytest.mark.parametrize("part", PARTS)
def test_a_unit_test_is_found_by_the_path_of_its_module(part: str) -> None:
    """It is called after the module, or the module and an aspect; tests of ordainctl after a group of commands."""
    astray = []
    for path in sorted((TREE / "tests" / part).rglob("test_*.py")):
        package, name = path.parent.relative_to(TREE / "tests"), path.stem.removeprefix("test_")
        modules_beside = {module.stem for module in (TREE / package).glob("*.py")} | {"ordainctl"}
        of_module = any(name == module or name.startswith(f"{module}_") for module in modules_beside)
        if not of_module and name not in IDEAS.get(str(package), ()):
            astray.append(f"{package}/{name}")

    assert astray == []


NAMED = re.compile(r"(?<!`)`((?:[a-z_]+\.)+[A-Za-z_]+)`(?!`)")
"""A module or something in it, as docstrings and comments name it: `plan.planner`, `delivery.protocol.SourceFault`."""


def test_docstrings_name_modules_that_exist() -> None:
    wrong = [
        f"{module}: {name}"
        for module in MODULES
        for name in NAMED.findall(text_of(module))
        if names_a_package(name) and not resolves(name)
    ]

    assert wrong == []


@cache
def packages_of_the_tree() -> frozenset[str]:
    """Return the names of packages, except those that are common words as well."""
    folders = {word for module in MODULES for word in module.split(".")[1:-1]}
    return frozenset(
        folders
        - {
            "systemd",
            "dbus",
            "services",
            "source",
            "network",
            "boot",
            "store",
            "status",
            "text",
            "machine",
            "runs",
            "files",
        }
    )


def names_a_package(name: str) -> bool:
    """Return whether a dotted name begins with a package of the tree."""
    return name.split(".")[0] in packages_of_the_tree()


def resolves(name: str) -> bool:
    """Return whether a dotted name is the end of a module's name, or of something that a module defines."""
    if any(module.endswith(f".{name}") for module in MODULES):
        return True
    module, _, attribute = name.rpartition(".")
    return any(
        known.endswith(f".{module}") and re.search(rf"^(?:class|def|async def)? ?{attribute}\b", text_of(known), re.M)
        for known in MODULES
    )

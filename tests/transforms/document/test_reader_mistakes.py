"""The mistakes of a first hour: each message has the place, the fault in plain words, and a remedy."""

from __future__ import annotations

import pytest

from ordain.transforms.document.reader import read

HEAD = "ordain: v1\nkind: Layer\nname: a\n"
WEB = f"{HEAD}services:\n  web:\n    command: sleep 1\n"

MISTAKES = {
    "a tab": (f"{HEAD}services:\n\tweb:\n", 5, "a tab in the indentation", "replace each tab by spaces"),
    "a tab after a space": (f"{WEB} \tuser: a\n", 7, "a tab in the indentation", "replace each tab by spaces"),
    "too little indentation": (
        f"{WEB}   user: a\n",
        7,
        "indented with 3 spaces, as no line above is",
        "indent it with 4 spaces, as line 6, or with 2 spaces, as line 5",
    ),
    "too much indentation": (f"{WEB}      user: a\n", 7, "deeper than line 6, which has a value already", "4 spaces"),
    "an uneven second entry": (
        f"{HEAD}services:\n    a:\n      command: x\n  b:\n    command: y\n",
        7,
        "indented with 2 spaces",
        "with 4 spaces, as line 5, or with 0 spaces",
    ),
    "a key without a colon": (f"{HEAD}services:\n  web\n    command: x\n", 6, "line 5 is a key without", "write web:"),
    "a text with a colon": (f"{HEAD}services: {{w: {{command: echo a: b}}}}\n", 4, "{ … }", "quotes around a text"),
    "an open bracket": (
        f"{HEAD}services: {{w: {{command: x}}\n",
        5,
        "begins in line 4 is not closed",
        "a comma between",
    ),
    "an open quote": (f'{HEAD}services: {{w: {{command: "x}}}}\n', 5, "quotes that begin in line 4", "closing quotes"),
    "a value that begins with @": (f"{HEAD}services: {{w: {{command: @x}}}}\n", 4, "cannot begin with '@'", "quotes"),
    "no ordain": ("kind: Layer\nname: a\n", 1, "the key ordain is missing", "begin the document with `ordain: v1`"),
    "no head": ("services: {}\n", 1, "the key kind is missing", "`ordain: v1`, `kind: Layer`, `name: NAME`"),
    "no name": ("ordain: v1\nkind: Layer\n", 1, "the key name is missing", "`name: web`"),
    "a directive of systemd": (f"{WEB}    ExecStop: /bin/x\n", 7, "unknown key", "write stop"),
    "a directive of systemd in other letters": (
        f"{WEB}    exec_start_pre: /bin/x\n",
        7,
        "unknown key",
        "write before-start",
    ),
    "a directive of systemd for a limit": (f"{WEB}    MemoryMax: 1G\n", 7, "unknown key", "write limits: {memory: …}"),
    "a command that reloads": (f"{WEB}    reload-command: /bin/x\n", 7, "unknown key", "write reload"),
    "a key of another system": (f"{WEB}    enabled: true\n", 7, "unknown key", "write state"),
    "a command of another system": (f"{WEB}    ExecStart: x\n", 7, "unknown key", "write command"),
    "packages": (f"{WEB}    package: nginx\n", 7, "unknown key", "a section of their own beside `services`"),
    "an unknown key": (f"{WEB}    colour: red\n", 7, "unknown key", "`ordainctl help services/web` lists the"),
    "a template as a command": (
        f"{HEAD}services: {{w: {{command: {{template: x}}}}}}\n",
        4,
        "expected a command",
        "a word may be {template: TEXT}",
    ),
    "a list of services": (
        f"{HEAD}services: [{{web: {{command: x}}}}]\n",
        4,
        "expected a map from a service name, found a list",
        "without dashes or brackets: a line `web: …` for each",
    ),
    "a list of names": (f"{HEAD}users:\n  - alice\n", 5, "expected a map", "a line `alice: …` for each"),
    "a list of facts": (f"{HEAD}match: [debian]\n", 4, "expected a map", "a line `id: debian` for each"),
    "a list of keys": (
        f"{HEAD}host: [web1]\n",
        4,
        "expected the keys",
        "without dashes or brackets; known keys: ",
    ),
    "a service without a name": (
        f"{HEAD}services:\n  command: x\n",
        5,
        "expected the keys of a service",
        "line `NAME:`",
    ),
    "a file without a name": (f"{HEAD}files:\n  content: x\n", 5, "expected a map, found", "below a name"),
    "a state for a service": (
        f"{HEAD}services: {{web: masked}}\n",
        4,
        "expected the keys",
        "write `state: masked` below it",
    ),
    "a command for a service": (f"{HEAD}services: {{web: x}}\n", 4, "expected the keys", "write `command: x` below it"),
    "a text for a file": (f"{HEAD}files: {{/etc/a: x}}\n", 4, "expected a map", "write `content: x` below it"),
    "a text for a map": (f"{HEAD}sysctl: x\n", 4, "expected a map", "a line `NAME: …` for each entry"),
    "a list for a word": (f"{WEB}    user: [a]\n", 7, "found a list", "write one value, without dashes"),
    "a template without quotes": (f"{HEAD}files: {{/a: {{content: {{{{ x }}}}}}}}\n", 4, "a key must be", "in quotes"),
    "the name of a release": (
        f"{HEAD}match: {{version: bookworm}}\n",
        4,
        '"bookworm" is not a version range',
        "write numbers in quotes",
    ),
    "a unit file": ("# x\n[Unit]\nDescription=x\n", 1, "[Section] and KEY=VALUE", "`ordainctl import a.yaml` converts"),
    "a netplan file": ("network:\n  version: 2\n", 1, "not a document", "import a.yaml` converts a netplan file"),
    "a compose file": ("services:\n  w: {image: x}\n", 1, "not a document", "import a.yaml` converts a compose file"),
    "a cloud-config": ("#cloud-config\nruncmd: [ls]\n", 2, "not a document", "import a.yaml` converts a cloud-config"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_its_place_fault_and_remedy(mistake: str) -> None:
    text, line, fault, remedy = MISTAKES[mistake]

    documents, problems = read("a.yaml", text.encode())

    assert not documents
    assert len(problems) == 1, problems
    assert (problems[0].where.path, problems[0].where.line) == ("a.yaml", line)
    assert fault in problems[0].what
    assert not problems[0].what.endswith(")"), "a remedy belongs in the hint, and there is one only"
    assert remedy in problems[0].hint


@pytest.mark.parametrize("entry", ["postgres", "[postgres]", "{postgres: true}"])
def test_a_set_takes_one_bare_word(entry: str) -> None:
    (document,), problems = read("a.yaml", f"{WEB}    after: {entry}\n".encode())
    (listed,), _ = read("a.yaml", f"{WEB}    after: [postgres]\n".encode())

    assert not problems
    assert str(document.sections.branch("services").branch("web").branch("after").children.keys()) == str(
        listed.sections.branch("services").branch("web").branch("after").children.keys()
    )

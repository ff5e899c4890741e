"""The directives of PBS and LSF follow the syntax of their manuals, qsub(1B) of OpenPBS and bsub(1) of LSF 9 and 10.

Each grammar is the synopsis of an option. It must accept the manual's own examples, and then every golden script.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ordain.transforms.runs.script_dialects import DIALECTS
from ordain.transforms.runs.script_import import convert
from ordain.transforms.runs.script_options import Dialect, form_of

EXPECTED = Path(__file__).parents[2] / "runs/expected"
_RESOURCE = r"\w+=[^:+,\s]+"
QSUB = {
    "-N": r"[A-Za-z0-9][!-~]{0,235}",
    "-A": r"\S+",
    "-q": r"[^\s@]*(@\S+)?",
    "-l": rf"select=(\d+:)?{_RESOURCE}(:{_RESOURCE})*(\+(\d+:)?{_RESOURCE}(:{_RESOURCE})*)*"
    r"|place=(free|pack|scatter|vscatter|excl|shared|exclhost)(:(excl|shared|exclhost|group=\w+))*"
    r"|walltime=(\d+:)?(\d+:)?\d+|software=\w+",
    "-J": r"\d+-\d+(:\d+)?(%\d+)?",  # the limit after % came with OpenPBS 20
    "-o": r"([^\s:]+:)?[^\s:]+",
    "-e": r"([^\s:]+:)?[^\s:]+",
    "-j": r"oe|eo|n",
    "-m": r"n|[abe]+",
    "-M": r"[^\s,]+(,[^\s,]+)*",
    "-W": r"depend=(after|afterok|afternotok|afterany|before|beforeok):\S+",
    "-V": r"",
    "-S": r"/\S+",
}
"""The options of qsub(1B), each with the form of its value."""
BSUB = {
    "-J": r"[\w.-]+(\[\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*\](%\d+)?)?",
    "-P": r"\S+",
    "-q": r"\S+",
    "-n": r"\d+(,\d+)?",
    "-R": r"span\[(ptile=\d+|hosts=1)\]|rusage\[(mem|tmp)=\d+([KMGT]B)?(/host)?\]|affinity\[core\(\d+\)\]",
    "-M": r"\d+([KMGT]B)?",
    "-W": r"(\d+:)?\d+(/\S+)?",
    "-o": r".+",
    "-e": r".+",
    "-x": r"",
    "-B": r"",
    "-N": r"",
    "-u": r"\S+",
    "-w": r".+",
    "-env": r"all|none|\w+=.*",
    "-gpu": r"num=\d+(/task|/host)?(:gmodel=\w+)?",
    "-app": r"\w+",
}
"""The options of bsub(1), each with the form of its value."""
EXAMPLES = [
    (QSUB, "-l select=1:ncpus=3:mem=1gb"),
    (QSUB, "-N HelloJob"),
    (QSUB, "-l walltime=1:00:00"),
    (QSUB, "-J 2-7:2"),
    (QSUB, "-W depend=afterok:123.host1.domain.com"),
    (BSUB, '-J "myArray[1-10]%2"'),
    (BSUB, "-W 3:30"),
    (BSUB, "-W 210"),
    (BSUB, '-R "rusage[mem=100]"'),
    (BSUB, "-n 4,10"),
]
"""Examples in the manuals."""


def follows(grammar: dict[str, str], directive: str) -> bool:
    """Return whether all options of a directive have the form that the grammar gives."""
    words = shlex.split(directive)
    while words:
        option = words.pop(0)
        form = grammar.get(option)
        value = words.pop(0) if form and words else ""
        if form is None or not re.fullmatch(form, value):
            return False
    return True


@pytest.mark.parametrize(("grammar", "directive"), EXAMPLES)
def test_the_grammar_accepts_the_examples_of_the_manual(grammar: dict[str, str], directive: str) -> None:
    assert follows(grammar, directive)


@pytest.mark.parametrize("directive", ["-J 1,3", "-l select=a b", "-m x", "-Z 1", "-j oo"])
def test_the_grammar_of_qsub_refuses_other_forms(directive: str) -> None:
    assert not follows(QSUB, directive)


@pytest.mark.parametrize(("system", "prefix", "grammar"), [("pbs", "#PBS ", QSUB), ("lsf", "#BSUB ", BSUB)])
def test_every_golden_directive_follows_the_manual(system: str, prefix: str, grammar: dict[str, str]) -> None:
    lines = [line for path in sorted(EXPECTED.glob(f"*.{system}.txt")) for line in path.read_text().splitlines()]
    directives = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]

    assert len(directives) > 20
    assert [directive for directive in directives if not follows(grammar, directive)] == []


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_the_directives_of_a_golden_script_are_all_imported(dialect: Dialect) -> None:
    form = form_of(dialect.name)
    for path in sorted(EXPECTED.glob(f"*.{dialect.name}.txt")):
        for script in path.read_text().split("=== ")[1:]:
            text = script.partition("\n")[2]
            directives = {n for n, line in enumerate(text.split("\n"), 1) if form.pattern.match(line)}

            draft = convert(text, path.name, dialect)

            assert directives <= draft.accounted

"""Texts that people read on a terminal do not control it."""

from __future__ import annotations

import pytest

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read

TEXT = "a\\e[31m\\a\\x9b2J\\u202e\\u2028b\\xa0ä"
SHOWN = "a\\x1b[31m\\x07\\x9b2J\\u202e\\u2028b\xa0ä"


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        (f'services: {{x: {{command: /bin/x, description: "{TEXT}"}}}}', [f"Description={SHOWN}"]),
        (
            f'services: {{x: {{command: /bin/x, description: "{TEXT}", listen: {{stream: /run/x}}}}}}',
            [f"Description={SHOWN}", f"Description=Sockets of {SHOWN}"],
        ),
        (f'services: {{x: {{unit: ssh.service, description: "{TEXT}"}}}}', [f"Description={SHOWN}"]),
        (
            f'units: {{x.service: {{Unit: {{Description: "{TEXT}"}}, Service: {{ExecStart: /bin/x}}}}}}',
            [f"Description={SHOWN}"],
        ),
        (
            f'services: {{x: {{command: /bin/x, systemd: {{Service: {{SyslogIdentifier: "{TEXT}"}}}}}}}}',
            [f"SyslogIdentifier={SHOWN}"],
        ),
    ],
)
def test_control_characters_are_written_as_escapes_with_a_warning(sections: str, lines: list[str]) -> None:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"))

    written = [line for a in compiled.artifacts if isinstance(a, UnitFile) for line in a.content.split("\n")]
    assert [line for line in written if "31m" in line] == lines
    assert [problem.code for problem in compiled.problems] == ["Unprintable"] * len(lines)
    assert all("\x1b" not in problem.hint and "\u202e" not in problem.hint for problem in compiled.problems)

"""Program that compiles files in child processes with limits, and reports the problems.

Each line on standard input is a path. Each line on standard output is JSON: ``status`` of wait, ``cpu`` in seconds,
``memory`` in MiB, and ``problems``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from ordain.transforms.artifact_text import as_text
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.template import jinja_sandbox

CPU_SEC = 5
"""Several times what the slowest case takes on a slow host: a fault that grows with a square or worse takes minutes."""
MEMORY = 200 << 20


def work(path: Path) -> list[str]:
    """Return the problems of one file on Debian 13, as text."""
    documents, problems = read(path.name, path.read_bytes())
    if only_errors(problems):
        return list(map(str, problems))
    try:
        compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    except Refused as refused:
        return list(map(str, (*problems, *refused.problems)))
    as_text(compiled.artifacts).encode()
    return list(map(str, (*problems, *compiled.problems)))


def child(path: Path, out: int) -> None:
    """Set the limits, compile, and write the problems."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SEC, CPU_SEC + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    text = json.dumps([problem[:300] for problem in work(path)[:5]])
    os.write(out, text.encode())


def main() -> None:
    """Run a child for each line."""
    shipped()
    jinja_sandbox.expand_text("{{ 1 }}", {})
    compile((), facts_for("debian-13"), shipped=shipped())
    for line in sys.stdin:
        inner, outer = os.pipe()
        if not (pid := os.fork()):
            try:
                child(Path(line.rstrip("\n")), outer)
                os._exit(0)
            except BaseException as error:
                os.write(outer, json.dumps([f"{type(error).__name__}: {error}"[:300]]).encode())
                os._exit(3)
        os.close(outer)
        with os.fdopen(inner, "rb") as answer:
            problems = json.loads(answer.read() or b"[]")
        _, status, usage = os.wait4(pid, 0)
        cpu = usage.ru_utime + usage.ru_stime
        report = {"status": status, "cpu": round(cpu, 2), "memory": usage.ru_maxrss >> 10, "problems": problems}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

"""Program that feeds changed inputs to the readers of data from others: ``python run.py [TARGET…] --seconds 60``.

With atheris the search follows the coverage of the code; without it, inputs are changed at random. Every kind of crash
is kept once, with the shortest input (``OUT/TARGET-KIND.input`` and ``.txt``), and so is an input that takes more CPU
time than `SLOW_SEC`. A run goes on after a crash. Exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))
try:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]
except ImportError:
    atheris = None
TYPE_CHECKING = False
if TYPE_CHECKING or atheris is None:
    from fuzz.targets import CORPUS, TARGETS, Target
else:
    with atheris.instrument_imports(include=["ordain"], enable_loader_override=False):
        from fuzz.targets import CORPUS, TARGETS, Target

SLOW_SEC = 4.0
HANG_SEC = 20
MAX_BYTES = 8192
MEMORY_MB = 1024
"""A target that needs more memory than this has a leak, and ends."""
TOKENS = [
    word.encode()
    for word in (
        "{ } [ ] : , - | > & * ! # % @ \\ ' \" \n \t \0 \x85 \xa0 {{ }} {% %} [Service] ExecStart= = / .. 0 -1 1e999 "
        "null 99999999999999999999 true services: network: files: users: mounts: units: match: values: template: × ² ٣"
    ).split(" ")
] + [b"9" * 4301]
"""Texts that mean something; the last one has more digits than ``int`` takes, and ``²`` is a digit and not a number."""


class Hang(BaseException):
    """An input that takes longer than `HANG_SEC`."""


@dataclass(slots=True)
class Findings:
    """The crashes of one target; ``shortest`` has the length of the shortest input of each kind."""

    target: str
    out: Path
    runs: int = 0
    worst_sec: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    shortest: dict[str, int] = field(default_factory=dict)

    def keep(self, kind: str, data: bytes, text: str) -> None:
        """Count a crash, and keep the input if it is the shortest of its kind."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if len(data) < self.shortest.get(kind, sys.maxsize):
            self.shortest[kind] = len(data)
            self.out.mkdir(parents=True, exist_ok=True)
            name = f"{self.target}-{re.sub(r'[^A-Za-z0-9_-]+', '_', kind)[:90]}"
            (self.out / f"{name}.input").write_bytes(data)
            (self.out / f"{name}.txt").write_text(text, errors="backslashreplace")

    def run(self, work: Callable[[bytes], None], data: bytes) -> None:
        """Give one input to the target."""
        self.runs += 1
        began = time.process_time()
        signal.alarm(HANG_SEC)
        try:
            work(data)
        except Hang:
            self.keep("hang", data, traceback.format_exc())
        except (Exception, RecursionError) as error:
            self.keep(_kind(error), data, traceback.format_exc()[-6000:])
        finally:
            signal.alarm(0)
        took_sec = time.process_time() - began
        self.worst_sec = max(self.worst_sec, took_sec)
        if took_sec > SLOW_SEC:
            self.keep("slow", data, f"{took_sec:.1f} s of CPU time")

    def report(self, seconds: float) -> str:
        """Return the figures as one line of JSON."""
        figures = {"target": self.target, "seconds": round(seconds), "runs": self.runs, "crashes": self.kinds}
        most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        figures |= {"slowest": round(self.worst_sec, 2), "most-memory-mb": most_mb}
        return json.dumps({**figures, "coverage-guided": atheris is not None})


def _kind(error: BaseException) -> str:
    """Return a name for crashes with one cause: the exception, and the function of ours in which it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    ours = [frame for frame in frames if re.search(r"/(transforms|agent|generator)/", frame.filename)]
    frame = (ours or frames)[-1]
    words = re.split(r"['\"\d]", str(error))[0][:40] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__}-{Path(frame.filename).stem}.{frame.name}-{words}".rstrip("-")


def mutated(data: bytes, target: Target, seeds: list[bytes], rng: random.Random) -> bytes:
    """Return a changed input; half of the changes keep the structure where the target has such a mutation."""
    if target.mutate is not None and rng.random() < 0.6:
        return target.mutate(data, rng)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 64))
        other = rng.choice(seeds) if seeds else b""
        begin = rng.randrange(len(other) + 1)
        match rng.randrange(6):
            case 0:
                changed[at:at] = rng.choice(TOKENS)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at : at + length] = other[begin : begin + length]
            case 3:
                changed[at:at] = other[begin : begin + length]
            case 4:
                changed[at:at] = changed[at : at + length] * rng.choice((1, 2, 50))
            case _:
                changed[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(changed[:MAX_BYTES])


def inputs_of(name: str) -> list[bytes]:
    """Return the seeds of a target and its corpus."""
    return [*TARGETS[name].seeds(), *(path.read_bytes() for path in sorted((CORPUS / name).glob("*")))]


def _plainly(findings: Findings, target: Target, until: float, rng: random.Random) -> None:
    """Change inputs at random until a moment of `time.process_time`."""
    seeds = inputs_of(findings.target)
    pool = list(seeds) or [b""]
    for data in pool:
        findings.run(target.run, data)
    while time.process_time() < until:
        data = mutated(rng.choice(pool), target, seeds, rng)
        findings.run(target.run, data)
        if rng.random() < 0.02:  # a chain of changes leads further than one change
            pool.append(data)
        if len(pool) > 2000:
            pool = [*seeds, *rng.sample(pool, 500)]


def _guided(findings: Findings, target: Target, until: float, seed: int) -> NoReturn:
    """Follow the coverage with atheris, which never returns."""
    began = time.process_time()
    seeds = inputs_of(findings.target)

    def one(data: bytes) -> None:
        findings.run(target.run, data)
        if time.process_time() > until:
            print(findings.report(time.process_time() - began), flush=True)
            os._exit(1 if findings.kinds else 0)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return mutated(data, target, seeds, rng)[:max_size] if rng.random() < 0.5 else atheris.Mutate(data, max_size)

    folder = findings.out / f"{findings.target}.inputs"
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(data)
    options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=120", f"-rss_limit_mb={MEMORY_MB}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(folder), *options], one, custom_mutator=mutator)
    atheris.Fuzz()
    os._exit(2)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> NoReturn:
        raise Hang

    before: Any = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def main() -> int:
    """Fuzz the targets one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", help=f"default: all ({', '.join(TARGETS)})")
    parser.add_argument("--seconds", type=float, default=60.0, help="the CPU time for each target")
    parser.add_argument("--out", type=Path, default=Path("fuzz-crashes"), help="the directory for crashes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {unknown[0]}; targets: {', '.join(TARGETS)}")
    if len(names) > 1:
        command = [sys.executable, __file__, "--seconds", str(options.seconds), "--out", str(options.out)]
        command += ["--seed", str(options.seed)]
        return max(subprocess.run([*command, name], check=False).returncode for name in names)
    findings = Findings(target=names[0], out=options.out)
    target, until = TARGETS[names[0]], time.process_time() + options.seconds
    with _alarm():
        if atheris is not None:
            _guided(findings, target, until, options.seed)
        _plainly(findings, target, until, random.Random(options.seed))
    print(findings.report(options.seconds), flush=True)
    return 1 if findings.kinds else 0


if __name__ == "__main__":
    sys.exit(main())

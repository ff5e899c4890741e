"""Converts the commands of a script: leading lines to keys, a single command to `command`, and the rest to `script`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.script_options import Dialect, is_command
from ordain.transforms.runs.shell_words import BUILTINS, POSIX_SHELL, RESERVED

Lines = list[tuple[int, str]]
"""Lines of a script with their numbers; 0 is the number of a line that is not in it."""

LAUNCHERS: Mapping[str, str] = {
    **dict.fromkeys(("mpirun", "mpiexec", "mpiexec.hydra", "mpirun.openmpi", "mpirun.mpich", "orterun"), ""),
    "srun": "Slurm",
    "ibrun": "a system of TACC",
    "aprun": "a system with ALPS",
    "jsrun": "a system with JSM",
    "lrun": "a system of LLNL",
    "prun": "a system with PRRTE or OpenHPC",
    "poe": "a system with IBM PE",
    "mpiexec_mpt": "a system with HPE MPT",
    "mpirun_rsh": "MVAPICH",
    "flux run": "Flux",
}
"""Launchers of parallel programs, with the system that alone has them, "" for any."""
_NAMES = "|".join(r"\s+".join(map(re.escape, name.split())) for name in LAUNCHERS)
_LAUNCHER = lazy_pattern(rf"(?<![\w./-])(?:{_NAMES})(?![\w./-])")
_COUNT = lazy_pattern(r"(?:-n|-np|--ntasks|--np)(?:=|\s+)?([0-9]+)\s")
_PLAIN_WORDS = lazy_pattern(r"[^$`*?\[\]{}()<>|&;~\\!#\n]*")
_EXPORT = lazy_pattern(r"export\s+([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_MODULE = lazy_pattern(r"(?:module|ml)\s+(?:load|add)\s+(.+)|ml\s+((?!-|load\b|add\b|purge\b|list\b)\S.*)")
_SET = lazy_pattern(r"set(?:\s+-[eu]+|\s+-[eu]*o\s+(?:pipefail|errexit|nounset))+")
_STOPS = lazy_pattern(r"\s-[a-z]*e|errexit")
_HERE_DOCUMENT = lazy_pattern(r"(?<!<)<<(-?)\s*(\\|['\"])?([A-Za-z_][\w.-]*)")


def add_body(draft: RunDraft, body: Lines, path: str, dialect: Dialect) -> None:
    """Add the commands of a script, which are what its directives leave, to ``draft``."""
    _Body(draft, path, dialect).add(body)


class _Body:
    def __init__(self, draft: RunDraft, path: str, dialect: Dialect) -> None:
        self.draft, self.path, self.dialect = draft, path, dialect
        shell = str(draft.get("shell") or "/bin/sh").rpartition("/")[2]
        self.posix = bool(POSIX_SHELL.fullmatch(shell))
        self.commented = self.posix or shell in {"csh", "tcsh"}
        self.at_home = dialect.at_home and not draft.get("working-directory")
        self.stops = False
        """The script ends at the first command that fails."""
        self.failing: Where | None = None
        """The place of a line that became a key, and whose failure does not end the script."""

    def where(self, number: int) -> Where:
        return Where(path=self.path, line=number)

    def add(self, body: Lines) -> None:
        rest = self.leading_keys(body) if self.posix else list(body)
        while rest and not rest[0][1].strip():
            rest.pop(0)
        while rest and not rest[-1][1].strip():
            rest.pop()
        if not any(is_command(line) for _, line in rest):
            self.draft.not_carried(Where(path=self.path), "the script has no command", "add `command`")
            return
        if self.failing:
            self.draft.set("on-failure", "continue", self.failing)
        rest = self.home(rest)
        commands = [(number, line) for number, line in rest if is_command(line) and not _SET.fullmatch(line.strip())]
        if len(commands) == 1 and self.posix and self.set_command(*commands[0]):
            self.draft.accounted |= {number for number, _ in rest}
        else:
            self.set_script(rest)
        self.check_array()

    def home(self, rest: Lines) -> Lines:
        """Return the script with a command that goes to the home directory, if it starts there and stays there."""
        first = next(line.strip() for _, line in rest if is_command(line))
        if not self.at_home or re.match(rf"cd\s+[\"']?(?:/|\$\{{?{self.dialect.submit_directory}\b)", first):
            return rest
        if not self.commented:
            what = f"{self.dialect.title} starts a job in the home directory, and a run where it is submitted"
            self.draft.not_carried(Where(path=self.path), what, "set `working-directory`")
            return rest
        return [(0, f"cd  # {self.dialect.title} starts a job in the home directory"), *rest]

    # Leading lines

    def leading_keys(self, body: Lines) -> Lines:
        """Take `cd`, `export` and `module load` with plain words from the top of the body, and return the rest."""
        kept: Lines = []
        taken = False
        rest = list(body)
        while rest:
            number, line = rest[0]
            stripped = line.strip()
            if is_command(line) and not _SET.fullmatch(stripped):
                if not self.take(stripped, self.where(number)):
                    break
                taken = True
            elif stripped:
                self.stops = self.stops or bool(is_command(line) and _STOPS.search(stripped))
                kept.append(rest[0])
            rest.pop(0)
        return [*kept, *rest] if taken else list(body)

    def take(self, line: str, where: Where) -> bool:
        """Set the key that a line means. Return False if it must stay in the script."""
        draft = self.draft
        if self.dialect.submit_directory and re.fullmatch(rf'cd "?\$\{{?{self.dialect.submit_directory}\}}?"?', line):
            draft.accounted.add(where.line)
            self.at_home = False
            return True  # the default of a Run
        if not _PLAIN_WORDS.fullmatch(line):
            return False
        try:
            words = shlex.split(line)
        except ValueError:
            return False
        if match := _EXPORT.fullmatch(line):
            # A module that is loaded before may set the variable, too.
            if (
                len(words) != 2
                or "modules" in draft.keys
                or match[1] in RESERVED
                or match[1].upper().startswith("ORDAIN_")
            ):
                return False
            draft.set_entry("environment", match[1], words[1].partition("=")[2], where)
            return True
        if match := _MODULE.fullmatch(line):
            for module in (match[1] or match[2]).split():
                modules = draft.keys.get("modules")
                stem = module.partition("/")[0]
                key = module if isinstance(modules, dict) and stem in modules else stem
                draft.set_entry("modules", key, module, where)
            self.may_fail(where)
            return True
        if words[0] == "cd" and len(words) == 2 and words[1].startswith("/"):
            return self.take_directory(words[1], where)
        return False

    def take_directory(self, directory: str, where: Where) -> bool:
        """Set the directory, unless the files of the output would move there, too."""
        files = [str(self.draft.get(key) or "/") for key in ("output", "errors", "input")]
        if self.draft.get("working-directory") not in (None, directory):
            return False
        if self.draft.get("working-directory") is None and not all(file.startswith("/") for file in files):
            return False
        self.draft.set("working-directory", directory, where)
        self.at_home = False
        self.may_fail(where)
        return True

    def may_fail(self, where: Where) -> None:
        if not self.stops:
            self.failing = self.failing or where

    # Commands

    def set_command(self, number: int, line: str) -> bool:
        """Set `command` if the only command of the script has plain words. Return False if it must stay a script."""
        if not _PLAIN_WORDS.fullmatch(line):
            return False
        try:
            words = shlex.split(line)
        except ValueError:
            return False
        length = 2 if " ".join(words[:2]) in LAUNCHERS else 1
        launched = " ".join(words[:length]) in LAUNCHERS
        if launched:
            words = self.without_count(words[length:])
        if not words or words[0].startswith("-") or words[0] in BUILTINS or "=" in words[0]:
            return False
        where = self.where(number)
        if launched:
            self.draft.set("launcher", "mpi", where)
        value: list[Plain] = [*words]
        self.draft.set("command", value, where)
        self.draft.keys.pop("shell", None)
        return True

    def without_count(self, words: list[str]) -> list[str]:
        """Return the words after a launcher without its number of tasks, if it is that of the run."""
        match = _COUNT.match(" ".join(words) + " ")
        if match is None or int(match[1]) != self.tasks():
            return words
        return words[len(match[0].split()) :]

    def tasks(self) -> int:
        numbers = [self.draft.get(f"resources/{key}") for key in ("tasks", "nodes", "tasks-per-node")]
        tasks, nodes, tasks_per_node = (number if isinstance(number, int) else None for number in numbers)
        return tasks or (nodes or 1) * (tasks_per_node or 1)

    # The rest

    def set_script(self, rest: Sequence[tuple[int, str]]) -> None:
        """Set `script`, with neutral names for the variables of the scheduler where the shell expands them."""
        lines: list[str] = []
        end = ""
        data = tabs = False
        for number, line in rest:
            if end:
                done = (line.lstrip("\t") if tabs else line) == end
                lines.append(line if data or done else self.translated(line, number))
                if data and not done:
                    self.report_variables(line, number)
                end = "" if done else end
            else:
                lines.append(self.translated(line, number))
                if not line.lstrip().startswith("#") and (match := _HERE_DOCUMENT.search(line)):
                    tabs, data, end = bool(match[1]), bool(match[2]), match[3]
            self.draft.accounted.add(number)
        first = next(number for number, _ in rest if number) if any(number for number, _ in rest) else 0
        self.draft.set("script", "\n".join(lines) + "\n", self.where(first))

    def translated(self, line: str, number: int) -> str:
        """Return a line with neutral names, and report those that stay."""
        dialect, array = self.dialect, self.draft.get("array") is not None
        for theirs, ours in dialect.variables.items():
            if not (array and theirs in dialect.of_element):
                line = re.sub(rf"(?<!\\\$)(?<=\$){theirs}\b|(?<!\\\$\{{)(?<=\$\{{){theirs}\b", ours, line)
        if line.lstrip().startswith("#"):
            return line
        self.report_variables(line, number)
        launchers = {" ".join(match[0].split()) for match in _LAUNCHER.finditer(line)}
        owners = {name: LAUNCHERS[name] for name in sorted(launchers) if LAUNCHERS[name]}
        words = set(re.findall(r"[\w./-]+", line))
        owners |= dict.fromkeys(sorted(dialect.commands & words), dialect.title)
        for command, owner in owners.items():
            hint = f"only {owner} has it: use `command` or `steps` with `launcher: mpi`"
            self.draft.not_carried(self.where(number), f"the command {command} stays in the script", hint)
        return line

    def report_variables(self, line: str, number: int) -> None:
        """Report each variable of the scheduler in a line."""
        dialect, array = self.dialect, self.draft.get("array") is not None
        for name in dict.fromkeys(match[0] for match in dialect.foreign.finditer(line)):
            hint = f"only {dialect.title} sets it: use a variable that starts with ORDAIN_, or write the number"
            if name == dialect.submit_directory:
                hint = "a run starts in the directory that it is submitted from: remove it, or write the directory"
            if array and name in dialect.of_element:
                hint = f"each element has its own; use ORDAIN_JOB_ID with ORDAIN_INDEX, or keep it for {dialect.title}"
            self.draft.not_carried(self.where(number), f"the variable {name} stays in the script", hint)

    def check_array(self) -> None:
        """Report an array that only the command line of the submission had."""
        script = str(self.draft.get("script") or "")
        files = " ".join(str(self.draft.get(key) or "") for key in ("output", "errors", "input"))
        if self.draft.get("array") is None and ("ORDAIN_INDEX" in script or "{index}" in files):
            what = "the script is for an array, which it does not have"
            self.draft.not_carried(Where(path=self.path), what, "add the indices, such as `array: 1-10`")

"""Makes the commands of one element of a run, for a POSIX shell: `job_script` puts them into the script of its job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Leaf, Row
from ordain.transforms.runs import directive_lines, site_limits
from ordain.transforms.runs.directive_lines import Directives, causes_of, unsupported, with_site
from ordain.transforms.runs.patterns import PatternValue, fill_words
from ordain.transforms.runs.run_model import NO_LEAF, Element, ResolvedRun, ScriptLine
from ordain.transforms.runs.scheduler_rows import RunSystem, vectors
from ordain.transforms.runs.shell_words import RESERVED, TAKES_TEXT, command, here_document, quoted

INDEX, JOB, RUN = "ORDAIN_INDEX", "ORDAIN_JOB_ID", "ORDAIN_RUN"
"""Variables of every script: the index of the element, the id of the job, the name of the run."""
FAIL = "ordain_fail"
"""The function of a script that prints an error and ends it."""
SHELL = "/bin/sh"
"""The shell of a script that names none."""
_MAX_WORD = 128 << 10
"""The bytes of a string that Linux hands to a program, with the one that ends it."""
_DIRECTORY = "\0directory\0"
"""Stands for the working directory in the words of a container, until the line is quoted."""


@dataclass(slots=True)
class ScriptPart:
    """A part of a script: a heading and its lines."""

    title: str
    lines: list[ScriptLine] = field(default_factory=list)

    def add(self, text: str, cause: Leaf) -> None:
        """Add a line that ``cause`` sets."""
        self.lines.append(ScriptLine(text=text, cause=cause))

    def headed(self) -> Iterator[ScriptLine]:
        """Yield the lines; the first one has the heading."""
        for at, line in enumerate(self.lines):
            yield line if at else replace(line, heading=self.title)


class ElementCommands:
    """The commands of one element, in parts that are in the same order for all elements."""

    def __init__(
        self,
        element: Element,
        *,
        run: ResolvedRun,
        shared: Branch,
        system: RunSystem,
        directives: Directives,
        redirect: Sequence[tuple[str, Leaf]],
        problems: list[Problem],
    ) -> None:
        """Prepare the commands of ``element``.

        ``shared`` has the values that all elements have in common, ``redirect`` the redirections for files that no
        directive can name. New problems are added to ``problems``.
        """
        self.element, self.run, self.shared, self.tree, self.system = element, run, shared, element.tree, system
        self.values, self.causes, self.problems = dict(directives.values), directives.causes, problems
        self.continues, self.redirect = goes_on(shared), redirect
        self.used: set[str] = set()
        self.container = self._container_words()

    def parts(self) -> list[ScriptPart]:
        """Return the parts, some of which may be empty."""
        return [
            self._parameters(),
            self._environment(),
            self._directory(),
            self._traps(),
            self._modules(),
            self._stage_in(),
            self._checks("before"),
            self._main(),
            self._result(),
            self._checks("after"),
            self._stage_out(),
        ]

    def _problem(self, leaf: Leaf, what: str, hint: str, code: str = "Encode") -> None:
        self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code=code))

    def _parameters(self) -> ScriptPart:
        part = ScriptPart("Parameters")
        for name, value in self.element.parameters.items():
            self._export(part, name, value, self.tree.branch("parameters").leaf(name) or NO_LEAF)
        return part

    def _environment(self) -> ScriptPart:
        part = ScriptPart("Environment")
        for name, child in self.tree.branch("environment").children.items():
            assert isinstance(child, Leaf)
            self._export(part, name, str(child.value), child)
        return part

    def _export(self, part: ScriptPart, name: str, value: str, leaf: Leaf) -> None:
        if name in RESERVED or name.upper().startswith("ORDAIN_"):
            hint = "choose another name, or set it in a command: env NAME=VALUE PROGRAM"
            self._problem(leaf, f"a script cannot set the variable {name}: the shell or Ordain sets it", hint)
            return
        self._check_length(f"{name}={value}", f"the variable {name}", leaf)
        part.add(f"export {name}={quoted(value)}", leaf)

    def _directory(self) -> ScriptPart:
        part = ScriptPart("Directory and output")
        leaf = self.tree.leaf("working-directory")
        if leaf:
            part.add(f"cd -- {quoted(str(leaf.value))}", leaf)
        elif variable := self.system.texts("variables").get("submit-directory"):
            part.add(
                f'cd -- "${{{variable}:-.}}"', self.system.row.branch("variables").leaf("submit-directory") or NO_LEAF
            )
        redirect = self.redirect
        for word, cause in redirect:
            if "/" in word:
                part.add(f'mkdir -p -- "$(dirname -- {word})"', cause)
        if len(redirect) == 1:
            errors_only = self.shared.leaf("output") is None
            part.add(f"exec 2>{redirect[0][0]}" if errors_only else f"exec >{redirect[0][0]} 2>&1", redirect[0][1])
        elif redirect:
            part.add(f"exec >{redirect[0][0]} 2>{redirect[1][0]}", redirect[0][1])
        return part

    def _traps(self) -> ScriptPart:
        """Return the function that runs at the end of the script, whatever its result is."""
        part = ScriptPart("End of the run")
        hooks = self.tree.branch("hooks")
        copies = [(n, b) for n, b in self.tree.branch("stage-out").branches() if b.value("when") == "always"]
        success, failure = hooks.leaf("on-success"), hooks.leaf("on-failure")
        cause = success or failure or next((b.here for _, b in copies), None)
        if cause is None:
            return part
        part.add("ordain_signal=", cause)
        part.add("ordain_end() {", cause)
        part.add("ordain_status=$?", cause)
        part.add("trap - EXIT", cause)
        part.add("set +e", cause)
        for name, branch in copies:
            to = branch.leaf("to") or branch.here
            for line in self._copy(name, str(to.value)):
                part.add(line, to)
        for test, leaf in (("=", success), ("!=", failure)):
            if leaf:
                part.add(f'if [ "$ordain_status" {test} 0 ]; then', leaf)
                for words in self._vectors(leaf):
                    part.add(command(words), leaf)
                part.add("fi", leaf)
        # The scheduler must see that the signal ended the script, and not an exit status.
        part.add('[ -z "$ordain_signal" ] || { trap - "$ordain_signal"; kill -s "$ordain_signal" "$$"; }', cause)
        part.add('exit "$ordain_status"', cause)
        part.add("}", cause)
        part.add("trap ordain_end EXIT", cause)
        # A hook starts with both signals ignored, because systemd and Slurm signal a group until it gains no process:
        # cg_kill_items() of systemd's cgroup-util.c would end a hook that starts while the commands are being ended.
        part.add("trap 'trap \"\" TERM INT; ordain_signal=TERM; exit 143' TERM", cause)
        part.add("trap 'trap \"\" TERM INT; ordain_signal=INT; exit 130' INT", cause)
        return part

    def _modules(self) -> ScriptPart:
        part = ScriptPart("Modules")
        load = next(iter(self.system.words("module-load")), ("module", "load", "{module}"))
        first = True
        for module_row in site_limits.real_modules(self.tree, self.system):
            if isinstance(module_row, Problem):
                self.problems.append(module_row)
                continue
            module, leaf, row = module_row
            setup = self.system.row.leaf("module-setup")
            if first and setup and load[0] == "module":
                # A shell ends if the file of the command `.` is missing.
                file = quoted(str(setup.value))
                part.add(f"command -v module >/dev/null 2>&1 || [ ! -r {file} ] || . {file}", setup)
            first = False
            words, _ = fill_words(load, {"module": module})
            # `module` is a function of the shell, so it is not run as a program.
            line = " ".join(map(quoted, words))
            failure = f" || {FAIL} {quoted(f'the module {module} cannot be loaded')}"
            text = line if self.continues else line + failure
            part.lines.append(ScriptLine(text=text, cause=leaf, more=with_site((), row)))
        return part

    def _result(self) -> ScriptPart:
        """Return the commands that keep the result of the last command from what comes after it."""
        part = ScriptPart("Result")
        later = self._checks("after").lines or self._stage_out().lines
        leaf = self.shared.leaf("on-failure")
        if self.continues and later and leaf:
            part.add("ordain_status=$?", leaf)
            part.add('[ "$ordain_status" = 0 ] || exit "$ordain_status"', leaf)
            part.add("set -e", leaf)
        return part

    def _stage_in(self) -> ScriptPart:
        part = ScriptPart("Stage in")
        for name, child in self.tree.branch("stage-in").children.items():
            assert isinstance(child, Leaf)
            for line in self._copy(str(child.value), name):
                part.add(line, child)
        return part

    def _stage_out(self) -> ScriptPart:
        part = ScriptPart("Stage out")
        for name, branch in self.tree.branch("stage-out").children.items():
            assert isinstance(branch, Branch)
            leaf = branch.leaf("to")
            if leaf is None:
                self._problem(branch.here, "a copy without a target", "write `to: PATH`", "Schema")
            elif branch.value("when") != "always":
                for line in self._copy(name, str(leaf.value)):
                    part.add(line, leaf)
        return part

    def _copy(self, source: str, target: str) -> Iterator[str]:
        """Yield the commands of a copy. A target that ends with / is a directory, which gets a copy of that name."""
        if target.endswith("/"):
            target += source.rstrip("/").rpartition("/")[2]
        if directory := target.rpartition("/")[0]:
            yield f"mkdir -p -- {quoted(directory)}"
        words = next(iter(self.system.words("copy")), ("cp", "-R", "-H", "-T", "--", "{source}", "{target}"))
        filled, _ = fill_words(words, {"source": source, "target": target})
        yield command(filled)

    def _checks(self, when: str) -> ScriptPart:
        part = ScriptPart(f"Checks {when}")
        leaf = self.tree.branch("checks").leaf(when)
        for words in self._vectors(leaf) if leaf else ():
            text = f"the check {when} the run failed: {' '.join(words)}"
            part.add(f"{self._contained(words)} || {FAIL} {quoted(text)} $?", leaf or NO_LEAF)
        return part

    def _main(self) -> ScriptPart:
        part = ScriptPart("Commands")
        whole, script, steps = (self.tree.leaf(key) for key in ("command", "script", "steps"))
        launcher = self.tree.leaf("launcher")
        if whole:
            for words in self._vectors(whole):
                launcher_words, more = self._launch(launcher, launcher)
                line = self._contained(words, launcher_words) + self._input()
                part.lines.append(ScriptLine(text=line, cause=whole, more=more))
        elif script:
            self._add_script(part, script, launcher)
        elif steps and steps.value:
            assert isinstance(steps.value, tuple)
            for row in steps.value:
                assert isinstance(row, Row)
                self._add_step(part, row, steps, launcher)
        else:
            hint = 'add `command`, `steps` or `script`; a layer for all runs has `match: {run: "*"}`'
            what = f"the run {self.run.name} has nothing to run"
            self.problems.append(Problem(where=self.run.where, what=what, hint=hint, code="Item"))
        return part

    def _add_step(self, part: ScriptPart, row: Row, steps: Leaf, launcher: Leaf | None) -> None:
        cells = dict(row.cells)
        leaf = Leaf(value=None, where=row.where, layer=steps.layer)
        own = Leaf(value=cells["launcher"], where=row.where, layer=steps.layer) if "launcher" in cells else launcher
        value = cells.get("command")
        if not isinstance(value, tuple):
            self._problem(leaf, f"the step {cells.get('name')} has no command", "add `command`", "Item")
            return
        name = str(cells.get("name"))
        directory = str(cells.get("working-directory") or "")
        for words in self._vectors(Leaf(value=value, where=row.where)):
            launcher_words, more = self._launch(own, leaf)
            line = self._contained(words, launcher_words) + self._input()
            if directory:
                start = "" if directory.startswith(("/", "./", "../")) else "./"
                line = f"(cd -- {quoted(start + directory)} && {line})"
            if self.continues and "on-failure" not in cells:
                pass  # the shell goes on, and the result is that of the last step
            elif cells.get("on-failure") == "continue":
                text = f"ordain: the step {name} failed; the run continues"
                line += f" || echo {quoted(text)} >&2"
            else:
                line += f" || {FAIL} {quoted(f'the step {name} failed')} $?"
            part.lines.append(ScriptLine(text=line, cause=leaf, more=more))

    def _add_script(self, part: ScriptPart, script: Leaf, launcher: Leaf | None) -> None:
        text = str(script.value)
        shell = str(self.tree.value("shell", SHELL))
        if launcher and launcher.value != "none":
            hint = "call the launcher in the script, or use `command`"
            self._problem(launcher, "a launcher starts a command, not a script", hint, "Item")
        if "\r" in text:
            self._problem(
                script, "the script has a carriage return, which a shell does not ignore", "save it with Unix line ends"
            )
        if self.container:
            if not TAKES_TEXT.fullmatch(shell.rpartition("/")[2]):
                hint = "put the script into a file that the container sees, and name the file in `command`"
                what = f"{shell} cannot run a script in a container, because it does not take its text with -c"
                self._problem(self.tree.leaf("shell") or script, what, hint, "Item")
            part.add(self._contained((shell, "-c", text)) + self._input(), script)
            return
        form = directive_lines.directive_form(self.system)
        word, lines = here_document(
            text.removesuffix("\n").split("\n"),
            lambda line: bool(form and form.whole_script and form.pattern.match(line)),
        )
        part.add(f"{quoted(shell)} /dev/fd/9 9<<{word}{self._input()}", self.tree.leaf("shell") or script)
        part.lines += (ScriptLine(text=line, cause=script, commented=False) for line in lines)

    def _input(self) -> str:
        """Return the redirection of the standard input."""
        leaf = self.tree.leaf("input")
        return f" <{quoted(str(leaf.value))}" if leaf else ""

    def _contained(self, words: Sequence[str], launcher_words: Sequence[str] = ()) -> str:
        """Return the command that runs ``words`` in the container, if there is one."""
        line = command((*launcher_words, *self.container, *words))
        return line.replace(_DIRECTORY, "'\"$PWD\"'")

    def _launch(self, launcher: Leaf | None, cause: Leaf | None) -> tuple[tuple[str, ...], tuple[Leaf, ...]]:
        """Return the words of the launcher in front of a command, and the values of documents that they come from."""
        if launcher is None or launcher.value == "none":
            return (), ()
        words = self.system.launcher(str(launcher.value))
        if not words:
            self.problems.append(unsupported(self.system, "launcher", cause or launcher, str(launcher.value)))
            return (), ()
        filled, used = fill_words(words, self.values)
        self.used |= used
        row = self.system.row.branch("launchers").leaf(str(launcher.value))
        return filled, with_site(causes_of(used, self.causes), row)

    def _container_words(self) -> tuple[str, ...]:
        container = self.tree.branch("container")
        image = container.leaf("image")
        if not container:
            return ()
        if image is None:
            self._problem(container.here, "a container without an image", "set container/image, too", "Item")
            return ()
        patterns = next(iter(self.system.words("container")), ())
        if not patterns:
            self.problems.append(unsupported(self.system, "container", image))
            return ()
        mounts = {name: str(leaf.value) for name, leaf in container.branch("mounts").leaves()}
        for source, target in mounts.items():
            if "," in source + target or ":" in source + target:
                leaf = container.branch("mounts").leaf(source) or image
                self._problem(leaf, f"{source!r} cannot be a mount of a container", "use paths without : and ,")
        names = (*self.tree.branch("environment").children, *self.element.parameters, RUN, JOB)
        values: dict[str, PatternValue] = {
            **self.values,
            "image": str(image.value),
            "environment-names": names,
            "working-directory": _DIRECTORY,
        }
        if mounts:
            values["mounts"] = tuple(f"{source}:{target}" for source, target in mounts.items())
        filled, used = fill_words(patterns, values)
        self.used |= used
        if mounts and "mounts" not in used:
            self.problems.append(unsupported(self.system, "container/mounts", container.branch("mounts").here))
        return filled

    def _vectors(self, leaf: Leaf) -> tuple[tuple[str, ...], ...]:
        """Return the argument vectors of a command; an empty first word is a problem."""
        words_of_each = vectors(leaf)
        if any(not words or not words[0] for words in words_of_each):
            self._problem(leaf, "the first word of a command is empty", "write the name of a program", "Item")
            return ()
        for word in (word for words in words_of_each for word in words):
            self._check_length(word, "a word of a command", leaf)
        return words_of_each

    def _check_length(self, text: str, title: str, leaf: Leaf) -> None:
        if len(text.encode()) >= _MAX_WORD:
            what = f"{title} has {len(text.encode()):,} bytes; a program gets at most {_MAX_WORD - 1:,} (execve(2))"
            self._problem(leaf, what, "put it into a file")


def goes_on(shared: Branch) -> bool:
    """Return whether a run goes on after a command that failed."""
    return shared.value("on-failure") == "continue"

"""Makes the script of a job: directives for the scheduler, then the commands in the language of a POSIX shell.

numbers, words, files ─directive_lines▶ directives ┐
each element ─_Body▶ parts of the script ──────────┴─▶ lines, each with its cause
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ordain.transforms.document.formats.command_line import BadCommandLine, split
from ordain.transforms.document.formats.pattern_syntax import BadPattern, Variable
from ordain.transforms.document.formats.run_formats import indices
from ordain.transforms.errors import Problem, Severity, did_you_mean
from ordain.transforms.model import Branch, Leaf, Row, strings
from ordain.transforms.runs import directive_lines, site_limits
from ordain.transforms.runs.directive_lines import Directives, causes_of, directive_path, unsupported, with_site
from ordain.transforms.runs.job_numbers import EXPRESSED_BY, job_numbers
from ordain.transforms.runs.patterns import PatternValue, fill, fill_words
from ordain.transforms.runs.run_model import NO_LEAF, Element, JobScript, ResolvedRun, ScriptLine
from ordain.transforms.runs.scheduler_rows import RunSystem, vectors
from ordain.transforms.runs.shell_words import (
    DEFINE_NEWLINE,
    DEFINE_NOTHING,
    NEWLINE,
    NOTHING,
    POSIX_SHELL,
    RESERVED,
    TAKES_TEXT,
    command,
    here_document,
    quoted,
)

INDEX, JOB, RUN = "ORDAIN_INDEX", "ORDAIN_JOB_ID", "ORDAIN_RUN"
"""Variables of every script: the index of the element, the id of the job, the name of the run."""
_MAX_WORD = 128 << 10
"""The bytes of a string that Linux hands to a program, with the one that ends it."""
_FAIL = "ordain_fail"
_DIRECTORY = "\0directory\0"
"""Stands for the working directory in the words of a container, until the line is quoted."""
_SH = "/bin/sh"


def job_scripts(
    run: ResolvedRun, shared: Branch, elements: Sequence[Element], system: RunSystem, token: str = ""
) -> tuple[tuple[JobScript, ...], tuple[Problem, ...]]:
    """Return the jobs of a run on ``system`` and its problems: one job, or one for each element without arrays.

    ``token`` makes the names of units different from those of other submissions.
    """
    arrays = bool(directive_lines.names_in_directives(system) & {"indices", "index-range"})
    if len(elements) == 1 or arrays:
        script, problems = _Job(run, shared, elements, system, None, token).script()
        return (script,), tuple(problems)
    scripts: list[JobScript] = []
    all_problems: list[Problem] = []
    for element in elements:
        script, problems = _Job(run, shared, [element], system, element.index, token).script()
        scripts.append(script)
        all_problems += problems
    return tuple(scripts), tuple(dict.fromkeys(all_problems))


class _Job:
    """One job. ``index`` is the index of its element if the job is one of several, else None."""

    def __init__(
        self,
        run: ResolvedRun,
        shared: Branch,
        elements: Sequence[Element],
        system: RunSystem,
        index: int | None,
        token: str,
    ) -> None:
        self.run, self.shared, self.elements, self.system, self.index = run, shared, elements, system, index
        self.numbers = job_numbers(shared)
        self.array = len(elements) > 1
        self.unit = "-".join(filter(None, ("ordain-run", self.name, token)))
        self.problems: list[Problem] = list(self.numbers.problems)
        self.here = Leaf(value=None, where=run.where, layer=run.name)
        self.redirect: list[tuple[str, Leaf]] = []
        """Redirections of the shell, for files that no directive can name."""

    def script(self) -> tuple[JobScript, list[Problem]]:
        """Return the job, and its problems."""
        directives = self.directives()
        # All elements of a plain array are alike, and there may be 100,000 of them.
        first = self.elements[0]
        alike = all(element.tree is first.tree and not element.parameters for element in self.elements)
        different = self.elements[:1] if alike else self.elements
        elements = [_Body(self, element, directives, self.problems) for element in different]
        bodies = [element.parts() for element in elements]
        self.check_expressed(frozenset(directives.used.union(*(element.used for element in elements))))
        as_arguments = self.system.row.value("prefix") is None
        own = () if as_arguments else directives.lines
        after = tuple(self.dependencies())
        lines = [
            *self.head(),
            *own,
            *_helpers(bodies, stops=not self.continues),
            *self.identity(directives.values),
            *self.body(bodies),
        ]
        self.check_lines(lines, len(self.head()) + len(own))
        script = JobScript(
            run=self.run.name,
            system=self.system.name,
            index=self.index,
            elements=len(self.elements),
            lines=tuple(lines),
            arguments=directives.lines if as_arguments else (),
            after=after,
            output=self.output_file("output"),
            errors=self.output_file("errors") if self.shared.leaf("errors") else "",
            unit=self.unit,
        )
        return script, list(dict.fromkeys(self.problems))

    @property
    def continues(self) -> bool:
        """Return whether the run goes on after a command that failed."""
        return self.shared.value("on-failure") == "continue"

    @property
    def name(self) -> str:
        return self.run.name if self.index is None else f"{self.run.name}-{self.index}"

    def directory(self) -> str | None:
        """Return the working directory, "" for that of the submission; None if each element has another one."""
        directories = {str(element.tree.value("working-directory", "")) for element in self.elements}
        return directories.pop() if len(directories) == 1 else None

    @property
    def shell(self) -> str:
        """Return the shell of the whole script: that of the system, or else bash if that is the shell of `script`.

        Only bash passes on functions, such as `module`, which clusters put into the environment.
        """
        own = self.system.row.leaf("shell")
        shells = {str(element.tree.value("shell", _SH)) for element in self.elements}
        bash = next((shell for shell in shells if shell.rpartition("/")[2] == "bash"), None)
        return str(own.value) if own else bash if bash and len(shells) == 1 else _SH

    def head(self) -> list[ScriptLine]:
        shell, leaf = self.shell, self.system.row.leaf("shell")
        if leaf and not POSIX_SHELL.fullmatch(shell.rpartition("/")[2]):
            what = f"the scripts of Ordain are in the language of a POSIX shell, which {shell} does not read"
            hint = "name such a shell, such as /bin/bash; `shell` of a Run is the one of its own script"
            self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code="BadTransform"))
        about = f"# Made by `ordainctl run render`: the run {self.name} for the system {self.system.name}."
        cause = self.system.row.leaf("shell") or NO_LEAF
        return [ScriptLine(text=f"#!{shell}", cause=cause, commented=False), ScriptLine(text=about)]

    # Directives

    def directives(self) -> Directives:
        """Return the directives, with the values of everything that is not a command."""
        values: dict[str, PatternValue] = {
            "name": self.name,
            "unit": self.unit,
            "shell": self.shell,
            **self.numbers.values,
        }
        causes = {"name": (self.here,), **self.numbers.causes}
        directives = Directives(self.system, values, causes, frozenset(self.numbers.facts()))
        self.set_words(directives)
        self.set_files(directives)
        self.set_array(directives)
        inherit = self.shared.leaf("inherit-environment")
        flag = "inherit-environment" if inherit and inherit.value is True else "clean-environment"
        self.set(directives, flag, True, inherit)
        queue = str(self.shared.value("queue", "") or self.system.text("default-queue"))
        self.problems += site_limits.over_limits(self.numbers, self.system, queue, len(self.elements), self.here)
        directives.check_values()
        directives.add_all()
        self.add_native(directives)
        self.problems += directives.problems
        return directives

    @staticmethod
    def set(
        directives: Directives, name: str, value: PatternValue, cause: Leaf | None, rows: Sequence[Leaf] = ()
    ) -> None:
        directives.values[name] = value
        if cause:
            directives.causes[name] = (cause, *rows)

    def set_words(self, directives: Directives) -> None:
        """Set the account, the queue, the type of GPU, the features and the mail in the words of the system."""
        queues = {word: str(row.value("name", word)) for word, row in self.system.row.branch("queues").branches()}
        resources = self.shared.branch("resources")
        translations = {
            "account": (self.shared.leaf("account"), self.system.texts("accounts"), "accounts"),
            "queue": (self.shared.leaf("queue") or self.system.row.leaf("default-queue"), queues, "queues"),
            "gpu-type": (resources.leaf("gpu-type"), self.system.texts("gpu-types"), "gpu-types"),
            "features": (resources.leaf("features"), self.system.texts("features"), "features"),
        }
        for key, (leaf, known, section) in translations.items():
            if leaf is None:
                continue
            texts = strings(leaf.value) if isinstance(leaf.value, tuple) else (str(leaf.value),)
            translated = [site_limits.translated(key, text, leaf, known, self.system, section) for text in texts]
            self.problems += (word for word in translated if isinstance(word, Problem))
            words = tuple(word for word in translated if isinstance(word, str))
            rows = [row for text in texts if (row := self.word_row(section, text))]
            if words:
                self.set(directives, key, words if isinstance(leaf.value, tuple) else words[0], leaf, rows)
        mail = self.shared.branch("mail")
        to, on = mail.leaf("to"), mail.leaf("on")
        if to and on:
            self.set(directives, "mail-to", str(to.value), to)
        elif to:
            what, hint = "no mail is sent, because mail/on names no event", "set mail/on, such as `on: [end]`"
            where, severity = to.where, Severity.WARNING
            self.problems.append(Problem(where=where, what=what, hint=hint, code="NoEffect", severity=severity))
        if on:
            events: list[str] = []
            for word in directive_lines.mail_words(on, self.system):
                if isinstance(word, Problem):
                    self.problems.append(word)
                else:
                    events.append(word)
            self.set(directives, "mail-events", tuple(events), on)

    def word_row(self, section: str, word: str) -> Leaf | None:
        """Return the row that translates a neutral word."""
        rows = self.system.row.branch(section)
        return rows.branch(word).leaf("name") if section == "queues" else rows.leaf(word)

    def set_files(self, directives: Directives) -> None:
        """Set the files of the output, as directives if the scheduler can name both, else for the shell."""
        fixed = {"run": self.run.name}
        if len(self.elements) == 1 and self.elements[0].index is not None:
            fixed["index"] = str(self.elements[0].index)
        directory = self.directory()
        files: dict[str, tuple[str | Variable, ...]] = {}
        for key in ("output", "errors"):
            if leaf := self.shared.leaf(key):
                try:
                    parts = directive_lines.output_parts(leaf, elements=self.elements[0].index is not None)
                except BadPattern as error:
                    what = f"{leaf.value!r} is not the name of a file for the {key} of a run"
                    self.problems.append(Problem(where=leaf.where, what=what, hint=str(error)))
                    return
                relative = not str(leaf.value).startswith("/")
                if not relative or directory is not None:
                    self.check_shared_file(leaf, parts)
                files[key] = (f"{directory}/", *parts) if relative and directory else parts
        if not self.shared.leaf("errors"):
            directives.values["joined"] = True
        named = directive_lines.names_in_directives(self.system)
        texts = {
            key: directive_path(key, parts, fixed, self.system, array=self.array) if key in named else None
            for key, parts in files.items()
        }
        for key, text in texts.items():
            leaf = self.shared.leaf(key)
            assert leaf is not None
            if None in texts.values() or directory is None:
                self.redirect.append((self.shell_file(files[key], fixed), leaf))
            else:
                assert text is not None
                self.set(directives, key, text, leaf)

    def check_shared_file(self, leaf: Leaf, parts: tuple[str | Variable, ...]) -> None:
        """Add a warning for a file that all elements of an array write to."""
        if self.array and not any(isinstance(part, Variable) and part.name == "index" for part in parts):
            what, hint = f"all {len(self.elements)} elements write to the same file", "name it with {index}"
            where, severity = leaf.where, Severity.WARNING
            self.problems.append(Problem(where=where, what=what, hint=hint, code="Doubtful", severity=severity))

    def shell_file(self, parts: tuple[str | Variable, ...], fixed: Mapping[str, str]) -> str:
        """Return a file name as one word of the shell, with its tokens as variables."""
        variables = {"job": JOB, "index": INDEX, "run": RUN}
        texts: list[str] = [""]
        words: list[str] = []
        for part in parts:
            if isinstance(part, str) or part.name in fixed:
                texts.append(part if isinstance(part, str) else fixed[part.name])
            else:
                words += [quoted(text) for text in ["".join(texts)] if text] + [f'"${{{variables[part.name]}}}"']
                texts = []
        return "".join(words + [quoted(text) for text in ["".join(texts)] if text])

    def set_array(self, directives: Directives) -> None:
        if not self.array:
            return
        array = self.shared.branch("array")
        leaf = array.leaf("indices")
        text = str(leaf.value) if leaf else f"1-{len(self.elements)}"
        cause = leaf or self.shared.branch("parameters").here
        self.set(directives, "indices", text, cause)
        if len(indices(text)) == 1:
            self.set(directives, "index-range", text, cause)
        if most := array.leaf("most-at-once"):
            assert isinstance(most.value, int)
            self.set(directives, "most-at-once", most.value, most)

    def add_native(self, directives: Directives) -> None:
        in_script = self.system.row.value("prefix") is not None
        for scheduler, child in self.shared.branch("native").children.items():
            assert isinstance(child, Leaf)
            if scheduler not in self.system.schedulers:
                hint = did_you_mean(scheduler, self.system.schedulers) or "name a scheduler of `schedulers`"
                what = f"no row describes the scheduler {scheduler}"
                self.problems.append(Problem(where=child.where, what=what, hint=hint, code="UnknownName"))
                continue
            if scheduler != self.system.scheduler:
                what = f"these directives for {scheduler} are not used on {self.system.name}"
                hint = f"its scheduler is {self.system.scheduler}; use neutral keys where there are any"
                problem = Problem(
                    where=child.where, what=what, hint=hint, code="NativeUnused", severity=Severity.WARNING
                )
                self.problems.append(problem)
                continue
            try:
                texts = strings(child.value)
                words = texts if in_script else [word for text in texts for word in split(text)]
            except BadCommandLine as error:
                self.problems.append(Problem(where=child.where, what=str(error), code="Encode"))
            else:
                directives.add_native(words, child)

    def check_expressed(self, expressed: frozenset[str]) -> None:
        """Add a problem for each key of the run that nothing in the script expresses, which uses ``expressed``."""
        used = expressed.union(self.numbers.facts())
        for key, sets in EXPRESSED_BY.items():
            section, _, name = key.rpartition("/")
            leaf = (self.shared.branch(section) if section else self.shared).leaf(name)
            if leaf is None or leaf.value is None or (leaf.value is False and name == "exclusive"):
                continue
            known = any(
                p.where.pointer == leaf.where.pointer and p.where.path == leaf.where.path for p in self.problems
            )
            if not known and directive_lines.unexpressed(used, sets):
                self.problems.append(unsupported(self.system, key, leaf, _shown(leaf)))
        if self.array and not used & {"indices", "index-range"}:
            leaf = self.shared.branch("array").leaf("indices") or self.shared.branch("parameters").here
            self.problems.append(unsupported(self.system, "array", leaf, "these indices of an array"))

    def dependencies(self) -> Iterator[tuple[str, str]]:
        """Yield the runs that must come first, with their conditions, and add a problem for each that cannot be had."""
        known = {name for name, _, _ in self.system.patterns("dependencies")}
        for name, child in self.shared.branch("after").children.items():
            assert isinstance(child, Leaf)
            condition = "ok" if child.value is True else str(child.value)
            if condition in known:
                yield name, condition
            else:
                self.problems.append(unsupported(self.system, "after", child, condition))

    # Script

    def identity(self, values: Mapping[str, PatternValue]) -> Iterator[ScriptLine]:
        """Yield the lines that set the variables of every script."""
        names = self.system.texts("variables")
        job = names.get("array-job", "") if self.array else ""
        job = job or names.get("job", "")
        yield ScriptLine(text=f"export {RUN}={quoted(self.run.name)}", heading="Job")
        for name, patterns, leaf in self.system.patterns("exports"):
            if filled_pattern := next((filled for pattern in patterns if (filled := fill(pattern, values))), None):
                yield ScriptLine(text=f"export {name}={quoted(''.join(filled_pattern.texts))}", cause=leaf)
        if job != JOB:
            yield ScriptLine(text=f'export {JOB}="${{{job}-}}"' if job else f"export {JOB}=")
        if self.array:
            index = names.get("index", "")
            unset = "the scheduler has not set the index of the element"
            yield ScriptLine(text=f'export {INDEX}="${{{index or INDEX}:?{unset}}}"')
        elif self.elements[0].index is not None:
            yield ScriptLine(text=f"export {INDEX}={self.elements[0].index}")

    def body(self, bodies: Sequence[Sequence[_Part]]) -> Iterator[ScriptLine]:
        """Yield each part once if it is the same for all elements, else once for each, in a `case`."""
        for at, part in enumerate(bodies[0]):
            texts = [[line.text for line in body[at].lines] for body in bodies]
            if all(text == texts[0] for text in texts):
                yield from part.headed()
                continue
            cause = next((line.cause for body in bodies for line in body[at].lines), NO_LEAF)
            yield ScriptLine(text=f'case "${INDEX}" in', heading=part.title, cause=cause)
            for element, body in zip(self.elements, bodies, strict=True):
                yield ScriptLine(text=f"{element.index})")
                yield from (replace(line, commented=False) for line in body[at].lines)
                yield ScriptLine(text=";;")
            yield ScriptLine(text=f'*) echo "ordain: this script has no element ${INDEX}" >&2; exit 1;;')
            yield ScriptLine(text="esac")

    def check_lines(self, lines: Sequence[ScriptLine], first: int) -> None:
        """Add a problem for each line of the body that the scheduler would read as a directive."""
        form = directive_lines.directive_form(self.system)
        body = [(text, line.cause) for line in lines[first:] for text in line.text.split("\n")]
        for at, _ in form.read(text for text, _ in body) if form else ():
            text, cause = body[at]
            what = f"{self.system.name} would read the line {text[:60]!r} of the script as a directive"
            hint = "call the program in another way, such as `env PROGRAM`; `native` is for directives"
            self.problems.append(Problem(where=cause.where, what=what, hint=hint, code="Encode"))

    def output_file(self, key: str) -> str:
        """Return the file of the output as a text with tokens, ``""`` if the scheduler chooses it."""
        leaf = self.shared.leaf(key)
        if leaf is None:
            array = self.array and self.system.text("default-array-output")
            return str(array or self.system.text("default-output"))
        directory = self.directory()
        text = str(leaf.value)
        if directory is None and not text.startswith("/"):
            return ""  # each element has a file in a directory of its own
        return f"{directory}/{text}" if directory and not text.startswith("/") else text


@dataclass(slots=True)
class _Part:
    """A part of a script: a heading and its lines."""

    title: str
    lines: list[ScriptLine] = field(default_factory=list)

    def add(self, text: str, cause: Leaf) -> None:
        self.lines.append(ScriptLine(text=text, cause=cause))

    def headed(self) -> Iterator[ScriptLine]:
        for at, line in enumerate(self.lines):
            yield line if at else replace(line, heading=self.title)


class _Body:
    """The commands of one element, in parts that are in the same order for all elements."""

    def __init__(
        self,
        job: _Job,
        element: Element,
        directives: Directives,
        problems: list[Problem],
    ) -> None:
        self.job, self.element, self.tree, self.system = job, element, element.tree, job.system
        self.values, self.causes, self.problems = dict(directives.values), directives.causes, problems
        self.used: set[str] = set()
        self.container = self.container_words()

    def parts(self) -> list[_Part]:
        """Return the parts, some of which may be empty."""
        return [
            self.parameters(),
            self.environment(),
            self.directory(),
            self.traps(),
            self.modules(),
            self.stage_in(),
            self.checks("before"),
            self.main(),
            self.result(),
            self.checks("after"),
            self.stage_out(),
        ]

    def problem(self, leaf: Leaf, what: str, hint: str, code: str = "Encode") -> None:
        self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code=code))

    def parameters(self) -> _Part:
        part = _Part("Parameters")
        for name, value in self.element.parameters.items():
            self.export(part, name, value, self.tree.branch("parameters").leaf(name) or NO_LEAF)
        return part

    def environment(self) -> _Part:
        part = _Part("Environment")
        for name, child in self.tree.branch("environment").children.items():
            assert isinstance(child, Leaf)
            self.export(part, name, str(child.value), child)
        return part

    def export(self, part: _Part, name: str, value: str, leaf: Leaf) -> None:
        if name in RESERVED or name.upper().startswith("ORDAIN_"):
            hint = "choose another name, or set it in a command: env NAME=VALUE PROGRAM"
            self.problem(leaf, f"a script cannot set the variable {name}: the shell or Ordain sets it", hint)
            return
        self.check_length(f"{name}={value}", f"the variable {name}", leaf)
        part.add(f"export {name}={quoted(value)}", leaf)

    def directory(self) -> _Part:
        part = _Part("Directory and output")
        leaf = self.tree.leaf("working-directory")
        if leaf:
            part.add(f"cd -- {quoted(str(leaf.value))}", leaf)
        elif variable := self.system.texts("variables").get("submit-directory"):
            part.add(
                f'cd -- "${{{variable}:-.}}"', self.system.row.branch("variables").leaf("submit-directory") or NO_LEAF
            )
        redirect = self.job.redirect
        for word, cause in redirect:
            if "/" in word:
                part.add(f'mkdir -p -- "$(dirname -- {word})"', cause)
        if len(redirect) == 1:
            errors_only = self.job.shared.leaf("output") is None
            part.add(f"exec 2>{redirect[0][0]}" if errors_only else f"exec >{redirect[0][0]} 2>&1", redirect[0][1])
        elif redirect:
            part.add(f"exec >{redirect[0][0]} 2>{redirect[1][0]}", redirect[0][1])
        return part

    def traps(self) -> _Part:
        """Return the function that runs at the end of the script, whatever its result is."""
        part = _Part("End of the run")
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
            for line in self.copy(name, str(to.value)):
                part.add(line, to)
        for test, leaf in (("=", success), ("!=", failure)):
            if leaf:
                part.add(f'if [ "$ordain_status" {test} 0 ]; then', leaf)
                for words in self.vectors(leaf):
                    part.add(command(words), leaf)
                part.add("fi", leaf)
        # The scheduler must see that the signal ended the script, and not an exit status.
        part.add('[ -z "$ordain_signal" ] || { trap - "$ordain_signal"; kill -s "$ordain_signal" "$$"; }', cause)
        part.add('exit "$ordain_status"', cause)
        part.add("}", cause)
        part.add("trap ordain_end EXIT", cause)
        part.add("trap 'ordain_signal=TERM; exit 143' TERM", cause)
        part.add("trap 'ordain_signal=INT; exit 130' INT", cause)
        return part

    def modules(self) -> _Part:
        part = _Part("Modules")
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
            failure = f" || {_FAIL} {quoted(f'the module {module} cannot be loaded')}"
            text = line if self.job.continues else line + failure
            part.lines.append(ScriptLine(text=text, cause=leaf, more=with_site((), row)))
        return part

    def result(self) -> _Part:
        """Return the commands that keep the result of the last command from what comes after it."""
        part = _Part("Result")
        later = self.checks("after").lines or self.stage_out().lines
        leaf = self.job.shared.leaf("on-failure")
        if self.job.continues and later and leaf:
            part.add("ordain_status=$?", leaf)
            part.add('[ "$ordain_status" = 0 ] || exit "$ordain_status"', leaf)
            part.add("set -e", leaf)
        return part

    def stage_in(self) -> _Part:
        part = _Part("Stage in")
        for name, child in self.tree.branch("stage-in").children.items():
            assert isinstance(child, Leaf)
            for line in self.copy(str(child.value), name):
                part.add(line, child)
        return part

    def stage_out(self) -> _Part:
        part = _Part("Stage out")
        for name, branch in self.tree.branch("stage-out").children.items():
            assert isinstance(branch, Branch)
            leaf = branch.leaf("to")
            if leaf is None:
                self.problem(branch.here, "a copy without a target", "write `to: PATH`", "Schema")
            elif branch.value("when") != "always":
                for line in self.copy(name, str(leaf.value)):
                    part.add(line, leaf)
        return part

    def copy(self, source: str, target: str) -> Iterator[str]:
        """Yield the commands of a copy. A target that ends with / is a directory, which gets a copy of that name."""
        if target.endswith("/"):
            target += source.rstrip("/").rpartition("/")[2]
        if directory := target.rpartition("/")[0]:
            yield f"mkdir -p -- {quoted(directory)}"
        words = next(iter(self.system.words("copy")), ("cp", "-R", "-H", "-T", "--", "{source}", "{target}"))
        filled, _ = fill_words(words, {"source": source, "target": target})
        yield command(filled)

    def checks(self, when: str) -> _Part:
        part = _Part(f"Checks {when}")
        leaf = self.tree.branch("checks").leaf(when)
        for words in self.vectors(leaf) if leaf else ():
            text = f"the check {when} the run failed: {' '.join(words)}"
            part.add(f"{self.contained(words)} || {_FAIL} {quoted(text)} $?", leaf or NO_LEAF)
        return part

    def main(self) -> _Part:
        part = _Part("Commands")
        whole, script, steps = (self.tree.leaf(key) for key in ("command", "script", "steps"))
        launcher = self.tree.leaf("launcher")
        if whole:
            for words in self.vectors(whole):
                launcher_words, more = self.launch(launcher, launcher)
                line = self.contained(words, launcher_words) + self.input()
                part.lines.append(ScriptLine(text=line, cause=whole, more=more))
        elif script:
            self.add_script(part, script, launcher)
        elif steps and steps.value:
            assert isinstance(steps.value, tuple)
            for row in steps.value:
                assert isinstance(row, Row)
                self.add_step(part, row, steps, launcher)
        else:
            hint = 'add `command`, `steps` or `script`; a layer for all runs has `match: {run: "*"}`'
            self.problem(self.job.here, f"the run {self.job.run.name} has nothing to run", hint, "Item")
        return part

    def add_step(self, part: _Part, row: Row, steps: Leaf, launcher: Leaf | None) -> None:
        cells = dict(row.cells)
        leaf = Leaf(value=None, where=row.where, layer=steps.layer)
        own = Leaf(value=cells["launcher"], where=row.where, layer=steps.layer) if "launcher" in cells else launcher
        value = cells.get("command")
        if not isinstance(value, tuple):
            self.problem(leaf, f"the step {cells.get('name')} has no command", "add `command`", "Item")
            return
        name = str(cells.get("name"))
        directory = str(cells.get("working-directory") or "")
        for words in self.vectors(Leaf(value=value, where=row.where)):
            launcher_words, more = self.launch(own, leaf)
            line = self.contained(words, launcher_words) + self.input()
            if directory:
                start = "" if directory.startswith(("/", "./", "../")) else "./"
                line = f"(cd -- {quoted(start + directory)} && {line})"
            if self.job.continues and "on-failure" not in cells:
                pass  # the shell goes on, and the result is that of the last step
            elif cells.get("on-failure") == "continue":
                text = f"ordain: the step {name} failed; the run continues"
                line += f" || echo {quoted(text)} >&2"
            else:
                line += f" || {_FAIL} {quoted(f'the step {name} failed')} $?"
            part.lines.append(ScriptLine(text=line, cause=leaf, more=more))

    def add_script(self, part: _Part, script: Leaf, launcher: Leaf | None) -> None:
        text = str(script.value)
        shell = str(self.tree.value("shell", _SH))
        if launcher and launcher.value != "none":
            hint = "call the launcher in the script, or use `command`"
            self.problem(launcher, "a launcher starts a command, not a script", hint, "Item")
        if "\r" in text:
            self.problem(
                script, "the script has a carriage return, which a shell does not ignore", "save it with Unix line ends"
            )
        if self.container:
            if not TAKES_TEXT.fullmatch(shell.rpartition("/")[2]):
                hint = "put the script into a file that the container sees, and name the file in `command`"
                what = f"{shell} cannot run a script in a container, because it does not take its text with -c"
                self.problem(self.tree.leaf("shell") or script, what, hint, "Item")
            part.add(self.contained((shell, "-c", text)) + self.input(), script)
            return
        form = directive_lines.directive_form(self.system)
        word, lines = here_document(
            text.removesuffix("\n").split("\n"),
            lambda line: bool(form and form.whole_script and form.pattern.match(line)),
        )
        part.add(f"{quoted(shell)} /dev/fd/9 9<<{word}{self.input()}", self.tree.leaf("shell") or script)
        part.lines += (ScriptLine(text=line, cause=script, commented=False) for line in lines)

    def input(self) -> str:
        """Return the redirection of the standard input."""
        leaf = self.tree.leaf("input")
        return f" <{quoted(str(leaf.value))}" if leaf else ""

    def contained(self, words: Sequence[str], launcher_words: Sequence[str] = ()) -> str:
        """Return the command that runs ``words`` in the container, if there is one."""
        line = command((*launcher_words, *self.container, *words))
        return line.replace(_DIRECTORY, "'\"$PWD\"'")

    def launch(self, launcher: Leaf | None, cause: Leaf | None) -> tuple[tuple[str, ...], tuple[Leaf, ...]]:
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

    def container_words(self) -> tuple[str, ...]:
        container = self.tree.branch("container")
        image = container.leaf("image")
        if not container:
            return ()
        if image is None:
            self.problem(container.here, "a container without an image", "set container/image, too", "Item")
            return ()
        patterns = next(iter(self.system.words("container")), ())
        if not patterns:
            self.problems.append(unsupported(self.system, "container", image))
            return ()
        mounts = {name: str(leaf.value) for name, leaf in container.branch("mounts").leaves()}
        for source, target in mounts.items():
            if "," in source + target or ":" in source + target:
                leaf = container.branch("mounts").leaf(source) or image
                self.problem(leaf, f"{source!r} cannot be a mount of a container", "use paths without : and ,")
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

    def vectors(self, leaf: Leaf) -> tuple[tuple[str, ...], ...]:
        """Return the argument vectors of a command; an empty first word is a problem."""
        words_of_each = vectors(leaf)
        if any(not words or not words[0] for words in words_of_each):
            self.problem(leaf, "the first word of a command is empty", "write the name of a program", "Item")
            return ()
        for word in (word for words in words_of_each for word in words):
            self.check_length(word, "a word of a command", leaf)
        return words_of_each

    def check_length(self, text: str, title: str, leaf: Leaf) -> None:
        if len(text.encode()) >= _MAX_WORD:
            what = f"{title} has {len(text.encode()):,} bytes; a program gets at most {_MAX_WORD - 1:,} (execve(2))"
            self.problem(leaf, what, "put it into a file")


def _shown(leaf: Leaf) -> str:
    """Return a value as a document has it."""
    if isinstance(leaf.value, bool):
        return str(leaf.value).lower()
    return f"[{', '.join(map(str, leaf.value))}]" if isinstance(leaf.value, tuple) else str(leaf.value)


def _helpers(bodies: Sequence[Sequence[_Part]], *, stops: bool) -> Iterator[ScriptLine]:
    """Yield the settings of the shell, and the variables and functions that the bodies use.

    ``stops``: the first command that fails ends the script.
    """
    texts = [line.text for body in bodies for part in body for line in part.lines]
    yield ScriptLine(text="set -e" if stops else "set +e", heading="Shell")
    for name, definition in ((NEWLINE, DEFINE_NEWLINE), (NOTHING, DEFINE_NOTHING)):
        if any(f"${{{name}}}" in text for text in texts):
            yield from (ScriptLine(text=text) for text in definition)
    if any(f"|| {_FAIL} " in text for text in texts):
        yield ScriptLine(text=f'{_FAIL}() {{ echo "ordain: $1" >&2; exit "${{2:-1}}"; }}')

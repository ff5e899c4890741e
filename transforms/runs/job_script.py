"""Makes the script of a job: directives for the scheduler, then the commands of its elements.

numbers, words, files ─directive_lines▶ directives ┐
each element ─element_commands▶ parts of the script ┴─▶ lines, each with its cause
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ordain.transforms.document.formats.command_line import BadCommandLine, split
from ordain.transforms.document.formats.pattern_syntax import BadPattern, Variable
from ordain.transforms.document.formats.run_formats import indices
from ordain.transforms.errors import Problem, Severity, did_you_mean
from ordain.transforms.model import Branch, Leaf, strings
from ordain.transforms.runs import directive_lines, site_limits
from ordain.transforms.runs.directive_lines import Directives, directive_path, unsupported
from ordain.transforms.runs.element_commands import FAIL, INDEX, JOB, RUN, SHELL, ElementCommands, ScriptPart, goes_on
from ordain.transforms.runs.job_numbers import EXPRESSED_BY, job_numbers
from ordain.transforms.runs.patterns import PatternValue, fill
from ordain.transforms.runs.run_model import NO_LEAF, Element, JobScript, ResolvedRun, ScriptLine
from ordain.transforms.runs.scheduler_rows import RunSystem
from ordain.transforms.runs.shell_words import (
    DEFINE_NEWLINE,
    DEFINE_NOTHING,
    NEWLINE,
    NOTHING,
    POSIX_SHELL,
    quoted,
)


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
        elements = [
            ElementCommands(
                element,
                run=self.run,
                shared=self.shared,
                system=self.system,
                directives=directives,
                redirect=self.redirect,
                problems=self.problems,
            )
            for element in different
        ]
        bodies = [element.parts() for element in elements]
        self.check_expressed(frozenset(directives.used.union(*(element.used for element in elements))))
        as_arguments = self.system.row.value("prefix") is None
        own = () if as_arguments else directives.lines
        after = tuple(self.dependencies())
        lines = [
            *self.head(),
            *own,
            *_helpers(bodies, stops=not goes_on(self.shared)),
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
        shells = {str(element.tree.value("shell", SHELL)) for element in self.elements}
        bash = next((shell for shell in shells if shell.rpartition("/")[2] == "bash"), None)
        return str(own.value) if own else bash if bash and len(shells) == 1 else SHELL

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

    def body(self, bodies: Sequence[Sequence[ScriptPart]]) -> Iterator[ScriptLine]:
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


def _shown(leaf: Leaf) -> str:
    """Return a value as a document has it."""
    if isinstance(leaf.value, bool):
        return str(leaf.value).lower()
    return f"[{', '.join(map(str, leaf.value))}]" if isinstance(leaf.value, tuple) else str(leaf.value)


def _helpers(bodies: Sequence[Sequence[ScriptPart]], *, stops: bool) -> Iterator[ScriptLine]:
    """Yield the settings of the shell, and the variables and functions that the bodies use.

    ``stops``: the first command that fails ends the script.
    """
    texts = [line.text for body in bodies for part in body for line in part.lines]
    yield ScriptLine(text="set -e" if stops else "set +e", heading="Shell")
    for name, definition in ((NEWLINE, DEFINE_NEWLINE), (NOTHING, DEFINE_NOTHING)):
        if any(f"${{{name}}}" in text for text in texts):
            yield from (ScriptLine(text=text) for text in definition)
    if any(f"|| {FAIL} " in text for text in texts):
        yield ScriptLine(text=f'{FAIL}() {{ echo "ordain: $1" >&2; exit "${{2:-1}}"; }}')

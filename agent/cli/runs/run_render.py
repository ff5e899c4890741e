"""run render, run systems: the scripts of Run documents, and the systems that take them."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.json_shapes import (
    JsonOverriddenLine,
    JsonRunSystem,
    JsonScript,
    JsonScriptLine,
    JsonScripts,
    JsonScriptText,
    JsonValuePlace,
    json_problems,
)
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.runs.run_files import asking_user, read_run_files, system_name
from ordain.agent.errors import Failure
from ordain.transforms.errors import Problem, Refused, sorted_problems
from ordain.transforms.model import Document, Leaf
from ordain.transforms.runs.run_model import JobScript, ScriptLine
from ordain.transforms.runs.run_render import cause_texts, render_runs, script_text
from ordain.transforms.runs.scheduler_rows import RunSystems


def render(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run render`."""
    documents, systems, warnings = read_run_files(request.file, request)
    if request.all_systems:
        if request.system or request.output or request.provenance:
            raise Usage("--all-systems cannot be used with --on, --output or --provenance")
        return _render_all(request, documents, systems, warnings, console)
    rendered = render_runs(
        documents, systems, system_name(request, systems), user=asking_user(request), only=request.run
    )
    problems = sorted_problems((*warnings, *rendered.problems))
    if request.output:
        _write(Path(request.output), rendered.scripts, console)
    if request.json:
        console.json(JsonScripts(scripts=[_to_json(s) for s in rendered.scripts], problems=json_problems(problems)))
        return Exit.OK
    if not rendered.scripts:
        raise Failure("there is no Run without `match` in the files, so there is nothing to render")
    for script in rendered.scripts if not request.output else ():
        if len(rendered.scripts) > 1:
            after = ", ".join(f"{run} ({condition})" for run, condition in script.after)
            console.line(f"=== {script.name}{f' after {after}' if after else ''}", Style.STRONG)
        if request.provenance:
            _print_provenance(script, console)
        else:
            console.text(script_text(script, comments=not request.no_comments) + _submit_comment(script))
    console.problems(problems)
    return Exit.OK


def _submit_comment(script: JobScript) -> str:
    """Return comments with the arguments of a system that takes directives as arguments."""
    if not script.arguments:
        return ""
    lines = [f"# {line.text}   from {', '.join(cause_texts(line))}".rstrip() for line in script.arguments]
    return "\n".join(["", "# Arguments of the command that submits it:", *lines]) + "\n"


def _print_provenance(script: JobScript, console: Console) -> None:
    rows: list[tuple[Cell, ...]] = []
    for line in (*script.lines, *script.arguments):
        first, *more = cause_texts(line) or (("every script", Style.DIM),)
        rows.append((line.text, first))
        rows += [(("  and", Style.DIM), cause) for cause in more]
        overrode = (old for leaf in (line.cause, *line.more) for old in leaf.overrode)
        rows += [((f"  overrides {old.value}", Style.DIM), f"{old.where} ({old.layer})") for old in overrode]
    console.table(("LINE", "SET BY"), rows)


def _to_json(script: JobScript) -> JsonScript:
    def place(leaf: Leaf) -> JsonValuePlace:
        overrode = [
            JsonOverriddenLine(layer=old.layer, path=old.where.path, line=old.where.line) for old in leaf.overrode
        ]
        return JsonValuePlace(
            path=leaf.where.path,
            line=leaf.where.line,
            layer=leaf.layer,
            pointer=leaf.where.pointer,
            overrode=overrode,
        )

    def lines(script_lines: Iterable[ScriptLine]) -> list[JsonScriptLine]:
        return [
            JsonScriptLine(text=line.text, **place(line.cause), also=list(map(place, line.more)))
            for line in script_lines
        ]

    return JsonScript(
        name=script.name,
        run=script.run,
        system=script.system,
        elements=script.elements,
        after=dict(script.after),
        output=script.output,
        script=script_text(script),
        lines=lines(script.lines),
        arguments=lines(script.arguments),
    )


def _write(directory: Path, scripts: Sequence[JobScript], console: Console) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            path = directory / f"{script.name}.sh"
            path.write_text(script_text(script) + _submit_comment(script), encoding="utf-8")
            path.chmod(0o755)
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error.strerror}") from error
    console.note(f"{plural(len(scripts), 'script')} written to {directory}")


def _render_all(
    request: Namespace,
    documents: Sequence[Document],
    systems: RunSystems,
    warnings: Iterable[Problem],
    console: Console,
) -> Exit:
    outputs: dict[str, tuple[str, tuple[Problem, ...]]] = {}
    for name in systems.visible():
        try:
            rendered = render_runs(documents, systems, name, user=asking_user(request), only=request.run)
        except Refused as refused:
            outputs[name] = ("", refused.problems)
        else:
            text = "".join(
                f"=== {script.name}\n{script_text(script, comments=False)}{_submit_comment(script)}"
                for script in rendered.scripts
            )
            outputs[name] = (text, rendered.problems)
    rendering = [name for name, (text, _) in outputs.items() if text]
    if request.json:
        console.json(
            {name: JsonScriptText(text=text, problems=json_problems(ps)) for name, (text, ps) in outputs.items()}
        )
        return Exit.OK if len(rendering) == len(outputs) else Exit.DEGRADED if rendering else Exit.REFUSED
    first = rendering[0] if rendering else ""
    for name in (*rendering, *(name for name in outputs if name not in rendering)):
        text, problems = outputs[name]
        console.line(name, Style.STRONG)
        if name == first:
            console.text(text)
        elif text:
            base = outputs[first][0].splitlines(keepends=True)
            console.text("".join(difflib.unified_diff(base, text.splitlines(keepends=True), first, name)))
        console.text("".join(f"! {problem}\n" for problem in problems))
    console.problems(warnings)
    return Exit.OK if len(rendering) == len(outputs) else Exit.DEGRADED if rendering else Exit.REFUSED


def systems(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run systems`."""
    _, known, warnings = read_run_files(request.file, request)
    rows: list[tuple[Cell, ...]] = []
    listed: list[JsonRunSystem] = []
    for name in known.names():
        system = known.system(name)
        about = {key: sorted(system.row.branch(key)) for key in ("queues", "accounts", "modules")}
        listed.append(
            JsonRunSystem(
                name=name,
                scheduler=system.scheduler,
                about=system.text("about"),
                queues=about["queues"],
                accounts=about["accounts"],
                modules=about["modules"],
            )
        )
        rows.append((name, system.scheduler, *(", ".join(words) or "-" for words in about.values())))
    console.problems(warnings)
    if request.json:
        console.json(listed)
    else:
        console.table(("SYSTEM", "SCHEDULER", "QUEUES", "ACCOUNTS", "MODULES"), rows)
    return Exit.OK

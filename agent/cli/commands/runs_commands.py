"""The commands that render, submit and follow runs: `ordainctl run …`."""

from __future__ import annotations

from ordain.agent.cli.commands.shared_arguments import DOCUMENT_FILES, JSON, OUTPUT_FILE
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

GROUP = "Run jobs on batch systems"
FAMILY = Family(
    name="run",
    group=GROUP,
    purpose="render, submit and follow jobs on Slurm, PBS, LSF, Flux, Grid Engine or this machine",
    text=(
        "A document of kind Run describes a job; the transformation database says how each system takes it. The layers "
        "and systems of the site are in /etc/ordain/runs, those of the user in ~/.config/ordain/runs."
    ),
)
FILES = Argument(
    metavar="FILE",
    many=True,
    required=True,
    completion=Completion.FILES,
    help="a document in YAML, JSON or XML, a directory of documents, or - for standard input",
)
SYSTEM = Argument(
    flag="--on", into="system", metavar="SYSTEM", help="the system, such as slurm; `run systems` lists them"
)
RUNS = Argument(flag="--run", metavar="NAME", many=True, help="only this run, and those that it depends on")
LAYERS = Argument(flag="--only-files", help="do not read /etc/ordain/runs and ~/.config/ordain/runs")
USER = Argument(flag="--user", metavar="NAME", help="the user whose layers match; default: the one who asks")
IDS = Argument(metavar="ID", many=True, help="a job, as `run submit` printed it")
SOME_IDS = Argument(metavar="ID", many=True, required=True, help="a job, as `run submit` printed it")
OF_SYSTEM = Argument(
    flag="--on", into="system", metavar="SYSTEM", help="the system of a job that was submitted elsewhere"
)

ROWS = (
    Subcommand(
        name="run render",
        group=FAMILY.name,
        purpose="print the scripts that a system takes",
        text=(
            "Prints the script of each run in FILE, after those that it depends on, with a comment above each "
            "line that names the document that set it. Several scripts are separated by lines `=== NAME`. With "
            "--all-systems, prints the script for the first system, and the differences of every other system; a "
            "line that begins with `!` is a problem. Anything that a system cannot do is an error."
        ),
        run="runs.run_render:render",
        arguments=(
            FILES,
            SYSTEM,
            Argument(flag="--all-systems", help="render for every known system, and compare"),
            RUNS,
            Argument(flag="--provenance", help="print a table of the lines with the documents that set them"),
            Argument(flag="--no-comments", help="print the scripts without comments on the documents"),
            Argument(
                flag="--output",
                metavar="DIR",
                completion=Completion.DIRECTORIES,
                help="write the scripts into DIR as NAME.sh",
            ),
            LAYERS,
            USER,
            JSON,
        ),
        examples=(
            ("ordainctl run render --on slurm lattice.yaml", "for any Slurm"),
            ("ordainctl run render --on hpc1 runs/ systems.yaml", "with a system that systems.yaml describes"),
            ("ordainctl run render --all-systems lattice.yaml", "the differences of all systems"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="run submit",
        group=FAMILY.name,
        purpose="submit runs to a system, and print the ids of the jobs",
        text=(
            "Submits each run in FILE after those that it depends on, with the scheduler's own command and without a "
            "shell, and prints one id for each job. If one of them is refused, the jobs before it are cancelled."
        ),
        run="runs.run_jobs:submit",
        arguments=(
            FILES,
            SYSTEM,
            RUNS,
            Argument(flag="--dry-run", help="print the commands and submit nothing"),
            LAYERS,
            USER,
            JSON,
        ),
        examples=(
            ("ordainctl run submit --on hpc1 lattice.yaml", "one run"),
            ("ordainctl run submit --on local nightly.yaml", "as a unit of this machine"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.ROLLED_BACK, Exit.INCOMPLETE),
    ),
    Subcommand(
        name="run status",
        group=FAMILY.name,
        purpose="show the state of jobs",
        text=(
            "Asks the scheduler for the state of each job; without ID, of the latest 20 that this user has submitted. "
            "The states are waiting, held, running, done, failed, timed-out, cancelled and unknown. Exits with 3 "
            "unless all jobs wait, run or are done."
        ),
        run="runs.run_jobs:status",
        arguments=(IDS, OF_SYSTEM, JSON),
        examples=(("ordainctl run status", "the latest jobs"), ("ordainctl run status 1234 --json", "one job")),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="run wait",
        group=FAMILY.name,
        purpose="wait for the end of jobs",
        text="Exits with 0 if all of them are done, and with 3 if one has failed, timed out or was cancelled.",
        run="runs.run_jobs:wait",
        arguments=(
            SOME_IDS,
            OF_SYSTEM,
            Argument(flag="--timeout", metavar="TIME", help="stop waiting after TIME, such as 1h; exits with 3"),
            JSON,
        ),
        examples=(("ordainctl run wait 1234 && ./evaluate", "continue after a success"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="run cancel",
        group=FAMILY.name,
        purpose="end jobs, or remove them from their queue",
        text="",
        run="runs.run_jobs:cancel",
        arguments=(SOME_IDS, OF_SYSTEM),
        examples=(("ordainctl run cancel 1234", "one job"),),
    ),
    Subcommand(
        name="run log",
        group=FAMILY.name,
        purpose="print the output of a job",
        text="Prints the file of its output, or the output that the scheduler keeps.",
        run="runs.run_jobs:log",
        arguments=(
            Argument(metavar="ID", required=True, help="a job, as `run submit` printed it"),
            OF_SYSTEM,
            Argument(flag="--index", metavar="N", help="the element of an array"),
        ),
        examples=(("ordainctl run log 1234 --index 3", "the third element of an array"),),
    ),
    Subcommand(
        name="run systems",
        group=FAMILY.name,
        purpose="list the systems that take runs",
        text="Lists each system with its scheduler, queues, accounts and modules. FILE may describe more systems.",
        run="runs.run_render:systems",
        arguments=(
            DOCUMENT_FILES,
            LAYERS,
            JSON,
        ),
        examples=(("ordainctl run systems", "shipped systems, and those of the site and the user"),),
    ),
    Subcommand(
        name="run import",
        group=FAMILY.name,
        purpose="convert a script for Slurm, PBS or LSF, or a JSDL document, to a Run",
        text=(
            "Prints a Run in YAML. Reports on standard error each line that cannot be converted, with an alternative, "
            "and then exits with 3. The type of a file is detected from its content, unless --from names it."
        ),
        run="runs.run_import:import_",
        arguments=(
            Argument(
                metavar="FILE", required=True, completion=Completion.FILES, help="a file, or - for standard input"
            ),
            Argument(
                flag="--from",
                into="kind",
                metavar="KIND",
                help="the type of FILE: slurm, pbs, lsf, jsdl or xml",
                choices=("slurm", "pbs", "lsf", "jsdl", "xml"),
            ),
            Argument(flag="--name", metavar="NAME", help="the name of the run; default: that in FILE, or of FILE"),
            OUTPUT_FILE,
        ),
        examples=(
            ("ordainctl run import job.sbatch >lattice.yaml", "from Slurm"),
            ("ordainctl run import job.sbatch | ordainctl run render --on pbs -", "from Slurm to PBS"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="run export",
        group=FAMILY.name,
        purpose="print a Run as XML or JSDL",
        text=(
            "xml is a form of the whole document: all `run` commands read it back to the same document. jsdl is JSDL "
            "1.0 with its POSIX application; each key that it cannot hold is reported, and the exit status is 3."
        ),
        run="runs.run_import:export",
        arguments=(
            Argument(
                metavar="FILE", required=True, completion=Completion.FILES, help="a document, or - for standard input"
            ),
            Argument(
                flag="--to", into="kind", metavar="KIND", help="xml, jsdl or yaml", choices=("xml", "jsdl", "yaml")
            ),
            Argument(flag="--run", metavar="NAME", help="the run, if FILE has several"),
        ),
        examples=(("ordainctl run export --to xml lattice.yaml >lattice.xml", "and back with `run import`"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
)

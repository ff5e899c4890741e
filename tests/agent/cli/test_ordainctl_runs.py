"""`ordainctl run` with the commands of a scheduler that does as it is told: no shell between, ids, states, undo."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.runs.scheduler_commands import job_state
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.runs.scheduler_rows import run_systems

FAKE = """\
#!/bin/sh
directory=${{0%/*}}
printf '%s\\n' "{name}" "$@" --- >>"$directory/calls"
{body}
"""
SBATCH = """\
cat >"$directory/input.$(ls "$directory" | grep -c input)"
[ ! -e "$directory/refuse" ] || { echo 'sbatch: error: no more' >&2; exit 1; }
number=$(ls "$directory" | grep -c input)
[ "$number" != 2 ] || [ ! -e "$directory/refuse-second" ] || { echo 'sbatch: error: not this' >&2; exit 1; }
echo "10$number;cluster"
"""
SCONTROL = 'cat "$directory/state.$3" 2>/dev/null || { echo "Invalid job id specified" >&2; exit 1; }'
RUN = "ordain: v1\nkind: Run\nname: {}\ncommand: [./a, '$HOME', \"a;b\"]\n{}"


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a Slurm that records its calls."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, body in {"sbatch": SBATCH, "scontrol": SCONTROL, "scancel": 'test ! -e "$directory/stuck"'}.items():
        (directory / name).write_text(FAKE.format(name=name, body=body))
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return directory


def calls(scheduler: Path) -> list[list[str]]:
    return [call.split("\n") for call in (scheduler / "calls").read_text().split("\n---\n") if call]


def run(tmp_path: Path, *words: str) -> int:
    return main(["run", *words], root=tmp_path / "root")


def write(tmp_path: Path, *runs: str) -> str:
    (tmp_path / "run.yaml").write_text("---\n".join(runs))
    return "run.yaml"


def test_submit_hands_each_script_over_and_prints_only_ids(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = RUN.format("first", "output: logs/x.out\nerrors: errors/x.err\n")
    file = write(tmp_path, RUN.format("second", "after: [first]\n"), first)

    assert run(tmp_path, "submit", "--on", "slurm", file) == 0

    assert capsys.readouterr().out == "101\n102\n"
    assert calls(scheduler) == [
        ["sbatch", "--parsable"],
        ["sbatch", "--parsable", "--dependency=afterok:101", "--kill-on-invalid-dep=yes"],
    ]
    script = (scheduler / "input.0").read_text()
    assert script.startswith("#!/bin/sh\n")
    assert script.endswith("./a '$HOME' 'a;b'\n")
    assert (tmp_path / "logs").is_dir()
    assert (tmp_path / "errors").is_dir()


def test_a_refused_job_cancels_those_before_it(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scheduler / "refuse-second").touch()

    assert run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", ""), RUN.format("b", ""))) == 4

    assert calls(scheduler)[-1] == ["scancel", "101"]
    assert "b: sbatch failed: sbatch: error: not this" in capsys.readouterr().err


def test_a_job_that_cannot_be_cancelled_is_named(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scheduler / "refuse-second").touch()
    (scheduler / "stuck").touch()

    assert run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", ""), RUN.format("b", ""))) == 5

    assert "still submitted: 101" in capsys.readouterr().err


def test_nothing_is_submitted_if_the_first_job_is_refused_or_a_run_is_wrong(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scheduler / "refuse").touch()
    assert run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", ""))) == 1
    (scheduler / "calls").unlink()

    assert run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", "modules: [b]\n"))) == 1

    assert not (scheduler / "calls").exists()
    assert "[UnknownModule]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("printed", "state", "status", "exit_status"),
    [
        ("JobId=101 JobState=PENDING Reason=Priority ExitCode=0:0", "waiting", None, 0),
        ("JobId=101 JobState=RUNNING ExitCode=0:0", "running", None, 0),
        ("JobId=101 JobState=COMPLETED Reason=None ExitCode=0:0", "done", 0, 0),
        ("JobId=101 JobState=FAILED Reason=NonZeroExitCode ExitCode=7:0", "failed", 7, 3),
        ("JobId=101 JobState=FAILED Reason=RaisedSignal ExitCode=0:53", "failed", None, 3),
        ("JobId=101 JobState=TIMEOUT ExitCode=0:15", "timed-out", None, 3),
        ("JobId=101 JobState=CANCELLED ExitCode=0:15", "cancelled", None, 3),
        ("JobId=1 JobState=COMPLETED ExitCode=0:0\nJobId=2 JobState=FAILED ExitCode=3:0", "failed", 3, 3),
        ("JobId=1 JobState=COMPLETED ExitCode=0:0\nJobId=2 JobState=RUNNING ExitCode=0:0", "running", None, 0),
        ("", "unknown", None, 3),
    ],
)
def test_status_is_in_neutral_words(
    scheduler: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    printed: str,
    state: str,
    status: int | None,
    exit_status: int,
) -> None:
    run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", "")))
    if printed:
        (scheduler / "state.101").write_text(printed)
    capsys.readouterr()

    assert run(tmp_path, "status", "--json") == exit_status

    (job,) = json.loads(capsys.readouterr().out)
    assert (job["id"], job["run"], job["state"], job["exit"]) == ("101", "a", state, status)


def test_wait_ends_when_all_jobs_have_ended(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", "")))
    (scheduler / "state.101").write_text("JobState=COMPLETED ExitCode=0:0")
    assert run(tmp_path, "wait", "101") == 0

    (scheduler / "state.101").write_text("JobState=RUNNING ExitCode=0:0")
    assert run(tmp_path, "wait", "--timeout", "0", "101") == 3
    assert "not ended within 0" in capsys.readouterr().err


def test_cancel_and_log_use_the_record(scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, RUN.format("a", 'array: 1-2\noutput: "{run} {job}-{index}"\n'))
    run(tmp_path, "submit", "--on", "slurm", file)
    (tmp_path / "a 101-2").write_text("the output\n")
    capsys.readouterr()

    assert run(tmp_path, "cancel", "101") == 0
    assert calls(scheduler)[-1] == ["scancel", "101"]
    assert run(tmp_path, "log", "101", "--index", "2") == 0
    assert capsys.readouterr().out == "the output\n"
    assert run(tmp_path, "log", "101") == 2
    assert run(tmp_path, "log", "101", "--index", "1") == 1


def test_the_output_that_slurm_names_itself_is_in_the_directory_of_the_submission(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", "working-directory: /work\n")))
    (tmp_path / "slurm-101.out").write_text("the output\n")
    capsys.readouterr()

    assert run(tmp_path, "log", "101") == 0
    assert capsys.readouterr().out == "the output\n"


def test_a_job_without_a_record_needs_its_system(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "cancel", "7") == 1
    assert "name its system with --on" in capsys.readouterr().err

    assert run(tmp_path, "cancel", "--on", "slurm", "7") == 0
    assert calls(scheduler) == [["scancel", "7"]]


def test_a_damaged_record_is_passed_over(scheduler: Path, tmp_path: Path) -> None:
    run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format("a", "")))
    (tmp_path / "home/.local/state/ordain/runs/damaged.json").write_text("{")

    assert run(tmp_path, "status") == 3


def test_old_records_are_deleted_at_a_submission(
    scheduler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordain.agent.runs.job_records.MOST", 1)
    for name in "abc":
        run(tmp_path, "submit", "--on", "slurm", write(tmp_path, RUN.format(name, "")))

    kept = [path.name for path in (tmp_path / "home/.local/state/ordain/runs").glob("*.json")]
    assert sorted(kept) == ["slurm+102.json", "slurm+103.json"]


def test_a_missing_scheduler_is_an_error_with_a_remedy(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "submit", "--on", "lsf", write(tmp_path, RUN.format("a", ""))) == 1

    assert "bsub: not found" in capsys.readouterr().err


def test_layers_of_the_site_and_the_user_apply_unless_only_files_count(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = "ordain: v1\nkind: Run\nname: {0}\nmatch: {{system: slurm}}\ntier: {0}\n{1}\n"
    for directory, text in {
        "root/etc/ordain/runs": layer.format("site", "account: site\nqueue: site"),
        "home/.config/ordain/runs": layer.format("user", "queue: user") + "---\n" + RUN.format("another", ""),
    }.items():
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "layers.yaml").write_text(text)
    file = write(tmp_path, RUN.format("a", ""))

    assert run(tmp_path, "render", "--on", "slurm", file) == 0
    printed = capsys.readouterr().out
    assert "--account=site" in printed
    assert "--partition=user" in printed
    assert "another" not in printed

    assert run(tmp_path, "render", "--on", "slurm", "--only-files", file) == 0
    assert "--account" not in capsys.readouterr().out


def test_provenance_shows_each_line_and_the_overridden_values(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = "ordain: v1\nkind: Run\nname: site\nmatch: {system: slurm}\ntier: site\naccount: old\n"
    file = write(tmp_path, layer, RUN.format("a", "account: new\n"))

    assert run(tmp_path, "render", "--on", "slurm", "--provenance", file) == 0

    printed = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(printed) if line.startswith("#SBATCH --account=new"))
    assert printed[at].endswith("run.yaml:12 (a) account")
    assert printed[at + 1].split() == ["overrides", "old", "run.yaml:6:10", "(site)"]


def test_all_systems_are_compared_and_refusals_are_shown(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "render", "--all-systems", write(tmp_path, RUN.format("a", "resources: {nodes: 2}\n"))) == 3

    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line in {"flux", "lsf", "pbs", "slurm", "local", "sge"}] == [
        "flux",
        "lsf",
        "pbs",
        "slurm",
        "local",
        "sge",
    ]
    assert "-# flux: --nodes=2\n" in printed
    assert "+#SBATCH --nodes=2\n" in printed
    assert "! run.yaml:5:20: error: resources/nodes: local cannot express" in printed


def test_render_writes_scripts_that_can_be_submitted(scheduler: Path, tmp_path: Path) -> None:
    file = write(tmp_path, RUN.format("a", ""), RUN.format("b", ""))

    assert run(tmp_path, "render", "--on", "slurm", "--output", "out", file) == 0

    assert {path.name: path.stat().st_mode & 0o111 for path in (tmp_path / "out").iterdir()} == {
        "a.sh": 0o111,
        "b.sh": 0o111,
    }


def test_xml_is_read_wherever_a_file_is_named(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, RUN.format("a", "resources: {nodes: 2}\n"))
    assert run(tmp_path, "export", "--to", "xml", file) == 0
    (tmp_path / "run.xml").write_text(capsys.readouterr().out)

    assert run(tmp_path, "render", "--no-comments", "--on", "slurm", file) == 0
    from_yaml = capsys.readouterr().out
    assert run(tmp_path, "render", "--no-comments", "--on", "slurm", "run.xml") == 0

    assert capsys.readouterr().out == from_yaml

    (tmp_path / "runs").mkdir()
    (tmp_path / "run.xml").rename(tmp_path / "runs/run.xml")
    assert run(tmp_path, "render", "--no-comments", "--on", "slurm", "runs") == 0
    assert capsys.readouterr().out == from_yaml


def test_xml_is_validated_and_other_commands_say_who_reads_it(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '<run xmlns="https://ordain.invalid/v1/run">\n<name>a</name><command>a</command>\n{}</run>'
    (tmp_path / "run.xml").write_text(text.format(""))
    (tmp_path / "bad.xml").write_text(text.format("<quue>x</quue>"))

    assert main(["validate", "run.xml"], root=tmp_path / "root") == 0
    assert capsys.readouterr().out == "1 document: valid\n"
    assert main(["validate", "bad.xml"], root=tmp_path / "root") == 1
    assert "bad.xml:3:1: error: quue: unknown key" in capsys.readouterr().err
    assert main(["render", "run.xml"], root=tmp_path / "root") != 0
    assert "only `ordainctl run` and `validate` read XML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("render", "run.yaml"), "name the system with --on: flux, local, lsf"),
        (("render", "--all-systems", "--on", "slurm", "run.yaml"), "cannot be used with --on"),
        (("export", "run.yaml"), "name the form with --to"),
        (("import", "run.yaml"), "no directive tells the scheduler"),
        (("import", "--from", "slurm", "--name", "a b;c", "run.yaml"), "cannot be the name of a document"),
    ],
)
def test_wrong_usage_names_the_remedy(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    write(tmp_path, RUN.format("a", ""))

    assert run(tmp_path, *words) == 2

    assert says in capsys.readouterr().err


def test_import_reports_each_line_and_exits_with_3(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my job.sh").write_text("#!/bin/sh\n#SBATCH -n 2\n#SBATCH -d afterok:1\n./a\n")

    assert run(tmp_path, "import", "my job.sh") == 3

    captured = capsys.readouterr()
    assert "name: my-job\n" in captured.out
    assert captured.err.splitlines()[0].startswith("my job.sh:3: not converted: --dependency=afterok:1")
    assert captured.err.splitlines()[-1] == "1 item not converted"


def test_import_refuses_a_file_that_is_not_a_text(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.sh").write_bytes(b"#!/bin/sh\n#SBATCH -n 2\necho a\0b\n")

    assert run(tmp_path, "import", "job.sh") == 1

    assert "job.sh:3: a NUL byte" in capsys.readouterr().err


def test_validate_finds_a_circle_of_runs(scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, RUN.format("a", "after: [b]\n"), RUN.format("b", "after: [a]\n"))

    assert main(["validate", file], root=tmp_path / "root") == 1
    assert "a after b after a (remove one of these dependencies) [Cycle]" in capsys.readouterr().err

    assert main(["validate", write(tmp_path, RUN.format("a", "after: [elsewhere]\n"))], root=tmp_path / "root") == 0


@pytest.mark.parametrize(
    ("system", "printed", "state", "exit_status"),
    [
        ("lsf", "-|PEND|-", "waiting", None),
        ("lsf", "-|DONE|-", "done", None),
        ("lsf", "-|EXIT|3", "failed", 3),
        ("lsf", "TERM_OWNER: job killed by owner|EXIT|130", "cancelled", None),
        ("lsf", "TERM_RUNLIMIT: job killed after reaching LSF run time limit|EXIT|140", "timed-out", None),
        ("lsf", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit|EXIT|137", "failed", 137),
        ("pbs", "Job Id: 1\n    job_state = R\n", "running", None),
        ("pbs", "    job_state = F\n    Exit_status = 0\n", "done", 0),
        ("pbs", "    job_state = F\n    Exit_status = 2\n", "failed", 2),
        ("pbs", "    job_state = F\n    Exit_status = 271\n", "cancelled", None),
        ("pbs", "    job_state = F\n    Exit_status = -29\n", "timed-out", None),
        ("sge", "job_number:                 1\n", "running", None),
        ("sge", "failed       0\nexit_status  4\n", "failed", 4),
        ("sge", "failed       37  : qmaster enforced h_rt limit\nexit_status  137\n", "timed-out", None),
    ],
)
def test_the_end_of_a_job_is_read_from_what_the_scheduler_prints(
    system: str, printed: str, state: str, exit_status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    row = run_systems(shipped())[0].system(system)

    found = job_state("1", row, lambda argv, _: subprocess.CompletedProcess(argv, 0, printed, ""))

    assert (found.state, found.exit_status) == (state, exit_status)


def test_a_submission_without_a_session_names_the_remedy(
    scheduler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (scheduler / "systemd-run").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    (scheduler / "systemd-run").chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert run(tmp_path, "submit", "--on", "local", write(tmp_path, RUN.format("a", ""))) == 1

    assert "loginctl enable-linger" in capsys.readouterr().err

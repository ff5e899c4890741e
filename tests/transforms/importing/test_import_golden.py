"""`ordainctl import` on golden cases, and its arguments.

``tests/imports/NAME/`` holds ``input/`` (the files that are imported, as one run of the command over that directory and
those in it) or ``root/`` and ``links.txt`` (a whole root, whose links git and sdists would not keep), ``expected.yaml``
and ``problems.txt`` (absent = none). ``pytest --update`` of this file rewrites the last two.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from ordain.agent.cli.main import main
from ordain.transforms.document.reader import read
from ordain.transforms.importing import file_types
from support.outputs.golden import compare

HERE = Path(__file__).parents[2]
DOCS = HERE.parent / "docs/howto/migrate.md"
CASES = sorted(path.name for path in (HERE / "imports").iterdir())


def machine(case: Path, where: Path) -> Path:
    root = where / "root"
    shutil.copytree(case / "root", root)
    for line in (case / "links.txt").read_text().splitlines():
        link, _, target = line.partition(" -> ")
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    return root


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """Return the root of the machine that runs the command; it has no systemd, which would check the document."""
    root = tmp_path / "debian"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    return root


@pytest.mark.parametrize("name", CASES)
def test_case(
    name: str,
    request: pytest.FixtureRequest,
    debian: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = HERE / "imports" / name
    if (case / "root").is_dir():
        machine(case, tmp_path)
        monkeypatch.chdir(tmp_path)
        words = ["--root", "root"]
    else:
        monkeypatch.chdir(case / "input")
        words = sorted(path.name for path in Path().iterdir())

    status = main(["import", "--name", name, *words], root=debian)

    printed = capsys.readouterr()
    update = request.config.getoption("--update")
    compare(case / "expected.yaml", printed.out, update)
    compare(case / "problems.txt", printed.err, update)
    assert status == (3 if printed.err else 0)
    assert read("out.yaml", printed.out.encode())[1] == ()
    assert not printed.err or re.search(r"not converted|on this machine", printed.err.splitlines()[-1])


def test_the_option_from_has_every_file_type() -> None:
    (option,) = (a for a in COMMANDS["import"].arguments if a.flag == "--from")

    assert set(option.choices) == set(file_types.FileType)


def run(words: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["import", *words], root=root)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


WEB = "[Service]\nExecStart=/usr/bin/web\n[Install]\nWantedBy=multi-user.target\n"


def test_a_document_is_named_after_its_file(debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my shop.service").write_text(WEB)
    (tmp_path / "web.service").write_text(WEB)

    status, out, _ = run([str(tmp_path / "web.service")], debian, capsys)

    assert status == 0
    assert [d.name for d in read("x.yaml", out.encode())[0]] == ["web"]
    assert run(["--name", "my shop", str(tmp_path / "web.service")], debian, capsys)[0] == 2


def test_standard_input_needs_a_file_type(
    debian: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def given(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    given("/dev/sdb1 /srv ext4 defaults 0 0\n")
    status, out, err = run(["-"], debian, capsys)
    assert (status, out) == (1, "")
    assert err.startswith(
        "<stdin>: not converted: neither name nor content tells the type of the file (set it with --from: "
    )

    given("/dev/sdb1 /srv ext4 defaults 0 0\n")
    status, out, _ = run(["--from", "fstab", "-"], debian, capsys)
    assert status == 0
    assert "/srv: {what: /dev/sdb1, type: ext4}" in out


def test_unreadable_files_are_reported_and_the_others_converted(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.service").write_text(WEB)
    os.mkfifo(tmp_path / "pipe.service")
    words = [str(tmp_path / name) for name in ("web.service", "none.service", "pipe.service")]

    status, out, err = run(words, debian, capsys)

    assert status == 3
    assert "command: /usr/bin/web" in out
    assert err.splitlines() == [
        f"{tmp_path}/none.service: not converted: No such file or directory",
        f"{tmp_path}/pipe.service: not converted: not a regular file",
        "2 items not converted",
    ]


def test_the_option_output_writes_the_document_to_a_file(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.service").write_text(WEB)
    words = [str(tmp_path / "web.service")]

    assert run([*words, "--output", str(tmp_path / "web.yaml")], debian, capsys) == (0, "", "")
    assert (tmp_path / "web.yaml").read_text() == run(words, debian, capsys)[1]
    assert run([*words, "--output", str(tmp_path / "no/web.yaml")], debian, capsys)[0] == 1


def test_neutral_names_are_those_of_the_machine(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.service").write_text(f"[Unit]\nAfter=cron.service crond.service\n{WEB}")

    assert "after: [cron, crond.service]" in run([str(tmp_path / "web.service")], debian, capsys)[1]

    (debian / "etc/os-release").write_text('ID=fedora\nVERSION_ID="42"\n')
    assert "after: [cron.service, cron]" in run([str(tmp_path / "web.service")], debian, capsys)[1]


def test_an_import_of_nothing_is_an_error(debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run([str(empty)], debian, capsys) == (1, "", "ordainctl: nothing to import was found\n")
    assert run([], debian, capsys)[0] == 2


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are not beside the tests")
def test_the_example_in_the_docs_is_current(debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit, document = re.findall(r"```(?:ini|yaml)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "web.service").write_text(unit)

    status, out, _ = run([str(tmp_path / "web.service")], debian, capsys)

    assert status == 0
    assert out.partition("\n\n")[2].replace(f"{tmp_path}/", "") == document


def test_everything_in_a_directory_is_converted_or_named(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = tmp_path / "units"
    for name in ("multi-user.target.wants", "a.target.requires", "web.service.d", "other"):
        (units / name).mkdir(parents=True)
    (units / "web.service").write_text(WEB)
    (units / "t@.service").write_text("[Service]\nExecStart=/usr/bin/t %i\n")
    (tmp_path / "linked").write_text("[Service]\nNice=5\n")
    (units / "web.service.d/x.conf").symlink_to("../../linked")
    (units / "alias.service").symlink_to("web.service")
    (units / "cron.service").symlink_to("/dev/null")
    (units / "multi-user.target.wants/web.service").symlink_to("../web.service")
    (units / "multi-user.target.wants/t@a.service").symlink_to("../t@.service")
    (units / "a.target.requires/web.service").symlink_to("../web.service")
    (units / "y.link").write_text("x")
    (tmp_path / "app.d").mkdir()
    (tmp_path / "app.d/10.conf").write_text("[Service]\nEnvironment=LINKED=1\n")
    (units / "cups.service.d").symlink_to(tmp_path / "app.d")
    (tmp_path / "app.service").write_text(WEB.replace("web", "app"))
    (units / "app.service").symlink_to(tmp_path / "app.service")

    status, out, err = run([str(units)], debian, capsys)

    (document,) = read("x.yaml", out.encode())[0]
    assert (status, set(document.sections.branch("services"))) == (3, {"web", "cron", "cups", "app"})
    assert "cron: {state: masked}" in out
    assert "nice: 5" in out or "Nice: 5" in out
    assert "LINKED: 1" in out, "a directory of drop-ins may be a link"
    assert [line.removeprefix(f"{units}/").partition(": not")[0] for line in err.splitlines()] == [
        "a.target.requires/web.service",
        "alias.service",
        "multi-user.target.wants/t@a.service",
        "other",
        "y.link",
        "5 items not converted",
    ]


def test_links_among_the_arguments_are_aliases_and_masks(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.service").write_text(WEB)
    (tmp_path / "alias.service").symlink_to("web.service")
    (tmp_path / "cron.service").symlink_to("/dev/null")
    words = [str(tmp_path / f"{name}.service") for name in ("alias", "cron", "web")]

    status, out, err = run(words, debian, capsys)

    (document,) = read("x.yaml", out.encode())[0]
    assert (status, set(document.sections.branch("services"))) == (3, {"web", "cron"})
    assert "the link makes alias.service another name of web.service" in err


def test_problems_of_the_document_on_the_machine_have_the_place_that_they_come_from(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (debian / "usr/lib/systemd").mkdir(parents=True)
    for name in ("systemd", "libsystemd-shared-252.so"):
        (debian / "usr/lib/systemd" / name).touch()
    unit = "[Unit]\nBefore=site.service\n" + WEB
    (tmp_path / "web.service").write_text(unit)
    (tmp_path / "bar.service").write_text("[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=multi-user\n")
    (debian / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    (debian / "etc/systemd/system/site.service").write_text(WEB)
    (debian / "etc/systemd/system/multi-user.target.wants/site.service").symlink_to("../site.service")

    status, _, err = run([str(tmp_path / f"{name}.service") for name in ("web", "bar")], debian, capsys)

    assert status == 3
    assert [line.partition(" (")[0] for line in err.splitlines()] == [
        f"{tmp_path}/bar.service: blocked: units/bar.service/Install/WantedBy: 'multi-user' is not a unit name",
        f"{tmp_path}/web.service: warning: services/web: web.service cannot start before site.service: "
        "the boot starts that earlier than the services of the documents",
        "2 problems on this machine",
    ]


@pytest.mark.parametrize(("before", "section"), [("network-pre.target", "units"), ("web.service", "services")])
def test_a_service_before_a_unit_of_the_early_boot_is_started_by_pid_1(
    before: str, section: str, debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.service").write_text(f"[Unit]\nBefore={before}\n{WEB}")

    status, out, err = run([str(tmp_path / "rules.service")], debian, capsys)

    assert (status, err) == (0, "")
    assert f"\n{section}:\n" in out


def test_a_document_of_ours_cannot_be_imported(
    debian: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.yaml").write_text("ordain: v1\nkind: Layer\nname: web\nservices:\n  web: {command: /bin/true}\n")

    assert run([str(tmp_path / "web.yaml")], debian, capsys)[:2] == (1, "")

"""ordainctl on documents, without root and without systemd: validate, match, facts, schema, render."""

from __future__ import annotations

import io
import json
import os
import pwd
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from ordain.agent.cli.main import main
from ordain.agent.delivery.protocol import Snapshot
from ordain.agent.delivery.source import handover_source
from ordain.agent.delivery.source.handover_file import Handover, encode
from ordain.transforms.errors import Severity
from ordain.transforms.model import Kind

EXAMPLE = yaml.safe_load((Path(__file__).parents[3] / "examples/settings.yaml").read_text())
BASE = "ordain: v1\nkind: Layer\nname: base\nservices: {web: {command: /usr/bin/web, limits: {memory: 1G}}}\n"
WEB = "ordain: v1\nkind: Layer\nname: web\ntier: role\nmatch: {role: web}\nservices: {web: {limits: {memory: 2G}}}\n"
SUSE = "ordain: v1\nkind: Layer\nname: suse\ntier: os\nmatch: {os: suse}\nvalues: {a: 1}\n"
NODE = "ordain: v1\nkind: Node\nname: web3\nlabels: {role: web}\n"
WRONG = "ordain: v1\nkind: Layer\nname: wrong\nservices:\n  web:\n    comand: a\n    restart: 5\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which contains the directory ``docs`` with documents."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"10-base.yaml": BASE, "20-web.yaml": WEB, "30-suse.yaml": SUSE, "40-node.yaml": NODE}.items():
        (tmp_path / "docs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    (tmp_path / "docs/README.md").write_text("not a document")
    (tmp_path / "docs/.hidden.yaml").write_text("not: a document")
    return tmp_path


# validate


def test_valid_documents_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "docs"]) == 0
    assert capsys.readouterr().out == "4 documents: valid\n"


def test_a_folder_without_documents_is_not_called_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty/below").mkdir(parents=True)
    (folder / "empty/below/a.yaml").write_text("x")

    assert main(["validate", str(folder / "empty")]) == 0
    assert capsys.readouterr().out.startswith("0 documents: nothing was checked; names of documents end with .yaml")


def test_a_file_without_an_end_is_not_read_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "/dev/zero"]) == 1
    assert "/dev/zero: error: larger than 64 MiB" in capsys.readouterr().err


def test_agent_yaml_is_checked_as_the_settings_of_the_agent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "agent.yaml").write_text("trust: open\n")
    assert main(["validate", "agent.yaml"]) == 0
    assert capsys.readouterr().out == "agent.yaml: valid settings of the agent\n"
    assert main(["validate", "agent.yaml", "docs"]) == 0
    assert capsys.readouterr().out == "4 documents: valid\nagent.yaml: valid settings of the agent\n"

    (folder / "agent.yaml").write_text("trust: opn\nsource: {type: etcd}\n")
    assert main(["validate", "agent.yaml", "docs"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines[:2]] == ["agent.yaml:1:8:", "agent.yaml:2:9:"]
    assert "did you mean open?" in lines[0]


def test_validate_without_files_checks_this_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "etc/ordain").mkdir(parents=True)
    (folder / "etc/ordain/agent.yaml").write_text("source: {type: directory, path: /docs}\n")
    assert main(["validate"], root=folder) == 0
    assert "4 documents: valid" in capsys.readouterr().out

    (folder / "etc/ordain/agent.yaml").write_text("source: {type: http, url: 'https://boot/x'}\n")
    assert main(["validate"], root=folder) == 1
    assert "the documents of this machine come from https://boot/x: name FILE" in capsys.readouterr().err


def test_a_document_in_a_file_named_agent_yaml_is_a_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "agent.yaml").write_text("# the agents\n" + BASE)
    assert main(["validate", "agent.yaml"]) == 0
    assert capsys.readouterr().out == "1 document: valid\n"


def test_all_problems_are_printed_at_once_by_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.yaml").write_text(WRONG)
    (folder / "broken.yaml").write_text("a: [\n")

    assert main(["validate", "wrong.yaml", "nowhere.yaml", "docs", "broken.yaml"]) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert [line.split(": ")[0] for line in lines] == [
        "broken.yaml:2:1",
        "nowhere.yaml",
        "wrong.yaml:6:5",
        "wrong.yaml:7:14",
        "4 errors",
    ]
    assert lines[1] == "nowhere.yaml: error: No such file or directory [Unreadable]"
    assert lines[2].endswith("error: services/web/comand: unknown key (did you mean command?) [Schema]")


def test_two_documents_with_one_name_are_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "again.yaml").write_text(BASE)

    assert main(["validate", "again.yaml", "docs"]) == 1
    assert "two Layer documents have the name base" in capsys.readouterr().err


def test_a_dash_reads_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WRONG.encode())))

    assert main(["validate", "-"]) == 1
    assert capsys.readouterr().err.startswith("<stdin>:6:5: error: ")


def test_problems_as_json_have_the_same_fields(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.yaml").write_text(WRONG)

    assert main(["validate", "--json", "wrong.yaml", "docs/20-web.yaml"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert found["documents"] == [{"kind": "Layer", "name": "web", "path": "docs/20-web.yaml", "line": 1}]
    assert [(p["line"], p["column"], p["pointer"], p["severity"]) for p in found["problems"]] == [
        (6, 5, "services/web/comand", Severity.ERROR),
        (7, 14, "services/web/restart", Severity.ERROR),
    ]


# match


def names(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the names of the layers that match, and of those that do not."""
    matching, _, others = capsys.readouterr().out.partition("\n\n")
    return [[line.split()[0] for line in part.splitlines()[1:]] for part in (matching, others)]


@pytest.mark.parametrize(
    ("options", "matching", "others"),
    [
        (["--os", "debian-13"], ["base"], ["suse", "web", "web3"]),
        (["--os", "opensuse-leap-15.6"], ["base", "suse"], ["web", "web3"]),
        (["--os", "debian-13", "--label", "role=web"], ["base", "web"], ["suse", "web3"]),
        (["--os", "debian-13", "--label", "role=db", "--label", "role=web"], ["base", "web"], ["suse", "web3"]),
        (["--os", "debian-13", "--node", "web3"], ["base", "web", "web3"], ["suse"]),
        (["--os", "debian-13", "--node", "web3", "--label", "role=db"], ["base", "web3"], ["suse", "web"]),
    ],
    ids=" ".join,
)
def test_layers_are_listed_lowest_first(
    options: list[str], matching: list[str], others: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", *options, "docs"]) == 0
    assert names(capsys) == [matching, others]


def test_match_gives_the_reason_for_each_layer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["match", "--os", "debian-13", "--label", "role=db", "docs"]) == 0

    text = capsys.readouterr().out
    assert "every machine" in text
    assert "role: expected web, but this machine is db" in text
    assert main(["match", "--json", "--os", "debian-13", "docs"]) == 0
    assert {entry["name"]: entry["applies"] for entry in json.loads(capsys.readouterr().out)} == {
        "base": True,
        "suse": False,
        "web": False,
        "web3": False,
    }


def test_match_without_files_uses_the_documents_of_this_machine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "etc/ordain").mkdir(parents=True)
    (folder / "etc/ordain/agent.yaml").write_text("source: {type: directory, path: /docs}\nlabels: {role: web}\n")
    (folder / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")

    assert main(["match"], root=folder) == 0
    assert names(capsys)[0] == ["base", "web"]


def test_match_without_files_uses_the_documents_of_a_remote_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://boot/documents"
    monkeypatch.setattr(handover_source, "USER", pwd.getpwuid(os.getuid()).pw_name)
    text = b"ordain: v1\nkind: Layer\nname: NAME\nmatch: {role: NAME}\n"
    texts = tuple((f"{url}#{name}", text.replace(b"NAME", name.encode())) for name in ("web", "db"))
    (folder / "etc/ordain").mkdir(parents=True)
    settings = f"source: {{type: http, url: '{url}'}}\ntrust: TRUST\nlabels: {{role: web}}\n"
    (folder / "etc/ordain/agent.yaml").write_text(settings.replace("TRUST", "open"))
    (folder / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")

    assert main(["match"], root=folder) == 1
    assert "has not handed over any documents yet" in capsys.readouterr().err

    (folder / "run/ordain-source").mkdir(parents=True)
    handover = Handover(location=url, settings="", snapshot=Snapshot(texts=texts, revision="1"), health=None)
    (folder / "run/ordain-source/handover").write_bytes(encode(handover))
    assert main(["match"], root=folder) == 0
    assert names(capsys) == [["web"], ["db"]]

    (folder / "etc/ordain/agent.yaml").write_text(settings.replace("TRUST", "required"))
    assert main(["match"], root=folder) == 1
    assert "[Unsigned]" in capsys.readouterr().err


def test_documents_that_match_nothing_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "docs/10-base.yaml").unlink()

    assert main(["match", "--os", "debian-13", "docs"]) == 0
    assert "no layer matches" in capsys.readouterr().out
    assert main(["render", "--os", "debian-13", "docs"]) == 0
    assert "[NothingMatches]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--os", "debain-13"], 1, 'unknown system "debain-13" (did you mean debian-13'),
        (["--systemd", "new"], 2, "--systemd must be a number, not 'new'"),
        (["--label", "role"], 2, "--label must be KEY=VALUE, not 'role'"),
        (["--node", "web4"], 1, "there is no Node document called 'web4'; did you mean web3?"),
        (["--facts", "f.json"], 1, "f.json: No such file or directory"),
        (["--facts", "docs/10-base.yaml"], 1, "docs/10-base.yaml: not the output of `ordainctl facts --json`"),
        (["--facts", "f.json", "--os", "arch"], 2, "--facts and --os cannot be used together"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_contradictory_options_for_a_machine_are_refused(
    options: list[str], status: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", *options, "docs"]) == status
    assert message in capsys.readouterr().err


# facts and schema


def test_the_option_facts_reads_the_output_of_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "etc/ordain").mkdir(parents=True)
    (folder / "etc/ordain/agent.yaml").write_text("labels: {role: web}\n")
    (folder / "etc/os-release").write_text("ID=opensuse-leap\nID_LIKE='suse opensuse'\nVERSION_ID=15.6\n")
    assert main(["facts", "--json"], root=folder) == 0
    (folder / "facts.json").write_text(capsys.readouterr().out)

    assert main(["match", "--facts", "facts.json", "docs"]) == 0
    assert names(capsys)[0] == ["base", "suse", "web"]


def test_facts_are_printed_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "etc/ordain").mkdir(parents=True)
    (folder / "etc/ordain/agent.yaml").write_text("labels: {role: [web, db]}\n")
    (folder / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")

    assert main(["facts"], root=folder) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["id", "debian"] in lines
    assert ["label", "role", "web,", "db"] in lines


@pytest.mark.parametrize("kind", Kind)
def test_the_schema_of_a_kind(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["kind"]["enum"] == [kind]


@pytest.mark.parametrize("kind", ["Layer", "Node"])
@pytest.mark.parametrize(
    ("settings", "valid"),
    [
        ({"journal-limits": {"disk": "2G"}}, True),
        ({"journal-limits": {"disks": "2G"}}, False),
        ({"ssh-root-login": "prohibit-password"}, True),
        ({"ssh-root-login": "never"}, False),
        ({"ssh-passwords": False, "ssh-port": 2222, "kernel-log-level": 4}, True),
        ({"kernel-log-level": 9}, False),
        ({"time-servers": {"ntp": "a"}}, False),
        ({"time-servers": "ntp.example.org", "firewall-ports": ["443/tcp"]}, True),
        ({"hosts": {"192.0.2.1": ["db"], "192.0.2.2": "web"}}, True),
        ({"sudo-rules": {"operators": {"users": "%operators", "password": False}}}, True),
        ({"sudo-rules": {"operators": {"user": "%operators"}}}, False),
        ({"log-forwarding": {"port": "6514"}}, True),  # a lower layer has the host
        ({"log-forwarding": {"host": {"template": "{{ labels.logs }}"}, "protocol": "icmp"}}, False),
        ({"log-forwarding": {"host": {"template": "{{ labels.logs }}"}}, "resolver": None}, True),
        ({"setting-of-a-site": {"any": ["value"]}}, True),
    ],
)
def test_the_schema_describes_the_values_of_settings(
    kind: str, settings: object, valid: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    document = {"ordain": "v1", "kind": kind, "name": "a", "settings": settings}
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is valid


def test_the_schema_accepts_the_settings_of_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "Layer"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]["settings"]["properties"]) == set(EXAMPLE["settings"])
    assert not list(jsonschema.Draft202012Validator(schema).iter_errors(EXAMPLE))


def test_the_schema_of_agent_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "agent"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == {"source", "labels", "trust", "max-removal", "windows", "network", "why"}
    assert jsonschema.Draft202012Validator(schema).is_valid({"source": {"type": "http", "url": "https://a"}})
    assert not jsonschema.Draft202012Validator(schema).is_valid({"source": {"type": "http", "endpoints": "https://a"}})


def test_the_schema_of_all_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert len(json.loads(capsys.readouterr().out)["oneOf"]) == len(Kind) + 1  # and the Test, which no machine reads


# render


def test_render_prints_every_file_and_link(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--os", "debian-13", "docs"]) == 0

    said = capsys.readouterr()
    heads = [line for line in said.out.splitlines() if line.startswith("=== ")]
    assert said.err == ""
    assert heads == [
        "=== normal/ordain-services.target.wants/web.service -> ../web.service",
        "=== normal/web.service 0644",
    ]
    assert "# docs/10-base.yaml:4 base services/web/limits/memory\nMemoryMax=1G\n" in said.out


def test_render_needs_no_machine_and_always_gives_the_same_bytes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", "--os", "fedora-42", "--label", "role=web", "docs"]
    assert main(words, root=folder / "nowhere") == 0
    first = capsys.readouterr().out

    assert "MemoryMax=2G\n" in first
    assert main(words, root=folder / "nowhere") == 0
    assert capsys.readouterr().out == first


def test_render_writes_files_into_an_empty_directory_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--os", "debian-13", "--output", "out", "docs"]) == 0

    assert sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.service")) == [
        "normal/ordain-services.target.wants/web.service",
        "normal/web.service",
    ]
    assert "ExecStart=/usr/bin/web\n" in Path("out/normal/ordain-services.target.wants/web.service").read_text()
    assert main(["render", "--os", "debian-13", "--output", "out", "docs"]) == 1
    assert "out is not empty; nothing was written" in capsys.readouterr().err


def test_render_writes_directories_and_leaves_out_absent_files(folder: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops"
    user = f"users: {{ops: {{keys: [{key}]}}}}"
    text = f"ordain: v1\nkind: Layer\nname: files\n{user}\nfiles: {{/etc/motd: {{state: absent}}}}\n"
    Path("files.yaml").write_text(text)

    assert main(["render", "--os", "debian-13", "--output", "out", "files.yaml"]) == 0

    assert Path("out/home/ops/.ssh/authorized_keys").read_text().endswith(f"\n{key}\n")
    assert Path("out/home/ops").stat().st_mode & 0o777 == 0o700
    assert not Path("out/etc/motd").exists()


@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        ("services: {web: {command: /usr/bin/web, limits: {memory: 3G}}}", 1, "[LayerConflict]"),
        ("services: {unheard-of: {limits: {memory: 1G}}}", 3, "blocked: "),
        ("services: {b: {command: /b, requires: [no-such]}}", 3, "no-such"),
    ],
)
def test_blocked_items_are_reported_and_the_others_rendered(
    document: str, status: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "docs/99.yaml").write_text(f"ordain: v1\nkind: Layer\nname: more\n{document}\n")

    assert main(["render", "--os", "debian-13", "docs"]) == status
    said = capsys.readouterr()
    assert message in said.err
    assert ("normal/web.service" in said.out) == (status == 3)


def test_render_for_all_systems_groups_systems_with_equal_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ssh.yaml").write_text("ordain: v1\nkind: Layer\nname: a\nservices: {ssh: {state: running}}\n")

    assert main(["render", "--all-os", "ssh.yaml"]) == 0
    said = capsys.readouterr().out
    groups = [line for line in said.splitlines() if " systems: " in line]
    assert "rocky-9" in groups[0]
    assert "debian-12" in groups[1]
    assert "\n+=== normal/ordain-services.target.wants/ssh.service -> ../ssh.service\n" in said

    assert main(["render", "--all-os", "--json", "ssh.yaml"]) == 0
    first, second = json.loads(capsys.readouterr().out)["groups"]
    assert (first["difference"], second["difference"][:4]) == ("", "--- ")
    assert "debian-13" in second["systems"]
    assert [a["link"] for a in second["artifacts"] if a["link"]] == ["../ssh.service"]


def test_render_for_all_systems_reports_the_problems_of_each_system(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "docker.yaml").write_text(
        "ordain: v1\nkind: Layer\nname: a\nservices: {docker-registry: {state: running}}\n"
    )

    assert main(["render", "--all-os", "docker.yaml"]) == 3
    assert "! docker.yaml:4:29: blocked: services/docker-registry" in capsys.readouterr().out
    assert main(["render", "--all-os", "--os", "debian-12", "docker.yaml"]) == 2


def test_render_as_json_has_artifacts_members_and_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--json", "--os", "debian-13", "docs"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert [artifact["path"] for artifact in found["artifacts"]][1] == "normal/web.service"
    assert found["layers"] == ["base"]
    assert found["members"][0]["unit"] == "web.service"
    assert found["problems"] == []

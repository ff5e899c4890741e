"""cloud-config becomes what cloud-init makes of it (its module reference)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ordain.transforms.catalog.names import Names
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.file_types import FileType
from ordain.transforms.model import Branch


def convert(text: str) -> tuple[dict[str, dict[str, Plain]], list[str]]:
    """Return the sections, and the problems with their lines."""
    draft = DocumentDraft()
    file_types.convert([InputFile(path="user-data", data=text.encode())], Names(tree=Branch()), draft, FileType.CLOUD)
    schema_filter.remove_invalid(draft)
    sections = {section: entries for section, entries in draft.sections.items() if entries}
    return sections, [f"{problem.where.line}: {problem.what}" for problem in draft.problems]


def test_the_host_name_stays_with_preserve_hostname() -> None:
    assert convert("hostname: h\npreserve_hostname: yes\n") == (
        {},
        ["1: hostname: with preserve_hostname, cloud-init leaves the host name alone"],
    )
    assert convert("hostname: h\npreserve_hostname: false\n") == ({"host": {"hostname": "h"}}, [])


def test_a_disabled_network_is_named() -> None:
    assert convert("network: {config: disabled}\n") == ({}, ["1: network: cloud-init leaves the network alone"])


@pytest.mark.parametrize(
    ("device", "path"),
    [
        ("alias.1", "/dev/sdx1"),
        ("alias", "/dev/sdx"),
        ("disk.2", "/dev/disk0p2"),
        ("vdb", "/dev/vdb"),
        ("sdc1", "/dev/sdc1"),
        ("nvme0n1.1", "/dev/nvme0n1p1"),
        ("LABEL=a", "/dev/disk/by-label/a"),
        ("nas:/x", "nas:/x"),
        ("tmpfs", "tmpfs"),
    ],
)
def test_a_mount_has_the_device_that_cloud_init_mounts(device: str, path: str) -> None:
    sections, _ = convert(f"device_aliases: {{alias: /dev/sdx, disk: /dev/disk0}}\nmounts: [['{device}', /m, auto]]\n")

    assert sections == {"mounts": {"/m": {"what": path}}}


@pytest.mark.parametrize("device", ["my_alias.1", "ephemeral0", "ephemeral0.1", "root", "swap", "ebs1", "data"])
def test_a_device_that_cannot_be_is_named(device: str) -> None:
    sections, problems = convert(f"mounts: [[{device}, /m], [/dev/vdb, /n]]\n")

    assert sections == {"mounts": {"/n": {"what": "/dev/vdb"}}}
    assert [problem.partition(" is ")[0] for problem in problems] == [f"1: mounts: {device}"]


def test_the_last_of_two_files_is_used() -> None:
    text = "write_files:\n- {path: /a, content: one}\n- {path: /a, content: two}\n"

    assert convert(text) == (
        {"files": {"/a": {"content": "two"}}},
        ["2: files//a comes from user-data:3:3, too, and the last one is used"],
    )


@pytest.mark.parametrize(
    ("written", "mode", "problems"),
    [("'0644'", "0644", 0), ("0600", "0600", 0), ("0o600", "0600", 0), ("420", "0644", 1), ("600", "1130", 1)],
)
def test_the_mode_of_a_file_is_that_of_cloud_init(written: str, mode: str, problems: int) -> None:
    sections, named = convert(f"write_files: [{{path: /a, content: x, permissions: {written}}}]\n")

    assert sections["files"]["/a"] == {"content": "x", "mode": mode}
    assert len(named) == problems


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("!!binary aGVsbG8K", "hello\n"),
        ("aGVsbG8K, encoding: b64", "hello\n"),
        ("H4sIAAAAAAACA8tIzcnJ5wIAIDA6NgYAAAA=, encoding: gz+base64", "hello\n"),
    ],
)
def test_encoded_content_is_decoded(content: str, text: str) -> None:
    assert convert(f"write_files: [{{path: /a, content: {content}}}]\n") == ({"files": {"/a": {"content": text}}}, [])


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("write_files: [{path: /b, content: !!binary /wAB}, {path: /a, content: x}]",
         "write_files: the value of !!binary is not a text"),
        ("write_files: [{path: /b, content: !own x}, {path: /a, content: x}]",
         "write_files: the tag !own has no meaning here"),
        ("write_files: [{path: /a, content: y}]\nwrite_files: [{path: /a, content: x}]",
         "'write_files' is set again in line 2, and the last value is used"),
        ("x: &x {content: x}\nwrite_files: [{<<: *x, path: /a}]", "x"),
    ],
)  # fmt: skip
def test_one_bad_item_costs_that_item(bad: str, problem: str) -> None:
    assert convert(f"{bad}\n") == ({"files": {"/a": {"content": "x"}}}, [f"1: {problem}"])


def run_script(entry: Plain, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of a service, below ``tmp_path``."""
    assert isinstance(entry, dict)
    assert isinstance(entry["command"], list)
    words = [str(word).replace("/var/lib", str(tmp_path)) for word in entry["command"]]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_commands_run_once_whatever_they_return(tmp_path: Path) -> None:
    sections, problems = convert("runcmd: [cd /, [echo, a b, yes, 0644], exit 3, echo no]\n")
    entry = sections["services"]["cloud-runcmd"]

    done = run_script(entry, tmp_path)

    assert isinstance(entry, dict)
    assert entry["before-start"] == ["/usr/bin/touch", "/var/lib/cloud-runcmd/done"]
    assert entry["condition"] == {"path-exists": "!/var/lib/cloud-runcmd/done"}
    assert (done.returncode, done.stdout) == (0, "a b True 420\n")
    assert done.stderr == "runcmd ended with exit status 3, and is not run again\n"
    assert problems == []


def test_a_script_with_a_syntax_error_does_not_fail_the_service(tmp_path: Path) -> None:
    sections, _ = convert('bootcmd: ["if"]\n')

    assert run_script(sections["services"]["cloud-bootcmd"], tmp_path).returncode == 0


def test_cloud_init_per_is_translated(tmp_path: Path) -> None:
    text = (
        "bootcmd:\n- [cloud-init-per, once, a, echo, one]\n- cloud-init-per always b echo two\n"
        "- x; cloud-init-per once c d\n- echo $INSTANCE_ID\n"
    )
    sections, problems = convert(text)
    (tmp_path / "cloud-bootcmd").mkdir()
    entry = sections["services"]["cloud-bootcmd"]

    printed = [run_script(entry, tmp_path).stdout for _ in range(2)]

    assert printed == ["one\ntwo\n", "two\n"]
    assert isinstance(entry, dict)
    assert entry["directories"] == {"state": "cloud-bootcmd"}
    assert problems == [
        "4: bootcmd: cloud-init-per is a program of cloud-init",
        "5: bootcmd: only cloud-init sets INSTANCE_ID",
    ]


def test_root_gets_no_keys_that_render_would_block() -> None:
    text = "users: [{name: root, shell: /bin/zsh, ssh-authorized-keys: [k]}]\ngroups: [{wheel: [root, a]}]\n"

    sections, problems = convert(text)

    assert sections == {"users": {"root": {"keys": ["k"]}}, "groups": {"wheel": {}}}
    assert problems == [
        "1: users: shell of root cannot be set",
        "2: groups: root as a member of wheel",
        "2: groups: a as a member of wheel, because `users` does not make it",
    ]


def test_a_group_makes_no_account_of_its_members() -> None:
    sections, problems = convert("users: [{name: u}]\ngroups: [{g: [u, zz]}]\n")

    assert sections == {"users": {"u": {"groups": ["g"]}}, "groups": {"g": {}}}
    assert problems == ["2: groups: zz as a member of g, because `users` does not make it"]


@pytest.mark.parametrize("users", ["[a, b]", "a, b", "{a: {}, b: null}", "[{name: a}, {name: b, lock-passwd: true}]"])
def test_users_have_every_form_of_cloud_init(users: str) -> None:
    assert convert(f"users: {users if users[0] in '[{' else repr(users)}\n") == ({"users": {"a": {}, "b": {}}}, [])


def test_numbers_are_those_of_yaml_1_1() -> None:
    sections, problems = convert(
        "users: [{name: a, uid: 01750}, {name: b, uid: '1001'}, {name: c, uid: 1:0}, {name: d, uid: x}]\n"
    )

    assert sections["users"] == {"a": {"uid": 1000}, "b": {"uid": 1001}, "c": {"uid": 60}, "d": {}}
    assert problems == ["1: users: the value is not a whole number"]

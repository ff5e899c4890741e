"""Quadlets become the services that podman's generator makes of them (podman-systemd.unit(5))."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ordain.transforms.catalog.names import Names
from ordain.transforms.importing import file_types
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.model import Branch
from ordain.transforms.systemd import splitting

IMAGE = "Image=docker.io/library/alpine\n"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


def convert(**files: str) -> tuple[dict[str, Plain], list[str]]:
    """Return the entries of `services` and `units`, and the problems; ``__`` in a name is a slash, ``_`` a dot."""
    draft = DocumentDraft()
    inputs = [
        InputFile(path=name.replace("__", "/").replace("_", "."), data=text.encode()) for name, text in files.items()
    ]
    file_types.convert(inputs, Names(tree=Branch()), draft)
    return {**draft.entries("services"), **draft.entries("units")}, [problem.what for problem in draft.problems]


def directives(entry: Plain) -> dict[str, list[str]]:
    """Return the raw directives of [Service] of an entry in `services`."""
    assert isinstance(entry, dict)
    sections = entry.get("systemd")
    service = sections.get("Service") if isinstance(sections, dict) else None
    service = service if isinstance(service, dict) else {}
    return {
        key: [str(item) for item in value] if isinstance(value, list) else [str(value)]
        for key, value in service.items()
    }


def command(entry: Plain) -> list[str]:
    """Return the words of the command, wherever the entry has it."""
    assert isinstance(entry, dict)
    if raw := directives(entry).get("ExecStart"):
        return [*splitting.split(raw[0], unescape=True)]
    words = entry["command"]
    return [str(word) for word in words] if isinstance(words, list) else str(words).split()


def container(text: str, rest: str = "") -> tuple[Plain, list[str]]:
    entries, problems = convert(a_container=f"[Container]\n{IMAGE}{text}\n{rest}\n{INSTALL}")
    return entries["a"], problems


def test_a_oneshot_waits_for_its_container() -> None:
    entry, problems = container('Exec=sh -c "date"', "[Service]\nType=oneshot")

    assert isinstance(entry, dict)
    assert entry["type"] == "oneshot"
    assert not [word for word in command(entry) if word.startswith(("--detach", "--sdnotify"))]
    assert "NotifyAccess" not in directives(entry)
    assert not problems


def test_a_type_that_quadlet_refuses_is_named() -> None:
    entry, problems = container("", "[Service]\nType=forking")

    assert isinstance(entry, dict)
    assert entry["type"] == "notify"
    assert problems == ["Type=forking, which quadlet refuses, too: the service has the type notify"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('Image="a/b"', "a/b"),
        ("ContainerName='x'", "--name=x"),
        ('HealthCmd="hello world"', "--health-cmd=hello world"),
        ('LogOpt=tag="{{.Name}}"', "--log-opt=tag={{.Name}}"),
        ("HostName=a\nHostName=b", "--hostname=b"),
        ("EnvironmentFile=/a /b", "--env-file=/b"),
    ],
)
def test_values_are_read_as_quadlet_reads_them(line: str, word: str) -> None:
    entry, problems = container(line)

    assert word in command(entry)
    assert "--hostname=a" not in command(entry)
    assert not problems


def test_the_containers_of_a_template_have_a_name_each() -> None:
    text = f"[Container]\n{IMAGE}{INSTALL}DefaultInstance=blue\n"
    entries, problems = convert(**{"web@_container": text})

    assert "--name=systemd-%p_%i" in command(entries["web"])
    assert directives(entries["web"])["SyslogIdentifier"] == ["%N"]
    assert directives(entries["web"])["ExecStop"][0].endswith(" systemd-%p_%i")
    assert not problems


def test_auto_update_finds_the_unit() -> None:
    entry, _ = container("AutoUpdate=registry")

    assert directives(entry)["Environment"] == ["PODMAN_SYSTEMD_UNIT=%n"]


def test_the_sources_of_mounts_are_resolved_or_named() -> None:
    text = (
        f"[Container]\n{IMAGE}Mount=type=volume,source=data.volume,destination=/x\n"
        "Mount=type=bind,source=/etc/app,target=/etc/app\n"
        f"Mount=type=bind,source=./conf,target=/c\nMount=type=image,source=i.image,target=/i\n{INSTALL}"
    )
    entries, problems = convert(a_container=text, data_volume="[Volume]\n")

    mounts = [word for word in command(entries["a"]) if word.startswith("--mount")]
    assert mounts == [
        "--mount=type=volume,source=systemd-data,destination=/x",
        "--mount=type=bind,source=/etc/app,target=/etc/app",
    ]
    assert isinstance(entries["a"], dict)
    assert entries["a"]["requires"] == ["/etc/app"]
    assert problems == ["Mount=: './conf' is relative to the quadlet", "Mount=: i.image is another quadlet"]


def test_a_device_that_need_not_be_there_is_named() -> None:
    entry, problems = container("AddDevice=-/dev/kvm\nAddDevice=/dev/fuse")

    assert [word for word in command(entry) if word.startswith("--device")] == ["--device=/dev/fuse"]
    assert problems == ["AddDevice=: -/dev/kvm: quadlet adds the device only on a machine that has it"]


def test_default_dependencies_of_quadlet_are_the_network() -> None:
    entry, problems = container("", "[Quadlet]\nDefaultDependencies=false")
    assert isinstance(entry, dict)
    assert "after" not in entry
    assert not problems

    entry, problems = container("", "[Quadlet]\nOther=1")
    assert isinstance(entry, dict)
    assert entry["after"] == ["network-online.target"]
    assert problems == ["[Quadlet] Other=: the key is not known"]


def test_drop_ins_of_a_container_are_merged() -> None:
    entries, problems = convert(
        a_container=f"[Container]\n{IMAGE}PublishPort=1:1\nAddDevice=/dev/a\n{INSTALL}",
        a_container_d__x_conf="[Container]\nPublishPort=\nPublishPort=2:2\nAddDevice=/dev/b\n[Service]\nRestart=always\n",
        b_container_d__x_conf="[Container]\nPublishPort=3:3\n",
    )

    words = command(entries["a"])
    assert [word for word in words if word.startswith(("--publish", "--device"))] == [
        "--device=/dev/a",
        "--publish=2:2",
        "--device=/dev/b",
    ]
    assert isinstance(entries["a"], dict)
    assert entries["a"]["restart"] == "always"
    assert problems == ["b.container is not in this import"]


GENERATOR = next(
    (
        path
        for path in (
            os.environ.get("ORDAIN_QUADLET", ""),
            "/usr/libexec/podman/quadlet",
            "/usr/lib/systemd/system-generators/podman-system-generator",
        )
        if path and os.access(path, os.X_OK)
    ),
    "",
)


@pytest.mark.skipif(not GENERATOR, reason="podman's generator is not installed")
@pytest.mark.parametrize(
    "text",
    [
        f'[Container]\n{IMAGE}Exec=sh -c "date"\n[Service]\nType=oneshot\n',
        '[Container]\nImage="a.io/b"\nContainerName="x"\nHealthCmd="hello world"\nLogOpt=tag="{{.Name}}"\n',
        f"[Container]\n{IMAGE}Mount=type=volume,source=data.volume,destination=/x\nUser=1\nGroup=2\n",
        f'[Container]\n{IMAGE}Environment=A=1 "B=x y"\nHostName=a\nHostName=b\nDNS=1.1.1.1\nDNS=\nDNS=9.9.9.9\n',
    ],
)
def test_the_command_is_that_of_the_generator(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.container").write_text(text)
    (tmp_path / "data.volume").write_text("[Volume]\n")
    printed = subprocess.run(
        [GENERATOR, "-dryrun"],
        env={"QUADLET_UNIT_DIRS": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    service = printed.partition("---a.service---")[2].partition("\n---")[0]
    (line,) = re.findall("(?m)^ExecStart=(.*)$", service)
    entries, problems = convert(a_container=text + INSTALL, data_volume="[Volume]\n")

    assert sorted(_options(command(entries["a"]))) == sorted(_options([*splitting.split(line, unescape=True)]))
    assert not problems


LONG = {"-d": "--detach", "-v": "--volume"}
VALUED = re.compile(r"--(name|env|user|mount|volume|hostname|dns|health-cmd|log-opt)")


def _options(words: list[str]) -> list[str]:
    """Return words in one spelling: ``--option=value``, long options, and the name that %N stands for."""
    joined: list[str] = []
    for word in words:
        if joined and VALUED.fullmatch(joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(LONG.get(word, word))
    return [word.replace("%N", "a").replace("/usr/bin/podman", "podman") for word in joined]

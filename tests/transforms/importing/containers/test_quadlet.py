"""Quadlets become the services that podman's generator makes of them (podman-systemd.unit(5))."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.names import Names
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
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


def test_a_group_needs_a_user() -> None:
    entry, problems = container("Group=2")

    assert not [word for word in command(entry) if word.startswith("--user")]
    assert len(problems) == 1
    both, problems = container("Group=2\nUser=1")
    assert "--user=1:2" in command(both)
    assert not problems


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('Image="a/b"', "a/b"),
        ('ContainerName="x"', "--name=x"),
        ("HealthStartupCmd='x y'", "--health-startup-cmd='x y'"),
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


@pytest.mark.parametrize("kind", ["bind", "image", "glob", "artifact"])
@pytest.mark.parametrize("source", ["", ",source="])
def test_a_mount_without_its_source_is_named(kind: str, source: str) -> None:
    _, problems = container(f"Mount=type={kind},target=/x{source}")

    assert problems == [f"Mount=: type={kind},target=/x{source} has no source, and podman refuses it, too"]


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
    assert problems == [
        "Mount=: './conf' is relative to the quadlet, whose directory is not known",
        "Mount=: i.image is not in this import",
    ]


def test_a_device_that_need_not_be_there_is_named() -> None:
    entry, problems = container("AddDevice=-/dev/kvm\nAddDevice=/dev/fuse")

    assert [word for word in command(entry) if word.startswith("--device")] == ["--device=/dev/fuse"]
    assert problems == ["AddDevice=: -/dev/kvm: quadlet adds the device only on a machine that has it"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("ReadOnlyTmpfs=no", ["--read-only-tmpfs=false"]),
        ("VolatileTmp=yes", ["--tmpfs=/tmp:rw,size=512M,mode=1777"]),
        ("VolatileTmp=yes\nReadOnly=yes", ["--read-only=true"]),
        ("RemapUsers=auto\nRemapUid=0:1:2\nRemapUidSize=9", ["--userns=auto:uidmapping=0:1:2,size=9"]),
        ("RemapUsers=keep-id", ["--userns=keep-id"]),
        ("RemapUsers=manual\nRemapUid=0:1:2 3:4:5\nRemapGid=6", ["--uidmap=0:1:2", "--uidmap=3:4:5", "--gidmap=6"]),
        ("HealthLogDestination=local", ["--health-log-destination=local"]),
        ("UIDMap=0:1:2 3:4:5", ["--uidmap=0:1:2", "--uidmap=3:4:5"]),
    ],
)  # fmt: skip
def test_a_key_becomes_options(lines: str, words: list[str]) -> None:
    entry, problems = container(lines)

    at = command(entry).index("--detach") + 1
    assert command(entry)[at:-1] == words
    assert not problems


def test_a_root_file_system_takes_the_place_of_the_image() -> None:
    entries, problems = convert(a_container=f"[Container]\nRootfs=/srv/root\nExec=a b\n{INSTALL}")
    assert command(entries["a"])[-4:] == ["--rootfs", "/srv/root", "a", "b"]
    assert not problems

    _, problems = convert(a_container=f"[Container]\n{IMAGE}Rootfs=/srv/root\n{INSTALL}")
    assert problems == ["the container has both Image= and Rootfs="]


def test_the_name_of_the_service_can_be_set() -> None:
    entries, problems = convert(a_container=f"[Container]\n{IMAGE}ServiceName=web\n{INSTALL}")

    assert set(entries) == {"web"}
    assert "--name=systemd-web" in command(entries["web"])
    assert not problems


def test_a_module_of_containers_conf_is_loaded_by_every_command() -> None:
    entry, problems = container("ContainersConfModule=/etc/a.conf")

    assert command(entry)[:3] == ["/usr/bin/podman", "--module=/etc/a.conf", "run"]
    assert not problems


@pytest.mark.parametrize(
    ("line", "reload"),
    [
        ("ReloadCmd=nginx -s reload", "exec systemd-a nginx -s reload"),
        ("ReloadSignal=SIGHUP", "kill --signal=SIGHUP systemd-a"),
    ],
)
def test_a_reload_is_done_in_the_container(line: str, reload: str) -> None:
    entry, problems = container(line)

    assert isinstance(entry, dict)
    assert entry["reload"] == f"/usr/bin/podman {reload}"
    assert not problems


def test_dependencies_on_quadlets_are_those_on_their_units() -> None:
    entries, problems = convert(
        a_container=f"[Unit]\nAfter=b.container y.service v.volume\nRequires=p.pod\n[Container]\n{IMAGE}"
        f"Network=b.container\nVolume=v.volume:/v\n{INSTALL}",
        b_container=f"[Container]\n{IMAGE}ContainerName=bee\nServiceName=c\n{INSTALL}",
        v_volume="[Volume]\n",
    )

    assert isinstance(entry := entries["a"], dict)
    assert entry["after"] == ["network-online.target", "c", "y.service"]
    assert entry["requires"] == ["c"]
    assert "--network=container:bee" in command(entry)
    assert problems == ["After=v.volume", "Requires=p.pod"]


def test_every_type_of_quadlet_may_depend_on_quadlets() -> None:
    depends = "[Unit]\nAfter=a.container b.pod c.build d.image e.kube f.volume g.container\n"

    entries, problems = convert(
        a_container=f"[Container]\n{IMAGE}",
        b_pod=f"{depends}[Pod]\nServiceName=bee\n",
        c_build=f"{depends}[Build]\nImageTag=x\nFile=/x\n",
        d_image=f"{depends}[Image]\nImage=x\n",
        e_kube=f"{depends}[Kube]\nYaml=/x\n",
    )

    for name in ("bee", "c-build", "d-image", "e"):
        assert isinstance(entry := entries[f"{name}.service"], dict)
        assert isinstance(unit := entry["Unit"], dict)
        wanted = "a.service bee.service c-build.service d-image.service e.service"
        assert unit["After"] == ["network-online.target", wanted]
    assert sorted(problems) == ["After=f.volume"] * 4 + ["After=g.container"] * 4


def test_a_container_without_its_pod_is_named() -> None:
    entries, problems = convert(a_container=f"[Container]\n{IMAGE}Pod=p.pod\n{INSTALL}")

    assert not entries
    assert problems == ["the container is in the pod p.pod, which this import has not"]


def test_a_pod_starts_before_its_containers_and_stops_with_them() -> None:
    entries, problems = convert(
        p_pod=f"[Pod]\nPublishPort=80:80\nVolume=v.volume:/d\n{INSTALL}",
        v_volume="[Volume]\nDriver=local\n",
        a_container=f"[Container]\n{IMAGE}Pod=p.pod\n",
    )

    assert problems == []
    pod, container = str(entries["p-pod"]), str(entries["a.service"])
    assert "volume create" in pod
    assert "a.service" in pod
    assert "--pod-id-file=%t/p-pod.pod-id" in container
    assert "BindsTo" in container


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Build]\nFile=/x\n", "it has no ImageTag="),
        ("[Build]\nImageTag=x\n", "it has neither File= nor SetWorkingDirectory="),
        ("[Build]\nImageTag=x\nFile=rel\n", "File=rel is relative, and there is no SetWorkingDirectory="),
        ("[Build]\nImageTag=x\nSetWorkingDirectory=file\n", "SetWorkingDirectory=file without File="),
    ],
)
def test_a_build_that_the_generator_refuses_is_named(text: str, problem: str) -> None:
    assert convert(c_build=text) == ({}, [problem])


def test_keys_of_a_pod_and_a_build_that_are_not_carried_are_named() -> None:
    _, problems = convert(p_pod="[Pod]\nNope=1\n", c_build="[Build]\nImageTag=x\nFile=/x\nNope=2\n")

    assert sorted(problems) == ["Nope= of c.build", "Nope= of p.pod"]


def test_relative_paths_are_those_beside_the_quadlet() -> None:
    text = f"[Container]\n{IMAGE}Volume=./v:/v\nEnvironmentFile=e\nMount=type=bind,source=../m,target=/m\n{INSTALL}"
    entries, problems = convert(**{"__etc__q__a_container": text})

    words = command(entries["a"])
    assert {"--volume=/etc/q/v:/v", "--env-file=/etc/q/e", "--mount=type=bind,source=/etc/m,target=/m"} <= {*words}
    assert not problems

    _, problems = convert(a_container=text)
    assert len(problems) == 3


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


def test_an_image_is_pulled_by_a_service_that_its_containers_require() -> None:
    image = (
        "[Image]\nImage=quay.io/x/y:1\nImageTag=local/y\nArch=arm64\nAllTags=true\nTLSVerify=no\n"
        'GlobalArgs=--log-level=debug\nContainersConfModule=/m.conf\nPodmanArgs=--foo "a b"\nNosuch=1\n'
        "[Service]\nTimeoutStartSec=900\n"
    )
    text = f"[Container]\nImage=y.image\nMount=type=image,source=y.image,target=/i\n{INSTALL}"

    entries, problems = convert(a_container=text, y_image=image)

    assert isinstance(entries["a"], dict)
    assert entries["a"]["requires"] == ["y-image.service"]
    assert command(entries["a"])[-2:] == ["--mount=type=image,source=local/y,target=/i", "local/y"]
    unit = entries["y-image.service"]
    assert isinstance(unit, dict)
    service = unit["Service"]
    assert isinstance(service, dict)
    assert (service["Type"], service["RemainAfterExit"], service["TimeoutStartSec"]) == ("oneshot", "yes", "900")
    assert [*splitting.split(str(service["ExecStart"]), unescape=True)][1:] == [
        *("--module=/m.conf", "--log-level=debug", "image", "pull", "--arch=arm64", "--all-tags"),
        *("--tls-verify=false", "--foo", "a b", "quay.io/x/y:1"),
    ]
    assert problems == ["Nosuch= of y.image"]


def test_pods_of_a_file_are_played_and_taken_down() -> None:
    kube = "[Kube]\nYaml=/etc/k.yaml\nConfigMap=/etc/c.yaml\nKubeDownForce=yes\nAutoUpdate=web/registry\n"

    entries, problems = convert(k_kube=f"{kube}[Unit]\nAfter=a.container b.service\n{INSTALL}")

    assert isinstance(k := entries["k"], dict)
    assert command(k)[1:] == [
        *("kube", "play", "--replace", "--service-container=true", "--configmap=/etc/c.yaml"),
        *("--annotation=io.containers.autoupdate/web=registry", "/etc/k.yaml"),
    ]
    assert directives(k)["ExecStopPost"] == ["/usr/bin/podman kube down --force /etc/k.yaml"]
    assert problems == ["After=a.container"]


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("i_image", "[Image]\nArch=arm64\n", "it has no Image="),
        ("k_kube", "[Kube]\nYaml=k.yaml\n", "'k.yaml' is relative to the quadlet, whose directory is not known"),
        ("k_kube", "[Kube]\nYaml=/k\nNetwork=n.network\n", "n.network is not in this import"),
    ],
)
def test_a_quadlet_without_a_service_is_named(file: str, text: str, problem: str) -> None:
    entries, problems = convert(**{file: text})

    assert (entries, problems) == ({}, [problem])

"""Quadlets become the services that podman's generator of Debian 13 makes of them.

``ORDAIN_CORPORA=DIR`` also compares every ``.container`` below DIR, such as those of podman's own tests.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from support.importing.quadlet_services import commands_of_objects, differences

pytestmark = pytest.mark.integration

IMAGE = "Image=docker.io/library/alpine"
CASES = {
    "oneshot": """
[Container]
Image=docker.io/library/alpine
Exec=sh -c "date"
[Service]
Type=oneshot
""",
    "quotes": """
[Container]
Image="a.io/b"
ContainerName="x"
HealthCmd="hello world"
LogOpt=tag="{{.Name}}"
HealthStartupCmd='["a", b]'
""",
    "lists": """
[Container]
Image=docker.io/library/alpine
Environment=A=1 "B=x y"
HostName=a
HostName=b
DNS=1.1.1.1
DNS=
DNS=9.9.9.9
PublishPort=1:1
PublishPort=2:2
AddHost=a:1.1.1.1
Tmpfs=/x
Ulimit=nofile=1:2
GroupAdd=keep-groups
""",
    "words": """
[Container]
Image=docker.io/library/alpine
AddCapability=CAP_CHOWN CAP_KILL
DropCapability=all
Sysctl=a.b=1 c.d=2
UIDMap=0:1:2 3:4:5
GIDMap=0:1:2
Mask=/a:/b
Unmask=ALL
Secret=s,type=env
Annotation=a=b c=d
Label="e=f g"
""",
    "objects": """
[Container]
Image=docker.io/library/alpine
Mount=type=volume,source=data.volume,destination=/x
User=1
Group=2
Network=n.network:ip=1.2.3.4
Volume=data.volume:/d:ro
Volume=/etc/app:/app
Volume=./beside:/b
EnvironmentFile=env /etc/env
""",
    "flags": """
[Container]
Image=docker.io/library/alpine
ReadOnly=yes
ReadOnlyTmpfs=no
RunInit=yes
EnvironmentHost=no
NoNewPrivileges=yes
SecurityLabelDisable=yes
SecurityLabelNested=no
SecurityLabelType=spc_t
SeccompProfile=/s
Notify=healthy
AutoUpdate=registry
""",
    "options": """
[Container]
Image=docker.io/library/alpine
Timezone=local
PidsLimit=5
ShmSize=1m
WorkingDir=/w
IP=1.2.3.4
StopSignal=INT
StopTimeout=5
Pull=never
LogDriver=journald
CgroupsMode=enabled
Entrypoint=/e
UserNS=keep-id
ExposeHostPort=80-90
NetworkAlias=x
""",
    "health": """
[Container]
Image=docker.io/library/alpine
HealthInterval=1m
HealthRetries=3
HealthOnFailure=kill
HealthLogDestination=local
HealthMaxLogCount=5
HealthMaxLogSize=6
HealthStartPeriod=2m
""",
    "remap-auto": """
[Container]
Image=docker.io/library/alpine
RemapUsers=auto
RemapUid=0:1:2
RemapGid=3:4:5
RemapUidSize=9
""",
    "remap-keep-id": """
[Container]
Image=docker.io/library/alpine
RemapUsers=keep-id
RemapUid=200
RemapGid=210
""",
    "remap-manual": """
[Container]
Image=docker.io/library/alpine
RemapUsers=manual
RemapUid=0:1:2
RemapUid=3:4:5
RemapGid=6:7:8
""",
    "tmp": """
[Container]
Image=docker.io/library/alpine
VolatileTmp=yes
""",
    "tmp-read-only": """
[Container]
Image=docker.io/library/alpine
VolatileTmp=yes
ReadOnly=yes
""",
    "rootfs": """
[Container]
Rootfs=/srv/root
Exec=/bin/x --flag
""",
    "global": """
[Container]
Image=docker.io/library/alpine
ContainersConfModule=/etc/a.conf
GlobalArgs=--log-level debug
PodmanArgs=--blkio-weight 10
""",
    "other": """
[Unit]
After=y.service
[Container]
Image=docker.io/library/alpine
Network=b.container
[Service]
KillMode=control-group
Restart=always
SyslogIdentifier=me
""",
    "no-network": """
[Container]
Image=docker.io/library/alpine
[Quadlet]
DefaultDependencies=false
""",
}
OTHERS = {
    "data.volume": "[Volume]\n",
    "n.network": "[Network]\nNetworkName=net\n",
    "b.container": f"[Container]\n{IMAGE}\nContainerName=bee\nServiceName=sea\n",
}
INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"


@pytest.mark.parametrize("wanted", [True, False], ids=["service", "unit"])
@pytest.mark.parametrize("case", CASES)
def test_a_service_is_that_of_the_generator(case: str, wanted: bool, quadlet: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.container").write_text(CASES[case] + (INSTALL if wanted else "\n"))
    for name, text in OTHERS.items():
        if name in CASES[case]:
            (tmp_path / name).write_text(text)

    assert differences(quadlet, tmp_path, "a") == ({}, [])


OBJECTS = {
    "subnets": ("n.network", "Subnet=10.0.0.0/24\nGateway=10.0.0.1\nIPRange=10.0.0.128/25\nSubnet=10.1.0.0/24"),
    "network": (
        "n.network",
        "NetworkName=net\nDriver=bridge\nInternal=yes\nIPv6=no\nDisableDNS=true\nIPAMDriver=dhcp\nDNS=1.1.1.1\nDNS=9.9.9.9\n"
        'Label=a=b "c=d e"\nOptions=mtu=9000 isolate=true\nPodmanArgs=--dns=8.8.8.8\nContainersConfModule=/etc/a.conf',
    ),
    "device": ("n.volume", "Device=/srv/x\nType=bind\nOptions=rw,noatime\nUser=1\nGroup=2\nCopy=no\nLabel=a=b"),
    "driver": ("n.volume", "VolumeName=vol\nDriver=local\nGlobalArgs=--log-level=debug"),
    "image": ("n.volume", "Driver=image\nImage=docker.io/library/alpine"),
}  # fmt: skip


@pytest.mark.parametrize("case", OBJECTS)
def test_an_object_is_made_as_by_its_service(case: str, quadlet: tuple[str, ...], tmp_path: Path) -> None:
    name, text = OBJECTS[case]
    (tmp_path / name).write_text(f"[{name.partition('.')[2].capitalize()}]\n{text}\n")
    use = "Network=n.network" if name.endswith(".network") else "Volume=n.volume:/x"
    (tmp_path / "a.container").write_text(f"[Container]\n{IMAGE}\n{use}\n{INSTALL}")

    theirs, ours, problems = commands_of_objects(quadlet, tmp_path, "a")

    assert ours == theirs
    assert not problems


SERVICES = {
    "i-image": (
        "i.image",
        "[Image]\nImage=quay.io/x/y:1\nImageTag=local/y\nAllTags=true\nArch=arm64\nAuthFile=/a.json\nCertDir=/c\n"
        "ContainersConfModule=/m.conf\nCreds=a:b\nDecryptionKey=/k\nGlobalArgs=--log-level=debug\nOS=linux\n"
        'PodmanArgs=--foo "a b"\nTLSVerify=false\nVariant=v7\n[Service]\nTimeoutStartSec=900\n',
    ),
    "k": (
        "k.kube",
        "[Kube]\nYaml=k.yaml\nConfigMap=c.yaml\nConfigMap=/d.yaml\nAutoUpdate=registry\nAutoUpdate=web/local\n"
        "ExitCodePropagation=any\nKubeDownForce=true\nLogDriver=journald\nLogOpt=tag=x size=10mb\nNetwork=host\n"
        "PublishPort=80:80\n"
        "UserNS=auto\n",
    ),
    "shopsvc": (
        "app.pod",
        "[Unit]\nDescription=The pod\n[Pod]\nPodName=shop\nServiceName=shopsvc\nNetwork=n.network\nNetwork=host\n"
        "PublishPort=8080:80\nVolume=data.volume:/d\nVolume=/etc/x:/x\nUserNS=keep-id\nAddHost=a:1.1.1.1\nDNS=1.1.1.1\n"
        "DNSOption=x\nDNSSearch=y\nIP=1.2.3.4\nIP6=fd00::1\nNetworkAlias=z\nShmSize=1m\nPodmanArgs=--cpus=2\n"
        "GlobalArgs=--log-level=debug\nContainersConfModule=/m\n[Service]\nTimeoutStopSec=7\n",
    ),
    "maps-pod": ("maps.pod", "[Pod]\nGIDMap=0:1:2\nUIDMap=0:1:2\nSubGIDMap=a\nSubUIDMap=b\n"),
    "c-build": (
        "c.build",
        "[Build]\nImageTag=localhost/x:1\nImageTag=localhost/x:2\nFile=Containerfile\nSetWorkingDirectory=unit\n"
        "Annotation=a=b\nArch=arm64\nAuthFile=/a\nContainersConfModule=/m\nDNS=1.1.1.1\nDNSOption=o\nDNSSearch=s\n"
        "Environment=A=b\nForceRM=no\nGlobalArgs=--log-level=debug\nGroupAdd=g\nLabel=l=m\nNetwork=n.network\n"
        "PodmanArgs=--format docker\nPull=never\nSecret=s\nTarget=t\nTLSVerify=no\nVariant=v\n"
        "Volume=data.volume:/d\nVolume=/etc/x:/x\n",
    ),
    **{
        f"b{number}-build": (f"b{number}.build", f"[Build]\nImageTag=x\n{text}\n")
        for number, text in enumerate(
            (
                "SetWorkingDirectory=file\nFile=sub/Containerfile",
                "SetWorkingDirectory=/ctx\nFile=/q/Containerfile\n[Service]\nWorkingDirectory=/w",
                "SetWorkingDirectory=unit\n[Service]\nWorkingDirectory=/w",
                "SetWorkingDirectory=https://x/y.git",
                "SetWorkingDirectory=/ctx\nFile=rel",
                "File=/srv/a/Containerfile",
                "File=https://x/Containerfile",
                "SetWorkingDirectory=.\nFile=Containerfile",
                "SetWorkingDirectory=sub",
                "SetWorkingDirectory=file\nFile=/etc/a/Containerfile",
                "SetWorkingDirectory=unit\nFile=/etc/a/Containerfile",
                "SetWorkingDirectory=github.com/containers/x.git",
                "SetWorkingDirectory=unit\n[Service]\nEnvironment=A=b",
            )
        )
    },
    "w": ("w.kube", "[Kube]\nYaml=sub/k.yaml\nSetWorkingDirectory=yaml\nNetwork=n.network\n"),
    "small": ("small.kube", "[Kube]\nYaml=/k.yaml\n[Quadlet]\nDefaultDependencies=no\n"),
}


@pytest.mark.parametrize("stem", SERVICES)
@pytest.mark.parametrize("wanted", [True, False], ids=["service", "unit"])
def test_images_and_kube_files_have_the_services_of_the_generator(
    stem: str, wanted: bool, quadlet: tuple[str, ...], tmp_path: Path
) -> None:
    name, text = SERVICES[stem]
    (tmp_path / name).write_text(text + (INSTALL if wanted else "\n"))
    for other in ("data.volume", "n.network"):
        if other in text:
            (tmp_path / other).write_text(OTHERS[other])

    assert differences(quadlet, tmp_path, stem) == ({}, [])


@pytest.mark.parametrize("tag", ["", "ImageTag=local/y\n"])
def test_a_container_uses_the_image_that_a_quadlet_pulls(tag: str, quadlet: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "i.image").write_text(f"[Image]\nImage=quay.io/x/y:1\n{tag}")
    (tmp_path / "a.container").write_text(f"[Container]\nImage=i.image\n{INSTALL}")

    assert differences(quadlet, tmp_path, "a") == ({}, [])


@pytest.mark.parametrize("stem", ["web", "db", "job", "app-pod", "solo", "c-build"])
def test_a_pod_and_its_containers_have_the_services_of_the_generator(
    stem: str, quadlet: tuple[str, ...], tmp_path: Path
) -> None:
    build = "[Build]\nImageTag=localhost/x:1\nImageTag=localhost/x:2\nFile=/srv/a/Containerfile\n"
    for name, text in {
        "app.pod": f"[Pod]\nPublishPort=80:80\n{INSTALL}",
        "web.container": f"[Container]\n{IMAGE}\nPod=app.pod\n",
        "db.container": f"[Container]\nImage=c.build\nPod=app.pod\nStartWithPod=no\n{INSTALL}",
        "job.container": f"[Container]\n{IMAGE}\nPod=app.pod\nStartWithPod=yes\n[Service]\nType=oneshot\n",
        "solo.container": f"[Container]\nImage=c.build\n{INSTALL}",
        "c.build": build,
    }.items():
        (tmp_path / name).write_text(text)

    assert differences(quadlet, tmp_path, stem) == ({}, [])


CORPUS = Path(os.environ.get("ORDAIN_CORPORA", "/nonexistent"))
REFERENCE = re.compile(r"[\w.@-]+\.(?:volume|network|image|build|pod|container)\b")
KNOWN = {
    "dependent.error.container": "Debian 13's podman keeps names of quadlets as dependencies",
    "install.container": "`render` names the aliases",
    "env.container": "Debian 13's podman drops a variable without a value, which later ones pass on",
    "exec-unsupported-escape.container": "podman drops a line with an unknown escape",
    "label-unsupported-escape.container": "podman drops a line with an unknown escape",
    "health-cmd-shell-quotes.container": "Debian 13's podman drops the last quote of a shell command",
    "template-dependency@.container": "Debian 13's podman gives volumes of templates an invalid name",
    "mount.servicename.container": "a volume needs no unit",
    "volume.servicename.container": "a volume needs no unit",
    "network.quadlet.servicename.container": "a network needs no unit",
}  # fmt: skip


@pytest.mark.skipif(not CORPUS.is_dir(), reason="ORDAIN_CORPORA names no directory of quadlets")
@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*.container")) if CORPUS.is_dir() else (), ids=lambda p: p.name)
def test_a_quadlet_of_others_is_read_like_by_the_generator(
    path: Path, quadlet: tuple[str, ...], tmp_path: Path
) -> None:
    names = [path.name]
    for name in names:  # which grows by what each file refers to
        files = [path.parent / name, *sorted(path.parent.parent.rglob(name))]
        if file := next((file for file in files if file.is_file()), None):
            shutil.copy(file, tmp_path / name)
            names += [other for other in dict.fromkeys(REFERENCE.findall(file.read_text())) if other not in names]
        if (path.parent / f"{name}.d").is_dir():
            shutil.copytree(path.parent / f"{name}.d", tmp_path / f"{name}.d", dirs_exist_ok=True)

    different, problems = differences(quadlet, tmp_path, path.stem)

    if (refused := different.get(("", path.stem))) and isinstance(refused, tuple) and refused[0] is None:
        pytest.skip("this generator refuses the file")
    assert not different or problems or path.name in KNOWN

"""A machine boots from the network what its documents say, by a script that iPXE understands."""

from __future__ import annotations

import pytest

from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_image import BootImage, ImageFile, ImageReference, parse_reference
from ordain.transforms.netboot.boot_target import (
    KNOWN,
    UNKNOWN,
    netboot_documents,
    resolve_netboot,
    unknown_at_netboot,
)
from ordain.transforms.netboot.machine_query import facts_of_query

MAC = "52:54:00:12:34:56"
DOCUMENTS = """\
ordain: v1
kind: Layer
name: base
values: {server: http://192.0.2.1:8080}
netboot:
  kernel: debian-13/vmlinuz
  initrds: [debian-13/initrd.img, site.cpio]
  arguments:
    console: [tty0, ttyS0]
    quiet: true
    ordain.source: {template: "{{ values.server }}/{{ facts.mac[0] }}.yaml"}
---
ordain: v1
kind: Layer
name: gpu
tier: role
match: {role: gpu}
netboot: {arguments: {quiet: null, iommu: pt, root: LABEL=my disk}}
---
ordain: v1
kind: Layer
name: dell
tier: role
match: {system-manufacturer: Dell Inc., system-firmware: uefi}
netboot: {kernel: "https://mirror.example/vmlinuz", initrds: []}
---
ordain: v1
kind: Layer
name: named
tier: pool
match: {hostname: "old*"}
netboot: {root: next-device}
---
ordain: v1
kind: Layer
name: never
match: {os: debian}
netboot: {arguments: {never: true}}
---
ordain: v1
kind: Node
name: gpu1
match: {mac: "52:54:00:12:34:56"}
labels: {role: gpu}
---
ordain: v1
kind: Node
name: old1
match: {system-uuid: 4C4C4544-0042-3510-8052-B4C04F4D3332}
"""


def documents(text: str) -> tuple[Document, ...]:
    found, problems = read("boot.yaml", text.encode())
    assert problems == ()
    return found


def facts(**query: str) -> Facts:
    known = facts_of_query(query)
    assert known is not None
    return known


def script(text: str, **query: str) -> str:
    target, problems = resolve_netboot(netboot_documents(documents(text)), facts(**query))
    assert problems == ()
    assert target is not None
    return ipxe_script.answer(target)


def problems_of(netboot: str) -> tuple[Problem, ...]:
    text = f"ordain: v1\nkind: Layer\nname: base\nnetboot: {netboot}\n"
    target, problems = resolve_netboot(netboot_documents(documents(text)), facts(mac=MAC))
    assert target is None
    return problems


def test_the_script_has_each_part_with_its_place_in_the_documents() -> None:
    assert (
        script(DOCUMENTS, mac="52-54-00-12-34-56")
        == """\
#!ipxe
# Ordain: gpu1, layers base, gpu, gpu1
imgfree
#   kernel  from boot.yaml:6:11 (base)
#   initrd debian-13/initrd.img  from boot.yaml:7:12 (base)
#   initrd site.cpio  from boot.yaml:7:12 (base)
#   console=tty0  from boot.yaml:9:14 (base)
#   console=ttyS0  from boot.yaml:9:14 (base)
#   iommu=pt  from boot.yaml:18:43 (gpu)
#   ordain.source=http://192.0.2.1:8080/52:54:00:12:34:56.yaml  from boot.yaml:11:20 (base)
#   root="LABEL=my disk"  from boot.yaml:18:53 (gpu)
kernel files/debian-13/vmlinuz initrd=initrd0 initrd=initrd1 console=tty0 console=ttyS0 iommu=pt \
ordain.source=http://192.0.2.1:8080/52:54:00:12:34:56.yaml root="LABEL=my disk" || goto failed
initrd --name initrd0 files/debian-13/initrd.img || goto failed
initrd --name initrd1 files/site.cpio || goto failed
boot
:failed
echo Ordain: gpu1 cannot start its system; the next try is in 10 seconds
sleep 10
chain --replace boot.ipxe?again=1
"""
    )


def test_an_image_gives_the_kernel_the_first_initrd_and_the_root() -> None:
    netboot = "{image: debian-13:4, initrds: [site.cpio], arguments: {quiet: true}}"
    text = f"ordain: v1\nkind: Layer\nname: base\nnetboot: {netboot}\n"
    target, _ = resolve_netboot(netboot_documents(documents(text)), facts(mac=MAC))
    assert target is not None
    file = ImageFile(sha256="ab" * 32, size=7)
    image = BootImage(os="debian-13", release="6.12", generation="", memory=9, kernel=file, initrd=file, root=file)

    lines = ipxe_script.answer(target, image, "images/debian-13/4").splitlines()

    assert lines[3] == "#   image debian-13:4  from boot.yaml:4:18 (base)"
    assert lines[-8:-6] == [
        "kernel files/images/debian-13/4/kernel initrd=initrd0 initrd=initrd1 quiet boot=ordain "
        f"ordain.root=${{cwduri}}files/images/debian-13/4/root ordain.root.sha256={'ab' * 32} ordain.root.size=7 "
        "ordain.root.memory=9 || goto failed",
        "initrd --name initrd0 files/images/debian-13/4/initrd || goto failed",
    ]
    assert lines[-6] == "initrd --name initrd1 files/site.cpio || goto failed"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("debian-13", ImageReference(name="debian-13")),
        ("debian-13:42", ImageReference(name="debian-13", version=42)),
        (f"a.b_c:1@sha256:{'0f' * 32}", ImageReference(name="a.b_c", version=1, digest="0f" * 32)),
    ],
)
def test_a_reference_to_an_image_is_read_and_written(text: str, wanted: ImageReference) -> None:
    assert parse_reference(text) == wanted
    assert str(wanted) == text


@pytest.mark.parametrize(
    ("query", "kernel"),
    [
        ({"manufacturer": "Dell Inc.", "firmware": "efi"}, "kernel https://mirror.example/vmlinuz console=tty0"),
        ({"manufacturer": "Dell Inc.", "firmware": "pcbios"}, "kernel files/debian-13/vmlinuz initrd=initrd0"),
        ({"manufacturer": "Dell\nInc.", "firmware": "efi"}, "kernel files/debian-13/vmlinuz initrd=initrd0"),
    ],
    ids=["both facts match", "another firmware", "a value with a line feed is unknown"],
)
def test_layers_match_on_the_facts_that_ipxe_sends(query: dict[str, str], kernel: str) -> None:
    assert kernel in script(DOCUMENTS, mac="52:54:00:00:00:01", **query)


def test_a_machine_has_the_host_name_of_the_node_that_matches_it() -> None:
    text = script(DOCUMENTS, mac="52:54:00:00:00:09", uuid="4c4c4544-0042-3510-8052-b4c04f4d3332")

    assert text.startswith("#!ipxe\n# Ordain: old1, layers base, named, old1\n# next device of the boot order")
    assert text.endswith("\nexit 1\n")


def test_a_layer_that_matches_on_a_fact_of_a_running_system_never_counts_and_is_named() -> None:
    (problem,) = unknown_at_netboot(documents(DOCUMENTS))

    assert (problem.code, problem.where.line) == ("UnknownAtNetboot", 37)
    assert "os is not known before a system runs" in problem.what
    assert "never" not in script(DOCUMENTS, mac=MAC)
    negated = DOCUMENTS.replace("{os: debian}", "{os: {not: rhel}}")
    assert "never" not in script(negated, mac=MAC), "nobody knows that it is not rhel"


def test_each_fact_is_either_known_or_not() -> None:
    assert {"os", "version", "machine-id", "root", "virtualization", "systemd", "id"} == UNKNOWN
    assert not KNOWN & UNKNOWN


def test_other_sections_cannot_be_in_conflict() -> None:
    text = DOCUMENTS + "".join(
        f"---\nordain: v1\nkind: Layer\nname: host{n}\nhost: {{hostname: web{n}}}\n" for n in (1, 2)
    )

    assert "kernel files/debian-13/vmlinuz" in script(text, mac=MAC)


def test_layers_that_contradict_each_other_are_refused() -> None:
    text = DOCUMENTS + "---\nordain: v1\nkind: Layer\nname: other\nnetboot: {kernel: other}\n"

    with pytest.raises(Refused, match="LayerConflict"):
        script(text, mac=MAC)


def test_no_document_about_the_boot_means_no_target() -> None:
    text = "ordain: v1\nkind: Layer\nname: base\nvalues: {a: 1}\n"

    assert resolve_netboot(netboot_documents(documents(text)), facts(mac=MAC)) == (None, ())


@pytest.mark.parametrize(
    ("netboot", "pointer", "what"),
    [
        ("{arguments: {quiet: true}}", "netboot", "names neither an image nor a kernel"),
        ("{kernel: k, image: debian-13}", "netboot/image", "names an image and a kernel"),
        (f"{{image: a, arguments: {{a: {'x' * 1600}}}}}", "netboot/arguments", "the kernel reads 2,047"),
        ("{kernel: k, arguments: {a: 'x\"y'}}", "netboot/arguments/a", "double quote"),
        ('{kernel: k, arguments: {a: "x\\ny"}}', "netboot/arguments/a", "control character"),
        ("{kernel: k, arguments: {a: '${uuid}'}}", "netboot/arguments/a", "which iPXE replaces"),
        ("{kernel: k, arguments: {a: 'x  y'}}", "netboot/arguments/a", "two spaces in a row"),
        ("{kernel: k, arguments: {a: 'x || y'}}", "netboot/arguments/a", "an operator"),
        ("{kernel: k, arguments: {a: 'x #y'}}", "netboot/arguments/a", "a comment"),
        (f"{{kernel: k, arguments: {{a: {'x' * 2046}}}}}", "netboot/arguments", "the arguments have 2,048 bytes"),
        ("{kernel: k, arguments: {a: {template: '{{ nothing }}'}}}", "netboot", "cannot be expanded"),
    ],
)
def test_a_value_that_ipxe_or_the_kernel_would_change_is_refused(netboot: str, pointer: str, what: str) -> None:
    (problem,) = problems_of(netboot)

    assert problem.where.path == "boot.yaml"
    assert problem.where.pointer.startswith(pointer)
    assert what in problem.what


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        *(("kernel", text) for text in ("x || chain http://192.0.2.66/", "x y", "${uuid}", "../../x")),
        *(("initrds", text) for text in ("x || shell", "../x")),
        *(("image", text) for text in ("debian:1 x", "../debian", "debian:0")),
        *(
            ("arguments", f"x {word}")
            for word in ("ordain.root=http://192.0.2.66/", "rd.break", "init=/bin/sh", "break")
        ),
        *(("arguments", text) for text in ("x || shell", "x ' root=/dev/sdb", "${uuid}")),
    ],
)
def test_a_fact_that_somebody_sends_does_not_command_ipxe_or_the_initrd(key: str, sent: str) -> None:
    template = "{template: '{{ facts.system_serial_number }}'}"
    netboot = {
        "kernel": f"{{kernel: {template}}}",
        "initrds": f"{{kernel: k, initrds: [{template}]}}",
        "image": f"{{image: {template}}}",
        "arguments": f"{{kernel: k, arguments: {{serial: {template}}}}}",
    }[key]
    text = f"ordain: v1\nkind: Layer\nname: base\nnetboot: {netboot}\n"
    machine = facts_of_query({"mac": MAC, "serial": sent})
    assert machine is not None

    target, problems = resolve_netboot(netboot_documents(documents(text)), machine)

    assert target is None
    (problem,) = problems
    assert problem.where.pointer.startswith(f"netboot/{key}")


@pytest.mark.parametrize(
    "netboot",
    [
        "{kernel: ../vmlinuz}",
        "{kernel: /boot/vmlinuz}",
        "{kernel: 'a b'}",
        "{kernel: '${net0/mac}'}",
        "{kernel: 'gopher://x/y'}",
        "{initrds: [a, 'b\\nc']}",
        "{arguments: {'a b': true}}",
        "{arguments: {'a=b': true}}",
        "{arguments: {a: false}}",
        "{root: cloud}",
        "{image: Debian}",
        "{image: 'debian:0'}",
        "{image: 'debian:latest'}",
        "{image: 'debian@sha256:12'}",
    ],
)
def test_a_document_that_no_script_can_hold_is_refused(netboot: str) -> None:
    text = f"ordain: v1\nkind: Layer\nname: base\nnetboot: {netboot}\n"

    assert [problem.code for problem in read("boot.yaml", text.encode())[1]] == ["Schema"]


@pytest.mark.parametrize("query", [{}, {"mac": "nonsense"}, {"mac": ""}, {"uuid": "1-2"}])
def test_a_query_without_a_machine_has_no_facts(query: dict[str, str]) -> None:
    assert facts_of_query(query) is None


def test_wrong_values_of_a_query_are_left_out() -> None:
    known = facts_of_query({"mac": MAC, "uuid": "x", "serial": "a" * 200, "arch": "vax", "firmware": "c64"})

    assert known is not None
    assert (known.mac, known.arch) == ((MAC,), "unknown")
    assert {known.system_uuid, known.system_serial_number, known.system_firmware} == {""}


def test_a_reason_cannot_add_a_command_to_the_script() -> None:
    assert ipxe_script.wait("a\nshell || b ${c} #").splitlines()[1] == "echo Ordain: a?shell ? b ?c? ?"

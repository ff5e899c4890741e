"""Scripts for iPXE: the question of a machine, and the answer to it (https://ipxe.org/scripting).

    ASK            a machine asks again, with the facts that iPXE knows
    answer(…)      a machine starts its `BootTarget`, with the image that it names
    wait(…)        a machine for which there is no target says why, and asks again a while later

Paths in a script are relative to its own URL, so that the server need not know its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ordain.transforms.errors import Where
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.netboot.boot_image import RELEASE, BootImage
from ordain.transforms.netboot.boot_target import MAX_ARGUMENTS, BootPart, BootTarget
from ordain.transforms.netboot.disk_plan import INSTALL, install_of, install_words

SCRIPT = "boot.ipxe"
"""The last part of the URL of the scripts."""
AGAIN = "again"
"""The word of the query of a machine that could not fetch a file, and asks in the same boot once more."""
FILES = "files"
"""The path, beside that of the scripts, of the files of the server."""
BASE = "${cwduri}"
"""The absolute URL of the directory of the script, which an initrd needs. iPXE since 2020 knows it (`with_base`)."""
RETRY_SEC = 10
ABSENT_SEC = 30
"""A machine without a target asks again after this time: documents for it may come at any moment."""
_QUERY = (
    "mac=${netX/mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring}&manufacturer=${manufacturer:uristring}"
    "&product=${product:uristring}&arch=${arch}&firmware=${platform}"
)
"""Settings of https://ipxe.org/cfg. ``netX`` is the interface that was used last."""
ASK = f"""\
#!ipxe
cpuid --ext 29 && set arch x86_64 || set arch ${{buildarch}}
:ask
chain --replace {SCRIPT}?{_QUERY} ||
echo Ordain: the server does not answer; the next try is in {RETRY_SEC} seconds
sleep {RETRY_SEC}
goto ask
"""
"""``cpuid --ext 29`` succeeds on a 64-bit PC, also where iPXE is a 32-bit program (https://ipxe.org/cmd/cpuid)."""
_UNPRINTABLE = lazy_pattern(r"[^ -~]+")


def ask(query: Mapping[str, str]) -> str:
    """Return `ASK` for a machine that came with ``query``."""
    return ASK.replace(f"{SCRIPT}?", f"{SCRIPT}?{AGAIN}=1&") if AGAIN in query else ASK


def answer(target: BootTarget, image: BootImage | None = None, location: str = "") -> str:
    """Return the script that starts ``target``, each part below a comment with its place in the documents.

    ``image`` is the image that it names, and ``location`` the path of its files below those of the server.
    """
    title = f"# Ordain: {_comment(target.name)}, layers {_comment(', '.join(target.layers))}"
    if target.kernel is None and target.image is None:
        where = _origin(target.root.where) if target.root else ""
        return f"#!ipxe\n{title}\n# next device of the boot order{where}\nexit 1\n"
    kernel, initrds = target.kernel.text if target.kernel else "", [initrd.text for initrd in target.initrds]
    arguments = [argument.text for argument in target.arguments]
    if target.image is not None:
        assert image is not None
        kernel, initrds = f"{location}/kernel", [f"{location}/initrd", *initrds]
        # An initrd takes the last value of an argument: no other one may replace the digest of the root.
        arguments = [*arguments, *_image_arguments(image, location, target)]
    told = f"{RELEASE}={target.release}"
    if target.release and len(" ".join((told, *arguments)).encode()) <= MAX_ARGUMENTS:
        arguments = [told, *arguments]
    lines = ["#!ipxe", title, "imgfree", *_cause_comments(target)]
    names = [f"initrd{number}" for number in range(len(initrds))]
    # A kernel with an EFI stub finds only the initrds that its arguments name; a PC with BIOS ignores them.
    words = [_url(kernel), *(f"initrd={name}" for name in names), *arguments]
    lines.append(f"kernel {' '.join(words)} || goto failed")
    lines += [
        f"initrd --name {name} {_url(initrd)} || goto failed" for name, initrd in zip(names, initrds, strict=True)
    ]
    failed = f"echo Ordain: {_comment(target.name)} cannot start its system; the next try is in {RETRY_SEC} seconds"
    lines += ["boot", ":failed", failed, f"sleep {RETRY_SEC}", f"chain --replace {SCRIPT}?{AGAIN}=1"]
    return "\n".join(lines) + "\n"


def _image_arguments(image: BootImage, location: str, target: BootTarget) -> Iterable[str]:
    """Yield the arguments that packaging/initrd/netboot reads. ``boot`` is for initrds of initramfs-tools."""
    memory = image.memory
    if target.disk is not None:
        memory += image.kernel.size + image.initrd.size  # they are fetched into the root that is copied to the disk
    yield "boot=ordain"
    yield f"ordain.root={BASE}{_url(f'{location}/root')}"
    yield f"ordain.root.sha256={image.root.sha256}"
    yield f"ordain.root.size={image.root.size}"
    yield f"ordain.root.memory={memory}"
    if target.disk is not None:
        lasting = [image.root.sha256, image.kernel.sha256, image.initrd.sha256]
        yield from install_words(target.disk, [*lasting, *(argument.text for argument in target.arguments)])
        yield f"{INSTALL}.kernel={image.kernel.sha256}"
        yield f"{INSTALL}.initrd={image.initrd.sha256}"


def local_disk(name: str) -> str:
    """Return the script of a machine whose installation is complete: the next device of its boot order."""
    return f"#!ipxe\n# Ordain: {_comment(name)} starts from its disk\nexit 1\n"


def installation_of(script: str) -> tuple[str, str] | None:
    """Return the policy and the identity of the installation that a script makes, None if it makes none."""
    return install_of(script.split())


def with_base(script: str, url: str) -> str:
    """Return ``script`` for a machine that knows its server as ``url``, also if its iPXE is older than `BASE`."""
    return script.replace(BASE, url)


def with_channel(script: str, channel: str) -> str:
    """Return ``script`` for a machine that asked for ``channel``, which it asks for again the next time."""
    asked = f"{SCRIPT}?channel={channel}"
    return script.replace(f"{SCRIPT}?", f"{asked}&").replace(f"{SCRIPT}\n", f"{asked}\n") if channel else script


def wait(reason: str) -> str:
    """Return the script of a machine without a target: it prints ``reason``, waits and asks again."""
    return f"#!ipxe\necho Ordain: {_words(reason)}\nsleep {ABSENT_SEC}\nchain --replace {SCRIPT}\n"


def _cause_comments(target: BootTarget) -> Iterable[str]:
    for key, part in (("kernel", target.kernel), ("image", target.image)):
        if part is not None:
            yield _cause(f"{key} {part.text}" if key == "image" else key, part)
    for initrd in target.initrds:
        yield _cause(f"initrd {initrd.text}", initrd)
    for argument in target.arguments:
        yield _cause(argument.text, argument)


def _cause(text: str, part: BootPart) -> str:
    return f"#   {_comment(text)}{_origin(part.leaf.where)} ({_comment(part.leaf.layer)})"


def _origin(where: Where) -> str:
    return f"  from {_comment(str(where))}"


def _url(text: str) -> str:
    return text if "://" in text else f"{FILES}/{text}"


def _comment(text: str) -> str:
    """Return ``text`` for a comment: iPXE ends a line at a line feed only, and replaces nothing in comments."""
    return _UNPRINTABLE.sub("?", text)


def _words(text: str) -> str:
    """Return ``text`` for ``echo``: without the characters that iPXE gives a meaning to."""
    return re.sub(r"[^A-Za-z0-9 .,:/@=_()-]+", "?", text)

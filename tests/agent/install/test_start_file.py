"""The configuration of the boot loader, which also says what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.install.start_file import (
    Installation,
    Start,
    kernel_words,
    lasting_words,
    read_start,
    start_text,
    write_start,
)

DONE = Installation(id="0123456789abcdef", root_sha256="3" * 64, partition="9c", machine_id="4d", loader="5e")
START = Start(fs_uuid="71ba", kernel="/vmlinuz", initrds=("/initrd.img", "/handed"), words=("a=b c",))


def test_arguments_are_read_as_the_kernel_reads_them() -> None:
    assert kernel_words('quiet  a="b c" "d=e f"\n') == ("quiet", "a=b c", "d=e f")


def test_arguments_of_the_network_boot_do_not_last() -> None:
    words = "initrd=initrd0 boot=ordain ordain.root=http://x ordain.root.size=1 ordain.install=once rw console=ttyS0"

    assert lasting_words([*words.split(), "ordain.source=http://y", "rootdelay=3"]) == (
        "console=ttyS0",
        "ordain.source=http://y",
        "rootdelay=3",
    )


def test_an_argument_that_the_boot_loader_would_change_is_refused() -> None:
    with pytest.raises(Failure, match="cannot pass on the argument a='b'"):
        lasting_words(["quiet", "a='b'"])


def test_the_file_starts_the_root_and_ends_the_boot_loader_if_it_cannot() -> None:
    assert start_text(DONE, START).splitlines()[1:] == [
        "search --no-floppy --fs-uuid --set=root 71ba",
        "if linux /vmlinuz 'root=UUID=71ba' 'rw' 'a=b c'; then if initrd /initrd.img /handed; then boot; fi; fi",
        "echo 'Ordain: the system on this disk cannot start.'",
        "sleep 10",
        "exit",
    ]


@pytest.mark.parametrize("start", [START, None])
def test_the_state_of_a_disk_is_read_back(tmp_path: Path, start: Start | None) -> None:
    write_start(tmp_path, DONE, start)

    assert read_start(tmp_path) == DONE


@pytest.mark.parametrize("text", [None, "", "# ordain {", "menuentry 'Debian'", '# ordain {"id": 3}'])
def test_another_file_says_that_nothing_is_installed(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "grub").mkdir()
        (tmp_path / "grub/grub.cfg").write_text(text)

    assert read_start(tmp_path) == Installation()

"""The printed configuration of dnsmasq is for an address that machines can reach, and for a range of addresses."""

from __future__ import annotations

import pytest

from ordain.agent.cli.main import main


def test_the_configuration_names_the_url_of_the_server(tmp_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["serve", str(tmp_path), "--listen", "192.0.2.1:8081", "--print-dnsmasq", "192.0.2.100,192.0.2.200"]

    assert main(words) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "dhcp-range=192.0.2.100,192.0.2.200" in lines
    assert lines[-1] == "dhcp-boot=tag:ipxe,http://192.0.2.1:8081/boot.ipxe"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--print-dnsmasq", "192.0.2.100,192.0.2.200"], "add --listen ADDRESS:PORT"),
        (["--listen", ":80", "--print-dnsmasq", "192.0.2.100,192.0.2.200"], "add --listen ADDRESS:PORT"),
        (["--listen", "192.0.2.1", "--print-dnsmasq", "192.0.2.200,192.0.2.100"], "not a range of IPv4 addresses"),
        (["--listen", "192.0.2.1", "--print-dnsmasq", "192.0.2.9\nuser=root,192.0.2.10"], "not a range"),
        (["--listen", "192.0.2.1", "--print-dnsmasq", "192.0.2.9"], "not a range"),
        (["--files", "/nonexistent"], "--files /nonexistent: directory not found"),
    ],
)
def test_a_wrong_option_is_named(
    words: list[str], message: str, tmp_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path), *words]) == 1
    assert message in capsys.readouterr().err

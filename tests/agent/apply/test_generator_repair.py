"""Files that the generator left out, and files of others that PID 1 reads in place of ours."""

from __future__ import annotations

from pathlib import Path

from ordain.agent.apply.generator_repair import missing, overridden
from ordain.agent.model import Generation, UnitState
from ordain.transforms.artifacts import RegularFile, UnitFile, UnitLink


def test_files_that_the_generator_left_out_or_changed_are_missing(tmp_path: Path) -> None:
    normal = tmp_path / "run/systemd/generator"
    (normal / "ordain-services.target.wants").mkdir(parents=True)
    (tmp_path / "run/systemd/generator.early").mkdir()
    artifacts = (
        UnitFile(path="early/srv.mount", content="[Mount]\n"),
        UnitLink(path="normal/ordain-services.target.wants/web.service", target="../web.service"),
        UnitFile(path="normal/web.service", content="[Service]\n"),
        RegularFile(path="/etc/motd", content="no unit"),
    )
    (tmp_path / "run/systemd/generator.early/srv.mount").write_text("[Mount]\n")
    (normal / "web.service").write_text("[Service]\n")
    wanted = Generation(number=1, hash="1", artifacts=artifacts)

    assert missing(wanted, tmp_path) == ("normal/ordain-services.target.wants/web.service",)
    (normal / "ordain-services.target.wants/web.service").symlink_to("../web.service")
    assert missing(wanted, tmp_path) == ()
    (normal / "web.service").write_text("[Service]\nType=exec\n")
    assert missing(wanted, tmp_path) == ("normal/web.service",)


def test_a_file_that_replaces_ours_is_reported() -> None:
    ours = UnitFile(path="normal/web.service", content="")
    drop_in = UnitFile(path="normal/ssh.service.d/00-ordain.conf", content="")
    template = UnitFile(path="normal/job@.service", content="")
    generation = Generation(number=1, hash="1", artifacts=(ours, drop_in, template))
    directory = "/run/systemd/generator"

    def found(fragment: str, drop_in: str, load_state: str = "loaded") -> list[str]:
        web = UnitState(name="web.service", load_state=load_state, fragment_path=fragment)
        ssh = UnitState(name="ssh.service", load_state="loaded", drop_in_paths=(drop_in,))
        return [unit for unit, _ in overridden(generation, {"web.service": web, "ssh.service": ssh})]

    placed = f"{directory}/ssh.service.d/00-ordain.conf"
    assert found(f"{directory}/web.service", placed) == []
    assert found("/etc/systemd/system/web.service", placed) == ["web.service"]
    assert found("/dev/null", placed, "masked") == []
    assert found(f"{directory}/web.service", "/etc/systemd/system/ssh.service.d/00-ordain.conf") == ["ssh.service"]

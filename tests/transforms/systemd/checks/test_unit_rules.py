"""Each rule by which PID 1 refuses a unit names such a unit, and systemd-analyze refuses the same one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from ordain.transforms.systemd import unit_file
from ordain.transforms.systemd.checks.unit_rules import RULES, UnitSettings, broken_rules

ANALYZE = shutil.which("systemd-analyze")
REFUSED = [
    ("a.service", "[Service]\nNice=3", "Service has no ExecStart=, ExecStop=, or SuccessAction="),
    ("a.service", "[Service]\nType=exec\nExecStop=/bin/true", "Service has no ExecStart= setting"),
    ("a.service", "[Service]\nExecStop=/bin/true", "does not have RemainAfterExit=yes set"),
    ("a.service", "[Service]\nExecStart=/bin/true\nExecStart=/bin/false", "more than one ExecStart="),
    ("a.service", "[Service]\nExecStart=/bin/true a ; /bin/false", "more than one ExecStart="),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRestart=always", "Service has Restart= set to"),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRestart=on-success", "Service has Restart= set to"),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRestartForceExitStatus=5", "RestartForceExitStatus="),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nExitType=cgroup", "ExitType=cgroup"),
    ("a.service", "[Service]\nType=dbus\nExecStart=/bin/true", "no D-Bus service name"),
    ("a.service", "[Service]\nExecStart=/bin/true\nPAMName=x\nKillMode=process", "has PAM enabled"),
    ("a.socket", "[Socket]\nBacklog=5", "has no Listen setting"),
    ("a.socket", "[Socket]\nListenDatagram=99\nAccept=yes", "sockets are non-accepting"),
    ("a.socket", "[Socket]\nListenStream=99\nListenFIFO=/run/a\nAccept=yes", "sockets are non-accepting"),
    ("a.socket", "[Socket]\nListenStream=99\nAccept=yes\nMaxConnections=0", "MaxConnection= setting too small"),
    ("a.socket", "[Socket]\nListenStream=99\nAccept=yes\nService=b.service", "Explicit service configuration"),
    ("a.socket", "[Socket]\nListenStream=99\nSymlinks=/run/b", "none or more than one node"),
    ("a.socket", "[Socket]\nListenStream=/run/a\nListenFIFO=/run/c\nSymlinks=/run/b", "none or more than one node"),
    ("a.timer", "[Timer]\nPersistent=yes", "Timer unit lacks value setting"),
    ("a.path", "[Path]\nMakeDirectory=yes", "Path unit lacks path setting"),
    ("srv-a.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/b", "setting doesn't match unit name"),
    ("srv-a.mount", "[Mount]\nWhere=/srv/a", "setting is missing"),
    ("srv-a.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/a\nPAMName=x\nKillMode=process", "has PAM enabled"),
    ("srv-a.automount", "[Automount]\nWhere=/srv/b", "setting doesn't match unit name"),
    ("srv-a.swap", "[Swap]\nWhat=/srv/b", "Value of What= and unit name do not match"),
    ("a--b.slice", "[Slice]\nCPUWeight=5", "failed to load properly"),
]
IGNORED = [
    ("a.service", "[Service]\nExecStart=/bin/true\nUSBFunctionStrings=/a", "no USBFunctionDescriptors="),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRuntimeMaxSec=5", "RuntimeMaxSec= has no effect"),
    ("a.service", "[Service]\nExecStart=/bin/true\nRuntimeRandomizedExtraSec=5", "but no RuntimeMaxSec="),
]
TAKEN = [
    ("a.service", "[Service]\nExecStart=/bin/true"),
    ("a.service", "[Service]\nExecStart=/bin/true \";\" ';' a;b \\;"),
    ("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nExecStart=/bin/false\nRestart=on-failure"),
    ("a.service", "[Service]\nExecStop=/bin/true\nRemainAfterExit=yes"),
    ("a.service", "[Unit]\nSuccessAction=none\n[Service]\nBusName=org.example.A\nExecStart=/bin/true"),
    ("a.service", "[Service]\nExecStart=/bin/true\nPAMName=x\nKillMode=mixed"),
    ("a.socket", "[Socket]\nListenStream=/run/a\nSymlinks=/run/b /run/c"),
    ("a.timer", "[Timer]\nOnClockChange=yes"),
    ("a.path", "[Path]\nPathExistsGlob=/run/a*"),
    ("srv-a.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv//a/"),
    ("srv-a\\x2db.swap", "[Swap]\nWhat=/srv/a-b"),
    ("a-b.slice", "[Slice]\nCPUWeight=5"),
]
SAMPLES = [*((name, text) for name, text, _ in (*REFUSED, *IGNORED)), *TAKEN]
WORDS = {(name, text): words for name, text, words in (*REFUSED, *IGNORED)}
REFUSAL = re.compile("Refusing|do not match|Ignoring|failed to load")


def settings(name: str, text: str, *, systemd: int = 252, whole: bool = True) -> UnitSettings:
    return UnitSettings(name=name, systemd=systemd, whole=whole, assignments=unit_file.parse(text))


def numbered(number: int, name: str, text: str) -> tuple[str, str]:
    """Return the name and the text of a sample with a number, so that all samples can be in one directory."""
    if name.startswith("srv-"):
        return name.replace("srv", f"srv{number}", 1), text.replace("/srv", f"/srv{number}")
    return name.replace("a", f"a{number}", 1), text


@cache
def verdicts() -> tuple[int, list[str]]:
    """Return the version of systemd-analyze, and what it says about each sample."""
    samples = [numbered(at, name, text) for at, (name, text) in enumerate(SAMPLES)]
    with tempfile.TemporaryDirectory() as made:
        for name, text in samples:
            Path(made, name).write_text(text)
        for name, _ in samples:
            stem, _, kind = name.rpartition(".")
            related = {"automount": f"{stem}.mount"}.get(kind, f"{stem}.service")
            if not Path(made, related).exists():
                mount = f"[Mount]\nWhat=tmpfs\nWhere=/{stem.replace('-', '/')}\n"
                Path(made, related).write_text(mount if kind == "automount" else "[Service]\nExecStart=/bin/true\n")
            Path(made, f"{stem}@.service").write_text("[Service]\nExecStart=/bin/true\n")
        done = subprocess.run(
            [str(ANALYZE), "verify", "--man=no", *(str(Path(made, name)) for name, _ in samples)],
            env={"SYSTEMD_UNIT_PATH": f"{made}:", "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    lines = done.stderr.splitlines()
    said = ["\n".join(line for line in lines if f"{name}: " in line or f"{name} " in line) for name, _ in samples]
    return int(subprocess.check_output([str(ANALYZE), "--version"], text=True).split()[1]), said


@pytest.mark.parametrize(("name", "text", "words"), REFUSED)
def test_a_unit_that_systemd_refuses_breaks_a_rule(name: str, text: str, words: str) -> None:
    (rule,) = broken_rules(settings(name, text))

    assert rule.refused


@pytest.mark.parametrize(("name", "text", "words"), IGNORED)
def test_a_setting_that_systemd_ignores_for_another_one_breaks_a_rule(name: str, text: str, words: str) -> None:
    (rule,) = broken_rules(settings(name, text))

    assert not rule.refused


@pytest.mark.parametrize(("name", "text"), TAKEN)
def test_a_unit_that_systemd_loads_breaks_no_rule(name: str, text: str) -> None:
    assert broken_rules(settings(name, text)) == ()


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here to ask")
@pytest.mark.parametrize("number", range(len(SAMPLES)), ids=[text for _, text in SAMPLES])
def test_systemd_says_the_same(number: int) -> None:
    version, said = verdicts()
    name, text = SAMPLES[number]
    words = WORDS.get((name, text), "")
    if words and not broken_rules(settings(name, text, systemd=version)):
        pytest.skip(f"systemd {version} takes this")

    if words:
        assert words in said[number]
    else:
        assert not REFUSAL.search(said[number])


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[Service]\nRestart=always", ()),
        ("[Service]\nType=oneshot", ()),
        ("[Service]\nType=oneshot\nRestart=always", ("Restart",)),
        ("[Service]\nType=dbus", ()),
        ("[Service]\nExecStart=/bin/a\nExecStart=/bin/b", ()),
        ("[Service]\nType=exec\nExecStart=/bin/a\nExecStart=/bin/b", ("ExecStart",)),
    ],
)
def test_a_drop_in_for_an_unknown_unit_breaks_a_rule_only_if_every_unit_would(
    text: str, broken: tuple[str, ...]
) -> None:
    assert tuple(rule.keys[0] for rule in broken_rules(settings("a.service", text, whole=False))) == broken


@pytest.mark.parametrize(
    ("systemd", "text", "taken"),
    [
        (239, "Restart=on-failure", False),
        (244, "Restart=on-failure", True),
        (255, "RestartForceExitStatus=5", False),
        (256, "RestartForceExitStatus=5", True),
    ],
)
def test_a_later_systemd_accepts_more_settings_of_a_oneshot(systemd: int, text: str, taken: bool) -> None:
    unit = settings("a.service", f"[Service]\nType=oneshot\nExecStart=/bin/true\n{text}", systemd=systemd)

    assert (broken_rules(unit) == ()) is taken


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("RestartSteps=5", "RestartSteps"),
        ("RestartMaxDelaySec=5", "RestartSteps"),
        ("RestartSteps=5\nRestartMaxDelaySec=1\nRestartSec=2", "RestartMaxDelaySec"),
        ("Type=simple\nExecStartPost=/bin/b\nLoadCredential=a:/b", "ExecStartPost"),
        ("Type=forking\nPrivatePIDs=yes", "PrivatePIDs"),
        ("DynamicUser=yes\nWorkingDirectory=~", "WorkingDirectory"),
    ],
)
def test_rules_of_later_systemds_are_known(text: str, key: str) -> None:
    (rule,) = broken_rules(settings("a.service", f"[Service]\nExecStart=/bin/true\n{text}", systemd=257))

    assert rule.keys[0] == key


def test_every_rule_has_a_sample() -> None:
    samples = [settings(name, text) for name, text, _ in (*REFUSED, *IGNORED)]
    without = {rule.keys[0] for rule in RULES if not any(map(rule.broken_by, samples))}
    assert without == {"PrivatePIDs", "WorkingDirectory", "ExecStartPost", "RestartSteps", "RestartMaxDelaySec"}

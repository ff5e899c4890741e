"""Documents from a boot server, on booted machines: its changes are applied, and its faults change nothing."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ordain.generator.choose import trust_record
from rig.machine import Machine, Machines
from rig.machine_agent import (
    active_state,
    agent_status,
    environment,
    invocations,
    layer,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

SERVED = "/srv/documents"
SERVER = "server.service"
AGENT = "ordain-agent.service"
SOURCE = "ordain-source.service"
URL = "http://127.0.0.1:8080"
AGENT_YAML = "/etc/ordain/agent.yaml"


def write_served(machine: Machine, **services: str) -> None:
    machine.write(f"{SERVED}/base.yaml", layer(**services))


def serve(machine: Machine) -> None:
    """Run the reference server in the machine, which has no other network."""
    command = ("ordainctl", "serve", SERVED)
    machine.run("systemd-run", f"--unit={SERVER}", "--service-type=exec", "--collect", "--quiet", *command)


def follow(machine: Machine, more: str = "") -> None:
    """Let the machine follow the server from its next boot on."""
    machine.write(
        AGENT_YAML, f'source: {{type: http, url: "{URL}/{{machine-id}}.yaml", interval: 1s{more}}}\ntrust: open\n'
    )


def source(machine: Machine) -> dict[str, Any]:
    state: dict[str, Any] = agent_status(machine)["source"]
    return state


def wait_code(machine: Machine, code: str) -> None:
    """Wait until the agent reports the source as ``code`` ("" for connected)."""
    wanted = (code, code == "")
    machine.until(
        f"the source is {code or 'connected'}",
        lambda: (source(machine)["code"], source(machine)["connected"]) == wanted,
        timeout=30,
    )
    assert [c["code"] for c in agent_status(machine)["conditions"] if c["code"] == code] == ([code] if code else [])


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """Return a booted machine that runs the documents of the server."""
    follow(machine)
    write_served(machine, web=sleep_service(), other=sleep_service())
    machine.boot()
    serve(machine)
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    return machine


def test_an_edit_at_the_server_reconfigures_the_service(followed: Machine) -> None:
    before = invocations(followed, "web.service", "other.service")

    write_served(followed, web=sleep_service("2"), other=sleep_service())
    followed.until("web has the new word", lambda: "WORD=2" in environment(followed))
    wait_active(followed, "web.service")

    assert invocations(followed, "other.service")["other.service"] == before["other.service"]
    assert active_state(followed, SOURCE) == "active"

    # From now on, only signed releases are accepted.
    followed.run("ordainctl", "release", "keygen", "/srv/ops")
    followed.run("install", "-D", "-m", "644", "/srv/ops.pub", "/etc/ordain/trust/ops.pub")
    followed.write(AGENT_YAML, followed.read(AGENT_YAML).replace("trust: open", "trust: required"))
    followed.run("systemctl", "restart", "ordain-agent.service")
    followed.until("unsigned documents are refused", lambda: "Unsigned" in codes(followed))
    release(followed, "--number", "1")
    wait_release(followed, "stable 1")
    write_served(followed, web=sleep_service("3"), other=sleep_service())
    release(followed)
    wait_release(followed, "stable 2")
    followed.until("web has the newest word", lambda: "WORD=3" in environment(followed))
    write_served(followed, web=sleep_service("4"), other=sleep_service())
    release(followed, "--stages", "1%,100%")
    followed.until("the release is not offered", lambda: "has a rollout" in followed.journal(f"-u{SERVER}"))
    assert "WORD=3" in environment(followed)
    assert invocations(followed, "other.service")["other.service"] == before["other.service"]


def release(machine: Machine, *more: str) -> None:
    """Make a signed release of the served documents, and put it beside them."""
    words = ("ordainctl", "release", "create", SERVED, "--output", f"{SERVED}/stable.json", "--key", "/srv/ops.key")
    machine.run(*words, *more)


def wait_release(machine: Machine, wanted: str) -> None:
    machine.until(f"release {wanted} is accepted", lambda: source(machine)["release"] == wanted, timeout=30)


SCRIPTED_SERVER = """
import http.server, pathlib

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        head, _, body = pathlib.Path("/srv/answer").read_bytes().partition(b"\\n\\n")
        wanted = pathlib.Path("/srv/secret")
        if wanted.exists() and self.headers["Authorization"] != "Bearer " + wanted.read_text():
            head, body = b"HTTP/1.0 401 No", b""
        self.wfile.write(head.replace(b"\\n", b"\\r\\n") + b"\\r\\n\\r\\n" + body)

http.server.HTTPServer(("127.0.0.1", 8080), Answer).serve_forever()
"""
"""A server that answers every request with the content of /srv/answer."""


def answer(machine: Machine, head: str, body: str = "") -> None:
    """Let the scripted server, in place of the reference server, give this answer from now on."""
    machine.write("/srv/answer", f"HTTP/1.0 {head}\n\n{body}")
    if active_state(machine, SERVER) != "active" or "python3" not in machine.show(SERVER, "ExecStart")["ExecStart"]:
        machine.run("systemctl", "stop", SERVER, check=False)
        machine.write("/srv/scripted.py", SCRIPTED_SERVER)
        command = ("python3", "/srv/scripted.py")
        machine.run("systemd-run", f"--unit={SERVER}", "--service-type=exec", "--collect", "--quiet", *command)


def retry_now(machine: Machine) -> None:
    """Make the fetcher end its wait between attempts."""
    machine.run("systemctl", "reload", SOURCE)


def test_faults_of_the_server_change_nothing_and_are_reported(followed: Machine) -> None:
    before = invocations(followed, "web.service", "other.service")

    followed.run("systemctl", "kill", "--signal=KILL", SERVER)
    wait_code(followed, "SourceUnreachable")
    for code, head, body in (
        ("Unauthorized", "401 No", ""),
        ("NotDocuments", "200 OK\nContent-Type: text/html", "<html>Sign in</html>"),
        ("Truncated", "200 OK\nContent-Length: 9999", layer(web=sleep_service("2"))),
        ("SourceEmpty", "200 OK", ""),
        ("WrongMachine", f"200 OK\nOrdain-Machine-Id: {'f' * 32}", layer(web=sleep_service("2"))),
        ("TooLarge", "200 OK", "#" * (5 << 20)),
    ):
        answer(followed, head, body)
        retry_now(followed)
        wait_code(followed, code)
    answer(followed, "200 OK", layer(third=sleep_service()))
    retry_now(followed)
    followed.until("the removal is withheld", lambda: "SourceShrunken" in codes(followed))
    followed.run("systemctl", "kill", "--signal=KILL", SOURCE)

    assert invocations(followed, "web.service", "other.service") == before
    followed.run("ordainctl", "apply")
    wait_active(followed, "third.service")
    assert active_state(followed, "web.service") == "inactive"
    assert "SourceShrunken" not in codes(followed)


ENDLESS = """
import socket
import sys

HEAD, PIECE = (text.encode().decode("unicode_escape").encode() for text in sys.argv[1:])
listening = socket.create_server(("127.0.0.1", 8080))
while True:
    connection, _ = listening.accept()
    try:
        connection.recv(65536)
        connection.sendall(HEAD)
        while True:
            connection.sendall(PIECE * 100)
    except OSError:
        connection.close()
        print("hung up", flush=True)
"""
"""A boot server that sends its second argument until the other side hangs up, after the first one."""
WITHOUT_A_BODY = (
    (r"HTTP/1.1 200 OK\r\n", rf"X: {'y' * 4000}\r\n"),
    ("", r"HTTP/1.1 100 Continue\r\n\r\n"),
    (r"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", rf"X: {'y' * 4000}\r\n"),
)
MEMORY_MAX_KB = 150 << 10


def end_server(machine: Machine) -> None:
    machine.run("systemctl", "kill", "--signal=KILL", SERVER, check=False)
    machine.until("the server has ended", lambda: active_state(machine, SERVER) in ("inactive", "failed"))


def _hangs_up(machine: Machine, count: int) -> bool:
    """Have the server asked again, if it did not listen yet; return whether it was left more than ``count`` times."""
    retry_now(machine)
    return machine.journal(f"--unit={SERVER}").count("hung up") > count


def _changes_to(machine: Machine, wanted: str) -> bool:
    retry_now(machine)
    return environment(machine) == wanted


def test_a_hostile_server_neither_fills_the_memory_nor_takes_a_processor(followed: Machine) -> None:
    before = invocations(followed, "web.service", "other.service")
    pid = followed.show(SOURCE, "MainPID")["MainPID"]
    followed.write("/srv/endless.py", ENDLESS)
    for number, (head, piece) in enumerate(WITHOUT_A_BODY):
        end_server(followed)
        run = ("systemd-run", f"--unit={SERVER}", "--service-type=exec", "--collect", "--quiet", "--uid=nobody")
        followed.run(*run, "python3", "/srv/endless.py", head, piece)
        followed.until("the machine hangs up", functools.partial(_hangs_up, followed, number))

        end_server(followed)
        write_served(followed, web=sleep_service(f"new{number}"), other=sleep_service())
        serve(followed)
        followed.until("web has changed", functools.partial(_changes_to, followed, f"WORD=new{number}"))

    assert invocations(followed, "other.service")["other.service"] == before["other.service"]
    assert followed.show(SOURCE, "MainPID")["MainPID"] == pid
    status = followed.run("cat", f"/proc/{pid}/status").stdout
    assert int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) < MEMORY_MAX_KB


def reports(machine: Machine, *words: str) -> bool:
    """Return whether one condition contains all of ``words``."""
    return any(all(word in condition["what"] for word in words) for condition in agent_status(machine)["conditions"])


def has_word(machine: Machine, wanted: str) -> bool:
    return f"WORD={wanted}" in environment(machine, "base.service").split()


def codes(machine: Machine) -> list[str]:
    return [condition["code"] for condition in agent_status(machine)["conditions"]]


def test_a_machine_boots_without_its_server_and_follows_it_later(machines: Machines, suite: str) -> None:
    machine = machines(suite, cmdline=(f"ordain.source={URL}/{{hostname}}.yaml",))
    machine.write(AGENT_YAML, "trust: open\n")
    write_served(machine, web=sleep_service())
    machine.boot()
    wait_code(machine, "SourceUnreachable")
    assert agent_status(machine)["generation"] == 0

    serve(machine)
    retry_now(machine)
    wait_active(machine, "web.service")
    wait_agent_state(machine, "converged")

    machine.reboot()
    wait_active(machine, "web.service")
    wait_code(machine, "SourceUnreachable")
    before = invocations(machine, "web.service")
    serve(machine)
    retry_now(machine)
    wait_code(machine, "")
    assert invocations(machine, "web.service") == before

    write_served(machine, web=sleep_service("2"))
    machine.until("web has the new word", lambda: "WORD=2" in environment(machine))


@pytest.mark.parametrize("place", ["/etc/credstore", "/run/credstore", "/etc/credstore.encrypted"])
def test_a_password_is_a_credential_and_appears_nowhere_else(machines: Machines, place: str) -> None:
    machine = machines("trixie" if place == "/run/credstore" else "bookworm")
    follow(machine, ", credential: boot-token")
    secret = "s3cret-7f1c"
    machine.write("/srv/secret", secret)
    machine.boot()
    wait_code(machine, "CredentialMissing")
    answer(machine, "200 OK", layer(web=sleep_service()))
    put_credential(machine, place, secret)

    machine.run("systemctl", "reload", "ordain-agent.service")
    wait_active(machine, "web.service")

    output = (
        machine.journal()
        + machine.run("systemctl", "show", SOURCE).stdout
        + machine.run("systemctl", "cat", SOURCE).stdout
    )
    output += machine.run("ordainctl", "status", "--json").stdout + machine.run("ps", "axeww").stdout
    assert secret not in output
    files = machine.run(
        "grep", "-rlF", "--devices=skip", secret, "/etc", "/run", "/var/lib", "/srv", check=False
    ).stdout
    kept = {line for line in files.split() if not line.startswith("/run/credentials/")}
    assert kept == {"/srv/secret"} | ({f"{place}/boot-token"} if not place.endswith("encrypted") else set())

    # The source is connected, so only the other credential is a reason to start it anew.
    put_credential(machine, place, "another-7f1c")
    machine.run("systemctl", "reload", "ordain-agent.service")
    loaded = f"/run/credentials/{SOURCE}/boot-token"
    machine.until(
        "the source has the other credential",
        lambda: machine.run("cat", loaded, check=False).stdout == "another-7f1c",
    )


def put_credential(machine: Machine, place: str, secret: str) -> None:
    """Put the credential of the source into a directory of PID 1."""
    if place.endswith("encrypted"):
        machine.run("mkdir", "-p", place)
        encrypt = ("systemd-creds", "encrypt", "--with-key=host", "--name=boot-token", "-", f"{place}/boot-token")
        machine.run(*encrypt, stdin=secret)
    else:
        machine.write(f"{place}/boot-token", secret, mode=0o600)


def test_the_service_that_uses_the_network_has_few_rights(followed: Machine) -> None:
    rating = followed.run("systemd-analyze", "security", "--no-pager", SOURCE).stdout
    exposure = float(rating.splitlines()[-1].split(": ", 1)[1].split()[0])
    pid = followed.show(SOURCE, "MainPID")["MainPID"]
    process = dict(line.split(":\t", 1) for line in followed.read(f"/proc/{pid}/status").splitlines() if ":\t" in line)

    assert exposure <= 2.0
    assert int(process["CapEff"], 16) == int(process["CapBnd"], 16) == 0
    assert "0" not in process["Uid"].split()
    assert followed.run("stat", "-c", "%U %a", "/run/ordain-source/handover").stdout == "ordain-source 600\n"


def test_a_directory_needs_no_source_service(machines: Machines) -> None:
    machine = machines("trixie")
    write_layer(machine, web=sleep_service())
    machine.boot()
    wait_active(machine, "web.service")
    wait_agent_state(machine, "converged")
    assert active_state(machine, SOURCE) == "inactive"

    follow(machine)
    wait_code(machine, "SourceUnreachable")
    assert active_state(machine, "web.service") == "active"
    write_served(machine, third=sleep_service())
    serve(machine)
    retry_now(machine)
    wait_active(machine, "third.service")  # it is another source, so the limit on removals does not apply

    machine.run("rm", AGENT_YAML)
    machine.run("systemctl", "restart", "ordain-agent.service")
    machine.until("it is stopped", lambda: active_state(machine, SOURCE) == "inactive")
    wait_code(machine, "")
    wait_active(machine, "web.service")


def role(name: str, **services: str) -> str:
    return layer(**services).replace("name: base", f"name: {name}\nmatch: {{role: {name}}}")


def recorded_trust(machine: Machine) -> str:
    """Return the value of `trust` that is recorded for the generator, "" if there is none."""
    path = machine.path("/etc/ordain/boot/trust")
    if not path.exists():
        return ""
    data, text = path.read_bytes(), machine.path(AGENT_YAML).read_bytes()
    trust = data.split()[0].decode()
    assert data == trust_record(trust, text)
    return trust


@pytest.mark.slow
def test_agent_yaml_changes_apply_immediately_and_a_file_with_an_error_is_ignored(machines: Machines) -> None:
    machine = machines("trixie")
    for folder, word_ in (("/etc/ordain/documents", "a"), ("/srv/b", "b")):
        machine.write(f"{folder}/base.yaml", layer(base=sleep_service(word_)))
        machine.write(f"{folder}/web.yaml", role("web", web=sleep_service()))
        machine.write(f"{folder}/db.yaml", role("db", db=sleep_service()))
    machine.write("/srv/empty/no-document", "")
    machine.write(AGENT_YAML, "labels: {role: web}\n")
    machine.boot()
    wait_active(machine, "base.service", "web.service")
    wait_agent_state(machine, "converged")
    agent = invocations(machine, AGENT)
    before = invocations(machine, "base.service", "web.service")

    machine.write(AGENT_YAML, "labels: {role: [web, db]}\n")
    wait_active(machine, "db.service")
    assert invocations(machine, "base.service", "web.service") == before
    assert recorded_trust(machine) == "local"
    before |= invocations(machine, "db.service")

    for text, place, message, trust in (
        ("labels: {role: db}\nsource: {path: /srv/b\n", "3:1", "", "required"),
        (
            "labels: {role: db}\nsource: {path: /srv/b}\ntrust: al\n",
            "3:8",
            "trust: expected one of local, required, open",
            "required",
        ),
        ("labels: web\n", "1:9", "labels: expected a map", "local"),
        ("# labels: {role: web}\n", "", "was emptied; its previous settings stay in force", "local"),
        (None, "", "was deleted; its previous settings stay in force", ""),
    ):
        if text is None:
            machine.run("rm", AGENT_YAML)
        else:
            machine.write(AGENT_YAML, text)
        place_text = f"{AGENT_YAML}:{place}: " if place else f"{AGENT_YAML}: "
        machine.until(f"{place_text}{message}", functools.partial(reports, machine, place_text, message))
        assert machine.run("ordainctl", "status", check=False).returncode == 3
        machine.run("systemctl", "reload", "ordain-agent.service")
        assert recorded_trust(machine) == trust
        machine.write("/etc/ordain/documents/base.yaml", layer(base=sleep_service(f"a{place}")))
        machine.until("documents are followed", functools.partial(has_word, machine, f"a{place}"))
        assert [active_state(machine, f"{name}.service") for name in ("web", "db")] == ["active", "active"]
        assert machine.run("ordainctl", "doctor", check=False).stdout.count(place_text)
    machine.run("systemctl", "kill", "--signal=KILL", AGENT)
    machine.until(
        "another agent runs", lambda: invocations(machine, AGENT) != agent and active_state(machine, AGENT) == "active"
    )
    machine.until("it reports the same", lambda: reports(machine, "was deleted"))
    assert {unit: run for unit, run in invocations(machine, *before).items() if unit != "base.service"} == {
        unit: run for unit, run in before.items() if unit != "base.service"
    }
    agent = invocations(machine, AGENT)

    machine.write(AGENT_YAML, "labels: {role: [web, db]}\nsource: {path: /srv/empty}\n")
    wait_code(machine, "SourceEmpty")
    assert "Settings" not in codes(machine)
    assert [active_state(machine, f"{name}.service") for name in ("base", "web", "db")] == ["active"] * 3

    machine.write(AGENT_YAML, "labels: {role: web}\nsource: {path: /srv/b}\n")
    machine.until("b is followed", lambda: has_word(machine, "b"))
    machine.until("db is stopped", lambda: active_state(machine, "db.service") == "inactive")
    wait_code(machine, "")
    wait_agent_state(machine, "converged")
    assert invocations(machine, "web.service")["web.service"] == before["web.service"]
    assert invocations(machine, AGENT) == agent
    assert codes(machine) == []

    machine.run("rm", AGENT_YAML)
    machine.until("the deletion is reported", lambda: reports(machine, "was deleted"))
    machine.run("systemctl", "restart", "ordain-agent.service")  # now the defaults apply
    machine.until("a is followed", lambda: has_word(machine, "a"))
    machine.until("web is stopped", lambda: active_state(machine, "web.service") == "inactive")


def test_a_service_with_a_limit_stops_without_its_source_and_starts_again_with_it(machine: Machine) -> None:
    follow(machine)
    timed = sleep_service().replace("{", "{on-source-loss: {stop-after: 3s}, ", 1)
    write_served(machine, web=timed, other=sleep_service())
    machine.boot()
    serve(machine)
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    before = invocations(machine, "other.service")

    machine.run("systemctl", "stop", SOURCE)  # stopping our own service does not count as a loss
    machine.run("systemctl", "stop", SERVER)
    machine.run("systemctl", "start", SOURCE)
    machine.until("web is stopped", lambda: active_state(machine, "web.service") == "inactive")
    machine.until("the loss is reported", lambda: "SourceLost" in codes(machine))
    machine.run("systemctl", "restart", "ordain-agent.service")
    machine.until("the loss is reported again", lambda: "SourceLost" in codes(machine))
    assert active_state(machine, "web.service") == "inactive"

    serve(machine)
    retry_now(machine)
    wait_active(machine, "web.service")
    machine.until("the loss is over", lambda: "SourceLost" not in codes(machine))
    assert invocations(machine, "other.service") == before

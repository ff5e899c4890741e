"""Entries that every schema takes, and that have no effect, another one than is meant, or one that nothing undoes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.model import Document

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJhZGJh x"
SEALED = "A" * 128


def problems(*layers: str) -> tuple[Problem, ...]:
    texts = [
        (f"{at}.yaml", f"ordain: v1\nkind: Layer\nname: l{at}\nweight: {at}\n{text}\n")
        for at, text in enumerate(layers)
    ]
    documents: list[Document] = []
    wrong: list[Problem] = []
    for path, text in texts:
        read_documents, faults = read(path, text.encode())
        documents += read_documents
        wrong += faults
    return tuple(wrong) or compile(documents, facts_for("debian-13"), shipped=shipped()).problems


def codes(found: Iterable[Problem]) -> list[str]:
    return sorted(problem.code for problem in found)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (f'users: {{eve: {{state: absent, keys: ["{KEY}"]}}}}', "Doubtful", "keys has no effect: eve is absent"),
        ("users: {eve: {state: absent, groups: [adm]}}", "Doubtful", "groups has no effect"),
        ("users: {eve: {state: absent, shell: /bin/sh}}", "Doubtful", "shell has no effect"),
        ("files: {/run/user/1000/x: {content: x}}", "Doubtful", "systemd mounts /run/user/1000 when that user logs in"),
        ("services: {a: {command: /bin/a, listen: {stream: /run/user/0/x}}}", "Doubtful", "directory of a session"),
        ('files: {/etc/x: {content: x, owner: "010"}}', "Item", "'010' is not a number of an account"),
        ('files: {/etc/x: {content: x, group: "00"}}', "Item", "'00' is not a number of an account"),
        ("sysctl: {kernel.modules_disabled: 1}", "Vital", "the boot could load no driver any more"),
        ("sysctl: {kernel/modules_disabled: 1}", "Vital", "the boot could load no driver any more"),
        (
            "sysctl: {kernel.kexec_load_disabled: 1}",
            "Doubtful",
            "holds until the next boot, whatever a rollback writes",
        ),
        ("sysctl: {kernel.kexec_load_limit_reboot: 0}", "Doubtful", "no other kernel can be loaded"),
        ("sysctl: {kernel.kexec_load_limit_panic: 2}", "Doubtful", "each load lowers it"),
        ("sysctl: {kernel.usermodehelper.bset: 1 0}", "Doubtful", "do not get the other capabilities back"),
        ("sysctl: {kernel.tainted: 64}", "Doubtful", "stays tainted"),
        ("sysctl: {kernel.yama.ptrace_scope: 3}", "Doubtful", "no program can trace another one"),
        ("sysctl: {kernel.unprivileged_bpf_disabled: 1}", "Doubtful", "2, which forbids the same"),
        ("services: {a: {command: /bin/a, type: oneshot, schedule: {every: 1ms}}}", "Doubtful", "more often than once"),
        ("mounts: {/srv/f: {what: /srv/f/img, options: [loop]}}", "Doubtful", "hides its own source /srv/f/img"),
        ("services: {a: {command: /bin/a, credentials: {a: {ciphertext: auto}}}}", "Schema", "an encrypted credential"),
        ("files: {/etc/x: {credential: {ciphertext: eHh4}}}", "Schema", "an encrypted credential"),
        ("services: {a: {command: /bin/a, condition: {kernel-command-line: 'a b'}}}", "Doubtful", "not one word"),
        ("host: {hostname: localhost}", "Doubtful", "for a missing name"),
        ("users: {eve: {uid: 61184}}", "Doubtful", "systemd gives to services with DynamicUser="),
        ("groups: {eve: {gid: 60001}}", "Doubtful", "systemd-homed gives to users of its own"),
        ("host: {hostname: 192.168.1.1}", "Doubtful", "192.168.1.1 is an address"),
        (
            "files: {/etc/a.sh: {content: x}}\nservices: {a: {command: /bin/a, health: {command: /etc/a.sh}}}",
            "Doubtful",
            "/etc/a.sh is not executable",
        ),
        (
            "files: {/etc/a.sh: {content: x, mode: '0755'}}\nservices: {a: {command: /bin/a, check: /etc/a.sh}}",
            "Doubtful",
            "/etc/a.sh does not begin with #!",
        ),
    ],
)
def test_it_is_told(text: str, code: str, words: str) -> None:
    (problem,) = problems(text)

    assert problem.code == code
    assert words in str(problem)
    assert problem.hint


@pytest.mark.parametrize(
    "text",
    [
        "users: {eve: {state: absent}}",
        "files: {/run/users/x: {content: x}}",
        'files: {/etc/x: {content: x, owner: "10", group: "0"}}',
        "sysctl: {kernel.modules_disabled: 0, kernel.kexec_load_disabled: 0}",
        "sysctl: {kernel.kexec_load_limit_panic: -1, kernel.tainted: 0}",
        "sysctl: {kernel.yama.ptrace_scope: 2, kernel.unprivileged_bpf_disabled: 2}",
        "services: {a: {command: /bin/a, type: oneshot, schedule: {every: 1s}}}",
        "mounts: {/srv/f: {what: /srv/f, options: [bind]}, /srv/g: {what: /srv/g/h, options: [bind]}}",
        "mounts: {/srv/f: {what: /srv/f.img, options: [loop]}}",
        f"services: {{a: {{command: /bin/a, credentials: {{a: {{ciphertext: {SEALED}}}}}}}}}",
        "services: {a: {command: /bin/a, condition: {kernel-command-line: ['!quiet', 'a=b']}}}",
        "host: {hostname: 1a.b}",
        "users: {eve: {uid: 59999}, bob: {uid: 65536}}",
        "files: {/etc/a.sh: {content: '#!/bin/sh', mode: '0755'}}\n"
        "services: {a: {command: /bin/a, check: /etc/a.sh, health: {command: /etc/a.sh}}}",
    ],
)
def test_an_entry_that_works_is_taken_without_a_word(text: str) -> None:
    assert codes(problems(text)) == []


def test_a_layer_may_lock_the_user_of_another_one() -> None:
    user = f'users: {{eve: {{uid: 2001, groups: [adm], keys: ["{KEY}"]}}}}'

    assert codes(problems(user, "users: {eve: {state: absent}}")) == []

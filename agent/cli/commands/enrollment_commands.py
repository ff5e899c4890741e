"""The commands that give machines an identity: `ordainctl fleet token`, `enroll`, `approve`, `prepare` …."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import FAMILY
from ordain.agent.cli.commands.shared_arguments import JSON, MACHINE, MACHINE_OR_NONE, STORE, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Subcommand

LABELS = Argument(
    flag="--label", metavar="KEY=VALUE", many=True, help="record that the machine has this label, such as role=web"
)

ROWS = (
    Subcommand(
        name="fleet token",
        group=FAMILY.name,
        purpose="print a join token, which enrolls one machine",
        text=(
            "The token is a secret: it is a key whose public half is stored below machines/. Whoever has it can enroll "
            "one machine, once, until it expires. With --name the machine must have this hostname or machine-id, and "
            "may have been enrolled before; without, it must be new."
        ),
        run="fleet.fleet_enrollment:token",
        arguments=(
            Argument(flag="--name", metavar="NAME", help="the hostname or the machine-id of the machine"),
            LABELS,
            Argument(flag="--for", metavar="TIME", help="how long the token is valid; default: 1h", into="valid_for"),
            WHY,
            *STORE,
        ),
        examples=(
            ("ordainctl fleet token --name web3 >web3.token", "for one machine"),
            ("ordainctl fleet token --label role=web --for 15min", "for any new machine, which gets this label"),
        ),
    ),
    Subcommand(
        name="fleet enroll",
        group=FAMILY.name,
        purpose="ask for an identity for this machine, or for a new key",
        text=(
            "Makes a key for this machine, and one that opens secrets, and writes a request into the store to "
            "register their public halves. The private halves stay here: systemd-creds seals them, to the TPM where "
            "there is one; where that does not work, they are files that only root can read. Run it again to see "
            "whether the request was approved; then reports of this machine are signed. A machine that lost its disk "
            "runs it again with a new token."
        ),
        run="fleet.machine_enrollment:enroll",
        arguments=(
            Argument(
                flag="--token-file",
                metavar="FILE",
                completion=Completion.FILES,
                help="the file with a join token, or - for standard input",
            ),
            Argument(
                flag="--new-key",
                help="replace the keys of this machine; the old key cannot vouch for a new one that opens secrets",
            ),
            Argument(flag="--wait", metavar="TIME", help="wait so long until the request is approved"),
            *STORE,
        ),
        examples=(
            ("ordainctl fleet enroll --token-file web3.token --wait 1min", "with a join token"),
            ("ordainctl fleet enroll", "without: an administrator compares the id of the key and approves it"),
            ("ordainctl fleet enroll --new-key --wait 1min", "change the key"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="fleet approve",
        group=FAMILY.name,
        purpose="list the requests of machines for an identity, and approve them",
        text=(
            "Without arguments, lists the requests and who vouches for each. --vouched approves those for which a "
            "valid join token vouches, or the key that the machine had before. With MACHINE, you vouch for one "
            "yourself: compare the id of its key with the one that `ordainctl fleet enroll` printed on the machine, "
            "and name it with --key. A machine that was enrolled under the same name loses its identity."
        ),
        run="fleet.fleet_enrollment:approve",
        arguments=(
            MACHINE_OR_NONE,
            Argument(flag="--key", metavar="ID", help="the id of the machine's key"),
            LABELS,
            Argument(flag="--vouched", help="approve every request for which a token or an earlier key vouches"),
            Argument(flag="--watch", help="with --vouched: wait for further requests, until interrupted"),
            WHY,
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl fleet approve", "list the requests"),
            ("ordainctl fleet approve web3 --key 5a3c1f2e90b74d11", "after you have compared the id"),
            ("ordainctl fleet approve --vouched --watch", "while machines are installed"),
        ),
    ),
    Subcommand(
        name="fleet prepare",
        group=FAMILY.name,
        purpose="enroll a machine without a disk, and print its key",
        text=(
            "A machine without a disk gets its key at each boot, as the systemd credential ordain.machine-key: from "
            "the hypervisor (SMBIOS, fw_cfg), from the boot server, or sealed to its TPM. The key is a secret, and is "
            "printed once. The machine need not exist yet. If it was enrolled before, its earlier key becomes invalid."
        ),
        run="fleet.fleet_enrollment:prepare",
        arguments=(
            Argument(metavar="MACHINE-ID", required=True, help="the machine-id that the machine boots with"),
            Argument(flag="--name", metavar="NAME", required=True, help="the hostname of the machine"),
            Argument(
                flag="--secret-key",
                metavar="FILE",
                completion=Completion.FILES,
                help="also make a key that opens secrets, for the credential ordain.secret-key, and write it to FILE",
            ),
            LABELS,
            WHY,
            *STORE,
        ),
        examples=(
            (
                "ordainctl fleet prepare 1f2e90b74d115a3c1f2e90b74d115a3c --name node7 >ordain.machine-key",
                "for a virtual machine",
            ),
        ),
    ),
    Subcommand(
        name="fleet revoke",
        group=FAMILY.name,
        purpose="withdraw the identity of a machine",
        text="From now on, its reports and its slots in rollouts are ignored until it is approved again.",
        run="fleet.fleet_enrollment:revoke",
        arguments=(
            MACHINE,
            WHY,
            *STORE,
        ),
        examples=(("ordainctl fleet revoke web3 --why 'stolen'", "after a theft"),),
    ),
    Subcommand(
        name="fleet identity",
        group=FAMILY.name,
        purpose="list the machines with an identity, and require one or not",
        text=(
            "With --require, reports and slots of machines that are not enrolled are ignored. Without it, a "
            "fleet may have both kinds of machines: only those that are enrolled are protected from forged reports."
        ),
        run="fleet.fleet_enrollment:identity",
        arguments=(
            Argument(flag="--require", help="let only machines with an identity count"),
            Argument(flag="--no-require", help="let machines without an identity count as well"),
            WHY,
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl fleet identity", "who is enrolled"),
            ("ordainctl fleet identity --require", "after the last machine was enrolled"),
        ),
    ),
)

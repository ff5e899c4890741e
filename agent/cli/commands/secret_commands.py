"""The commands that seal secrets for machines: `ordainctl secret …`."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import JSON, STORE, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

FAMILY = Family(
    name="secret",
    group=GROUP,
    purpose="seal secrets in documents for some machines",
    text=(
        "A sealed secret travels in a document, and only the machines can open it that it was sealed for. Recipients: "
        "machine=NAME, a label that machines were enrolled with, such as role=web, key=BASE64, or recovery."
    ),
)
NAME = Argument(metavar="NAME", required=True, help="the name of the secret")
DOCUMENTS = Argument(
    flag="--documents",
    metavar="FILE",
    many=True,
    completion=Completion.FILES,
    help="the secrets in these files or directories, instead of those in the store",
)
KEY = Argument(
    flag="--key",
    metavar="FILE",
    required=True,
    completion=Completion.FILES,
    help="a key that can open the secrets, such as a recovery key",
)

ROWS = (
    Subcommand(
        name="secret seal",
        group=FAMILY.name,
        purpose="seal a secret, and print or store the document that holds it",
        text=(
            "Reads the secret from standard input or a file, seals it for the recipients as they are enrolled now, "
            "and prints a document with it. A service names it with `credentials: {NAME: {secret: NAME}}`, a file "
            "with `credential: {secret: NAME}`. With --put it changes the document of the store that has a secret of "
            "this name, or else writes a new one, secret-NAME. Without --for, a secret in the store keeps its "
            "recipients. A change that somebody else makes at the same time is never overwritten."
        ),
        run="fleet.secrets:seal_",
        arguments=(
            Argument(
                flag="--for",
                metavar="RECIPIENT",
                many=True,
                into="recipient",
                help="machine=NAME, a label such as role=web, key=BASE64, or recovery; may be repeated",
            ),
            NAME,
            Argument(
                flag="--file", metavar="FILE", completion=Completion.FILES, help="read the secret from FILE, or from -"
            ),
            Argument(flag="--fragment", help="print only the section `secrets`, to paste it into a document"),
            Argument(flag="--put", help="write the secret into a document of the store, instead of printing it"),
            WHY,
            *STORE,
        ),
        examples=(
            (
                'ordainctl secret seal --for role=web --for recovery --put --why "new database" db-password <password',
                "into the store",
            ),
            (
                "ordainctl secret seal --for machine=db1 --file munge.key --fragment munge-key",
                "for a document of yours",
            ),
        ),
    ),
    Subcommand(
        name="secret list",
        group=FAMILY.name,
        purpose="list secrets, who can open them, and which are stale",
        text=(
            "A secret is stale if one of its recipients cannot open it, or if somebody else can: because a machine "
            "joined or left, or a key was changed or revoked. `secret reseal` corrects that. Exits with 3 if a secret "
            "is stale."
        ),
        run="fleet.secrets:list_",
        arguments=(DOCUMENTS, JSON, *STORE),
        examples=(("ordainctl secret list", "the secrets in the store"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="secret reseal",
        group=FAMILY.name,
        purpose="seal secrets again for their recipients as they are now",
        text=(
            "Opens each secret with the key, and replaces its list of keys in the document; nothing else changes, and "
            "no service is restarted. A machine that left still knows the secret: change its value, too."
        ),
        run="fleet.secrets:reseal_",
        arguments=(
            Argument(metavar="NAME", many=True, help="only these secrets"),
            KEY,
            DOCUMENTS,
            WHY,
            *STORE,
        ),
        examples=(("ordainctl secret reseal --key recovery.key", "after machines joined or left"),),
    ),
    Subcommand(
        name="secret open",
        group=FAMILY.name,
        purpose="print the value of a secret",
        text="Needs a key that it was sealed for: a recovery key, or as root that of a machine.",
        run="fleet.secrets:open_",
        arguments=(NAME, KEY, DOCUMENTS, *STORE),
        examples=(("ordainctl secret open --key recovery.key db-password", "after the machines were lost"),),
    ),
    Subcommand(
        name="secret key",
        group=FAMILY.name,
        purpose="print the public key of this machine for secrets",
        text=(
            "Makes the key if there is none. The output is a recipient, for machines that are not enrolled. After "
            "--new, the earlier key still opens the secrets that were sealed for it."
        ),
        run="fleet.secrets:key_",
        arguments=(Argument(flag="--new", help="make another key"),),
        examples=(("ordainctl secret key", "for --for on another machine"),),
    ),
    Subcommand(
        name="secret recovery",
        group=FAMILY.name,
        purpose="make a recovery key, or withdraw one",
        text=(
            "Writes the private half into a new file, and registers the public half in the store. Whoever has the file "
            "can open the secrets that are sealed for `recovery`, and seal them again for other machines."
        ),
        run="fleet.secrets:recovery",
        arguments=(
            Argument(metavar="FILE", completion=Completion.FILES, help="the file for the private half"),
            Argument(flag="--revoke", metavar="ID", help="withdraw the key with this id instead"),
            WHY,
            *STORE,
        ),
        examples=(
            ("ordainctl secret recovery recovery.key", "then keep the file offline"),
            ("ordainctl secret recovery --revoke 32345b0c1129f250 --why 'the file was lost'", "after a loss"),
        ),
    ),
)

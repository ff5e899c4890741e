"""The commands that are about other machines."""

from __future__ import annotations

from ordain.agent.cli.command import Argument, Command, Words

FLEET = "Other machines"

ROWS = (
    Command(
        name="serve",
        group=FLEET,
        purpose="serve a directory of documents to machines, over HTTP",
        text=(
            "The reference boot server: answers every machine with the documents that could be for it, and holds the "
            "answer until they change. Documents that are wrong are not served; the last good ones are. "
            "Where releases are among them (`ordainctl release create --output`), a machine gets the latest of its "
            "channel with the documents that it names, once all are there as they were signed, and nothing else. "
            "With --root, an initrd that boots this tree gets a finished generation beside the documents, so that the "
            "machine compiles nothing. Nobody can sign that: who answers in place of the server decides what boots. "
            'A machine follows it with `source: {type: http, url: "https://HOST:8080/{machine-id}.yaml"}`. '
            "Whoever reaches it may read: use TLS and --client-ca where documents are not for everybody."
        ),
        run="serve:serve",
        arguments=(
            Argument(
                metavar="DIR",
                required=True,
                words=Words.DIRECTORIES,
                help="the directory, which is read again on changes",
            ),
            Argument(
                flag="--listen",
                metavar="HOST:PORT",
                help="the address; 127.0.0.1:8080 when absent, :8080 for every address",
            ),
            Argument(
                flag="--root",
                into="tree",
                metavar="TREE",
                words=Words.DIRECTORIES,
                help="the root that machines boot, for finished generations",
            ),
            Argument(
                flag="--tls-cert", metavar="FILE", words=Words.FILES, help="serve HTTPS with this certificate (PEM)"
            ),
            Argument(flag="--tls-key", metavar="FILE", words=Words.FILES, help="its private key"),
            Argument(
                flag="--client-ca",
                metavar="FILE",
                words=Words.FILES,
                help="let in only machines with a certificate of this",
            ),
        ),
        examples=(
            ("ordainctl serve /srv/documents --listen :8080", "a lab"),
            ("ordainctl serve /srv/documents --root /srv/ram-image", "machines in RAM compile nothing"),
            (
                "ordainctl serve /srv/documents --listen :8443 --tls-cert srv.pem --tls-key srv.key --client-ca ca.pem",
                "",
            ),
        ),
    ),
)

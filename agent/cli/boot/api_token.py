"""netboot token: the tokens for the API and the page of a boot server."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.parse import Usage
from ordain.agent.netboot.api_tokens import add_token, parse_rights, remove_token


def token(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl netboot token`."""
    path = Path(request.tokens)
    if request.remove:
        remove_token(path, request.name)
        console.line(f"{request.name} cannot use the API any more", Style.GOOD)
        return Exit.OK
    try:
        rights = parse_rights(request.rights or "read")
    except ValueError as error:
        raise Usage(f"--rights {request.rights}: {error}") from None
    secret = add_token(path, request.name, rights)
    if secret:
        console.text(f"{secret}\n")
        console.note(f"the token of {request.name} ({', '.join(sorted(rights))}); it is shown only now", Style.GOOD)
    else:
        console.note(f"everybody who reaches the server may {', '.join(sorted(rights))}", Style.WARN)
    return Exit.OK

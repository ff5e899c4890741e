"""The accounts that a distribution makes with fixed numbers, for systems whose machine is not here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.model import Facts, MachineAccounts

TABLE = Path(__file__).parents[1] / "data" / "accounts.yaml"


def fixed_accounts(facts: Facts) -> MachineAccounts:
    """Return the accounts that every machine with the system of ``facts`` has; there may be more.

    >>> fixed_accounts(Facts(id="ubuntu", like=("debian",), systemd=255)).users["www-data"]
    ('33', '33')
    """
    rows = _rows()
    row = next((rows[name] for name in (facts.id, *facts.like) if name in rows), {})
    numbers = {name: pair.partition(":") for name, pair in row.get("users", {}).items()}
    users = {name: (uid, gid) for name, (uid, _, gid) in numbers.items()}
    return MachineAccounts(users=users, groups=row.get("groups", {}))


@cache
def _rows() -> dict[str, dict[str, dict[str, Any]]]:
    return read_table(TABLE)

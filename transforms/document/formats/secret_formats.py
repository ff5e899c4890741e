"""Formats of the section `secrets`."""

from __future__ import annotations

from ordain.transforms.sealed_secret import check_copy, check_recipient, check_value

FORMATS = {"secret-recipient": check_recipient, "secret-value": check_value, "secret-copy": check_copy}

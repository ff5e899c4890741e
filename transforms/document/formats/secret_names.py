"""The names of values that no other user should read."""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

SECRET = lazy_pattern(r"(?i)(^|[_-])(PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_KEY|TOKEN|API[_-]?KEY|PRIVATE_KEY)$")
"""Names of variables, and of parts of a URL. The last word decides, so TOKEN_FILE does not match."""

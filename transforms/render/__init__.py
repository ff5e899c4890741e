"""A resolved document to artifacts: units, files, accounts, kernel parameters and mounts."""

"""The machine's own values (files, accounts, network, kernel parameters), read back and compared."""

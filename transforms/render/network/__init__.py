"""The ``network`` section as files for systemd-networkd, NetworkManager or ifupdown."""

"""The boot from the network: the ``netboot`` of a machine, by the facts that iPXE knows, as a script for iPXE."""

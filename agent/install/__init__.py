"""Installs the system of an image to a disk, from the initrd that has unpacked it."""

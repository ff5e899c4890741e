"""Machines that boot from the network: the images that they start."""

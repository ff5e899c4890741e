"""Tasks between two applies, behind the protocol of `minder`."""

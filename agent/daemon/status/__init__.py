"""The status of this machine: the source, the observed units, their one comparison."""

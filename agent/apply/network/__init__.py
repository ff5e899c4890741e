"""The network under a change: a snapshot before it, the reload, and whether the machine is still reachable."""

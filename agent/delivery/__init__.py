"""How documents reach a machine: source above fleet above release above database, and the protocol of sources."""

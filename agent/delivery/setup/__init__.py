"""The setup of a store for a fleet: databases, users, rights, and the state of its members."""

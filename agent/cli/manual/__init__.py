"""Pages and shell completion that are made from the tables of commands, keys and codes."""

"""The table of commands: a row for each, which the parser, the help, the completion and the manual follow."""

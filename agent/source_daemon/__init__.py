"""ordain-source: the program that fetches documents from a remote source and hands them to ordain-agent."""

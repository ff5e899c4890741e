"""The agent that follows the documents on a running machine, and ordainctl."""

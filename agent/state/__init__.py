"""The agent's files on disk: generations, the journal of an apply, holds and decisions."""

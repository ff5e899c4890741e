"""The units of a boot as a graph: ordering cycles, conflicts, and what an exclusive boot starts."""

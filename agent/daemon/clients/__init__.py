"""Ways to the agent's operations: over D-Bus, or in the process of ordainctl."""

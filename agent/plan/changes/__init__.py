"""The differences between two generations, entry by entry, and the effect that each change has on running units."""

"""Deviations: overrides of administrators, processes older than their files, units that others started."""

"""Plans: two generations and the observed units in, jobs with reasons out. Pure: no file, no bus, no clock."""

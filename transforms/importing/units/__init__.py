"""Unit files, and the units of a whole machine, as entries of ``services`` and ``units``."""

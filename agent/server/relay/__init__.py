"""The relay of a fleet's store to a site: its last good copy, the writes that it accepts, and its queue of reports."""

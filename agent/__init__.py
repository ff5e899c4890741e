"""The agent that follows the documents on a running machine, and ordainctl."""

import sys

# dbus_next binds to GLib wherever there is one: six MB that an agent which waits for months would keep.
sys.modules.setdefault("gi", None)  # type: ignore[arg-type]

"""The agent as a daemon that SWUpdate's own tools talk to: its two sockets, in its own wire formats."""

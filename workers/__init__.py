"""The processes: one file for each kind, and the `longhaul` command."""

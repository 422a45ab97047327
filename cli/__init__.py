"""The `longhaul` command: one file for each of its commands."""

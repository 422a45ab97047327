"""The tests on every server that Longhaul promises to run on, and where those servers come from."""

"""Mutations: each guard of the ledger and of the steps is broken in a copy of the tree, and a test must see it.

`python -m tests.mutate`. The mutations are data, in `mutations/*.toml`; `catalogue` reads them, `runner` breaks and
tests, `report` says what survived.
"""

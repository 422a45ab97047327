"""The remote's contract: its words, its errors, how to ask it and how to read its answers.

`protocol` is pure and shared by both clients: `client` (requests, one call at a time) and `batch` (aiohttp, many at
once).
"""

"""Servers that a measurement talks to, as bare as possible, because they share its cores."""

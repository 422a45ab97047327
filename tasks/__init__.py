"""The Celery tasks: thin adapters, one file for each step of the flow. `runtime` is the one place where settings become
objects.
"""

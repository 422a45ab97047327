"""The Celery tasks: thin adapters, one file for each step of the flow; `plumbing` has what stands between them and
Celery.
"""

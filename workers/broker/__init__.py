"""Celery's way to the broker: no message is lost with its worker, and none that no worker understands is thrown away.

These modules override private names of Celery and kombu 5.7, which pyproject.toml bounds;
`tests/unit/workers/broker/test_private_names.py` fails when one of them has gone.
"""

"""Celery's way to the broker: no message is lost with its worker, none that nobody understands is thrown away."""

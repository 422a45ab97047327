"""What stands between Celery and the steps: the runtime, batches, events, results."""

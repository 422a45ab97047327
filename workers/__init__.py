"""The processes: the Celery app with its broker, the webhook receiver, health checks, and everything on one machine."""

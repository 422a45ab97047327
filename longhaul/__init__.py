"""The core: jobs and crawls, the ledger that they live in, the remote that works for them. Knows neither Celery nor the settings."""

"""The core: jobs, crawls, their ledger, and the client of the remote. It knows neither Celery nor the settings."""

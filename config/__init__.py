"""Settings, Celery's settings and the user's schedules. Imports nothing else of this project."""

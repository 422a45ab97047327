"""What can be set, and how the processes are set up: settings, Celery's own settings, schedules, logs. Knows nobody."""

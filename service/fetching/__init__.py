"""The service's I/O with the web: fetching a target, converting its answer, delivering webhooks."""

"""The service's I/O with the web: fetching a target, reading its bytes, pushing to a callback."""

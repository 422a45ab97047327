"""The soak test: 100,000 jobs wait for half an hour, with an outage of the remote and a stop of all workers."""

"""The webhook receiver: what the remote pushes goes the same way as what a poll finds."""

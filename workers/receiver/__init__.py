"""The webhook receiver: what the remote delivers goes the same way as what a poll finds."""

"""Crawls of the service: the order, the frontier of pages, the events that are delivered."""

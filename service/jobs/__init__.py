"""Scrape jobs of the service: submitted, fetched, read once, delivered."""

"""The crawls: one record each, from creation to summary, and every page on its way to the results queue."""

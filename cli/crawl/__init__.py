"""`longhaul crawl`: create a crawl, follow it, or show beforehand what it would take."""

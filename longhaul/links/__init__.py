"""What is read out of a page: its charset, its links, and which of these belong to a crawl."""

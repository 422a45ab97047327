"""The kernel: what a job and a crawl have in common, from their record to the envelope that ends them."""

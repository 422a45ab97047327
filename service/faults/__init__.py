"""The fault dial: what a test can make the service do wrong."""

"""A small web shop of 1,000 products on this machine: something to scrape for the tutorial.

`python examples/shop.py [port]`, then `/` lists the products, `/product/1` to `/product/1000` are their pages.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRODUCTS = 1000
KINDS = ["Lamp", "Chair", "Table", "Shelf", "Clock", "Mirror", "Rug"]


def product(number: int) -> str:
    """The page of one product."""
    name, price = f"{KINDS[number % len(KINDS)]} {number}", 5 + number * 37 % 200 + 0.99
    return f'<h1>{name}</h1> <p class="price">{price:.2f} EUR</p> <p class="stock">{number % 12} in stock</p>'


def catalogue() -> str:
    """The page that lists them all."""
    return "".join(f'<li><a href="/product/{n}">product {n}</a></li>' for n in range(1, PRODUCTS + 1))


class Shop(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The catalogue, a product, or a 404."""
        kind, _, number = self.path.strip("/").partition("/")
        if not kind:
            self.answer(200, catalogue())
        elif kind == "product" and number.isdecimal() and 1 <= int(number) <= PRODUCTS:
            self.answer(200, product(int(number)))
        else:
            self.answer(404, "no such page")

    def answer(self, status: int, html: str) -> None:
        """Send one page."""
        body = f"<!doctype html><title>Shop</title>{html}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a scraper opens."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with Server(("127.0.0.1", port), Shop) as server:
        print(f"The shop is open: http://127.0.0.1:{port}/ (Ctrl-C closes it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass

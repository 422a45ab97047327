"""The service's HTTP interface: routes, answers, OpenAPI."""

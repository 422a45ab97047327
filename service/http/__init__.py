"""The service's HTTP face: routes, answers, OpenAPI."""

"""The crawler tools of the vendor's own MCP server, unchanged, against the service as its users run it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mcp.server.fastmcp.exceptions import ToolError
from scraperapi_mcp_server.config import settings
from scraperapi_mcp_server.execution import rate_limiter
from scraperapi_mcp_server.server import mcp

from service.faults.crawl_faults import site_for
from tests.service_process import Service, eventually, service
from tests.service_target import serve

KEY = "a-key-of-ours"
START = "http://site-13.fault.invalid/"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), service_faults="1", service_api_keys=f'["{KEY}"]') as one:
        yield one


@pytest.fixture
def call(running: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls one of the vendor's tools; the JSON that it returns."""
    monkeypatch.setattr(settings, "API_KEY", KEY)
    monkeypatch.setattr(settings, "CRAWLER_URL", running.base)
    monkeypatch.setattr(rate_limiter, "_max_calls", 1000)

    def tool(name: str, **params: Any) -> Any:
        content, _ = asyncio.run(mcp.call_tool(name, {"params": params}))
        return json.loads(content[0].text)

    return tool


def test_a_crawl_from_its_start_to_its_summary(call: Callable[..., Any]) -> None:
    with serve() as target:
        given = {
            "start_url": START,
            "url_regexp_include": ".*",
            "max_depth": 3,
            "crawl_budget": 100,
            "additional_data": {"mine": 1},
        }
        hook = {"callback_url": f"{target.base}/hook", "schedule": {"interval": "once", "name": ""}, "enabled": True}
        started = call("crawler_job_start", **given, **hook, api_params={"device_type": "desktop"})
        assert started["status"] == "initiated"

        def finished() -> Any:
            seen = call("crawler_job_status", job_id=started["jobId"])
            return seen if seen["active"] == 0 and seen["status"] == "delivered" else None

        seen = eventually(finished)
        assert (seen["crawler_job_id"], seen["done"], seen["failed"]) == (started["jobId"], 13, 0)
        documents = [json.loads(asked.body) for asked in target.at("/hook")]
        assert {page["url"]: page["currentDepth"] for page in documents[:-1]} == site_for(START)
        assert (documents[-1]["jobState"], documents[-1]["jobCost"]) == ("finished", 13)
        assert documents[-1]["additional_data"] == {"mine": 1}


def test_a_crawl_is_cancelled(call: Callable[..., Any]) -> None:
    started = call("crawler_job_start", start_url="http://never.fault.invalid/", url_regexp_include=".*", max_depth=1)
    eventually(lambda: call("crawler_job_status", job_id=started["jobId"])["status"] == "running")
    answer = call("crawler_job_delete", job_id=started["jobId"])
    assert answer == {"status": "OK", "message": f"Job ID: {started['jobId']} has been cancelled"}
    assert call("crawler_job_status", job_id=started["jobId"])["active"] == 0


@pytest.mark.parametrize(
    ("tool", "params", "words"),
    [
        ("crawler_job_status", {"job_id": "nobody"}, "404"),
        ("crawler_job_delete", {"job_id": "nobody"}, "404"),
        ("crawler_job_start", {"start_url": "ftp://a/", "url_regexp_include": ".*", "max_depth": 1}, "start_url"),
        ("crawler_job_start", {"start_url": START, "url_regexp_include": "(", "max_depth": 1}, "url_regexp_include"),
    ],
)
def test_a_refusal_reaches_its_user_with_its_message(
    call: Callable[..., Any], tool: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        call(tool, **params)


def test_named_groups_of_javascript_are_understood(call: Callable[..., Any]) -> None:
    pattern = r'href="(?<relative_url>/p/[1-3])"'
    started = call("crawler_job_start", start_url=START, url_regexp_include=pattern, max_depth=3)
    seen = eventually(
        lambda: (
            found if (found := call("crawler_job_status", job_id=started["jobId"]))["status"] == "delivered" else None
        )
    )
    assert seen["done"] == 1 + 3

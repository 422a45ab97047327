"""Compare what was sent with what the consumers received. Pure; each violation is one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.journals import Entry, Journals
from tests.chaos.workload import Crawl, Job, Workload


@dataclass
class CheckResult:
    """Counts of everything that was checked, and the violations.

    `duplicates`: envelopes beyond the first of a job or page. `resubmitted`: jobs submitted more than once although
    their dial does not ask for it. `remote_losses`: results that the remote lost although the dial does not ask for it.
    `undelivered`: pages that the remote gave up delivering and that the crawl's envelope reports as missing.
    `longest`: the longest time from submission to end, in seconds, and the URL of that job.
    """

    violations: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicates: int = 0
    wrong: int = 0
    pages: int = 0
    undelivered: int = 0
    resubmitted: int = 0
    remote_losses: int = 0
    longest: float = 0.0
    longest_url: str = ""

    def violation(self, words: str) -> None:
        """Add a violation."""
        self.violations.append(words)


def check(
    workload: Workload, journals: Journals, given_up: Mapping[str, int], remote_losses: Mapping[str, int]
) -> CheckResult:
    """Check every job and crawl of `workload` against the `journals`.

    `given_up`: events that the remote gave up delivering, by its crawl id. `remote_losses`: by job id, see
    `unexpected_keys.remote_losses`.
    """
    result = CheckResult()
    for job in workload.jobs:
        _check_job(result, job, journals.jobs.get(job.id, []), remote_losses.get(job.id, 0))
    for crawl in workload.crawls:
        _check_crawl(result, crawl, journals.crawls.get(crawl.id, []), journals.pages.get(crawl.id, []))
    for received, sent in (
        (journals.jobs, {job.id for job in workload.jobs}),
        (journals.crawls, {crawl.id for crawl in workload.crawls}),
    ):
        for id_ in received.keys() - sent:
            result.violation(f"{id_}: an envelope of something that was not sent")
    if result.undelivered > sum(given_up.values()):
        result.violation(
            f"{result.undelivered} pages are missing, but the remote gave up only {sum(given_up.values())} events"
        )
    return result


def _check_job(result: CheckResult, job: Job, entries: list[Entry], losses: int) -> None:
    name = f"{job.id} ({job.url})"
    if not entries:
        result.lost += 1
        result.violation(f"{name}: no envelope")
        return
    if len(entries) > 1:
        result.duplicates += len(entries) - 1
        result.violation(f"{name}: {len(entries)} envelopes: {entries}")
    entry = entries[0]
    result.statuses[entry["status"]] += 1
    if wrong := _find_wrong(job, entry, losses):
        result.wrong += 1
        result.violation(f"{name}: {wrong}: {entry}")
    if entry.get("submissions", 0) > 1 and not job.kind.resubmitted:
        result.resubmitted += 1
    if job.kind.resubmit > 0 and not job.kind.resubmitted:
        result.remote_losses += losses
    delay = _seconds(entry)
    if not job.kind.until_deadline and delay > result.longest:
        result.longest, result.longest_url = delay, job.url


def _find_wrong(job: Job, entry: Entry, losses: int) -> str:
    """What is wrong with a job's envelope; empty where nothing is."""
    kind = job.kind
    if entry["status"] not in kind.statuses or entry["in"] != job.arguments["queue"]:
        return f"is {entry['status']} in {entry['in']}, not {' or '.join(kind.statuses)} in {job.arguments['queue']}"
    if entry["url"] != job.url or entry.get("meta") != job.arguments["meta"]:
        return "has another job's url or meta"
    # A pushed result may arrive after the remote said that it lost it, before the job is submitted again.
    if entry["status"] == "finished" and losses and entry["submissions"] <= losses - job.pushed:
        return f"was lost {losses} times at the remote, but its envelope does not count another submission"
    if entry["status"] == "finished" and (entry.get("digest"), entry.get("statusCode")) != (job.digest, kind.code):
        return "has another body or status code"
    if entry["status"] in {"failed", "expired"} and not entry.get("failReason", "").startswith(kind.reason):
        return f"has another reason than `{kind.reason}`"
    return ""


def _check_crawl(result: CheckResult, crawl: Crawl, summaries: list[Entry], pages: list[Entry]) -> None:
    name = f"crawl {crawl.id} ({crawl.url})"
    if len(summaries) != 1:
        result.lost += not summaries
        result.duplicates += max(0, len(summaries) - 1)
        result.violation(f"{name}: {len(summaries)} summaries")
        return
    summary, digests = summaries[0], crawl.digests
    result.statuses[f"crawl {summary['status']}"] += 1
    result.pages += len(pages)
    times = Counter(page["url"] for page in pages)
    duplicates = {url: count for url, count in times.items() if count > 1}
    result.duplicates += sum(duplicates.values()) - len(duplicates)
    if duplicates:
        result.violation(f"{name}: pages more than once: {duplicates}")
    if wrong := [page["url"] for page in pages if page.get("digest") != digests.get(page["url"])]:
        result.wrong += len(wrong)
        result.violation(f"{name}: pages that differ from what was served: {wrong[:5]}")
    expected = ("cancelled", "finished") if crawl.kind.cancel else ("finished",)
    if summary["status"] not in expected:
        result.wrong += 1
        result.violation(f"{name}: {summary}")
    if summary["status"] != "finished":
        return
    missing = len(digests) - len(times)
    if missing != summary.get("missing") or missing < crawl.undelivered:
        result.lost += missing
        result.violation(f"{name}: {missing} pages are not there, {crawl.undelivered} should be missing: {summary}")
        return
    result.undelivered += missing - crawl.undelivered


def _seconds(entry: Entry) -> float:
    return (datetime.fromisoformat(entry["finishedAt"]) - datetime.fromisoformat(entry["submittedAt"])).total_seconds()

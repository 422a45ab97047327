"""The judgement: what was sent against what came. Pure; each fault is a sentence, none is good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.notebooks import Note, Notes
from tests.chaos.workload import Cargo, Crawl, Job


@dataclass
class Judgement:
    """`lost`, `doubled`: how many; `resubmitted`: jobs that the remote was asked for more than once though the dial
    asked for nothing; `losses`: how often a result was lost at the remote though it asked for nothing; `untold`: pages
    that the remote has given up to tell, and the crawl's envelope says so. Delays in seconds."""

    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    pages: int = 0
    untold: int = 0
    resubmitted: int = 0
    losses: int = 0
    longest: float = 0.0
    longest_url: str = ""

    def fault(self, words: str) -> None:
        """One more."""
        self.faults.append(words)


def judge(cargo: Cargo, notes: Notes, given_up: Mapping[str, int], losses: Mapping[str, int]) -> Judgement:
    """`given_up`: how many events of each remote's crawl the service has said that it gave up; `losses`: see
    `leftovers`.
    """
    judgement = Judgement()
    for job in cargo.jobs:
        _judge_job(judgement, job, notes.jobs.get(job.id, []), losses.get(job.id, 0))
    for crawl in cargo.crawls:
        _judge_crawl(judgement, crawl, notes.crawls.get(crawl.id, []), notes.pages.get(crawl.id, []))
    for strangers, known in (
        (notes.jobs, {job.id for job in cargo.jobs}),
        (notes.crawls, {crawl.id for crawl in cargo.crawls}),
    ):
        for id_ in strangers.keys() - known:
            judgement.fault(f"{id_}: an envelope of what nobody has sent")
    if judgement.untold > sum(given_up.values()):
        judgement.fault(
            f"{judgement.untold} pages are missing, but the remote has given up only {sum(given_up.values())} events"
        )
    return judgement


def _judge_job(judgement: Judgement, job: Job, notes: list[Note], losses: int) -> None:
    name = f"{job.id} ({job.url})"
    if not notes:
        judgement.lost += 1
        judgement.fault(f"{name}: no envelope")
        return
    if len(notes) > 1:
        judgement.doubled += len(notes) - 1
        judgement.fault(f"{name}: {len(notes)} envelopes: {notes}")
    note = notes[0]
    judgement.statuses[note["status"]] += 1
    if wrong := _wrong(job, note, losses):
        judgement.wrong += 1
        judgement.fault(f"{name}: {wrong}: {note}")
    if note.get("submissions", 0) > 1 and not job.kind.asked_again:
        judgement.resubmitted += 1
    if job.kind.resubmit > 0 and not job.kind.asked_again:
        judgement.losses += losses
    delay = _seconds(note)
    if not job.kind.late and delay > judgement.longest:
        judgement.longest, judgement.longest_url = delay, job.url


def _wrong(job: Job, note: Note, losses: int) -> str:
    kind = job.kind
    if note["status"] not in kind.statuses or note["in"] != job.arguments["queue"]:
        return f"is {note['status']} in {note['in']}, not {' or '.join(kind.statuses)} in {job.arguments['queue']}"
    if note["url"] != job.url or note.get("meta") != job.arguments["meta"]:
        return "has another job's url or meta"
    # A push may bring what was given up for lost, before it was submitted again.
    if note["status"] == "finished" and losses and note["submissions"] <= losses - job.pushed:
        return f"was lost {losses} times at the remote, and does not say that it was submitted again"
    if note["status"] == "finished" and (note.get("digest"), note.get("statusCode")) != (job.digest, kind.code):
        return "has another body or status code"
    if note["status"] in {"failed", "expired"} and not note.get("failReason", "").startswith(kind.reason):
        return f"has another reason than `{kind.reason}`"
    return ""


def _judge_crawl(judgement: Judgement, crawl: Crawl, ends: list[Note], pages: list[Note]) -> None:
    name = f"crawl {crawl.id} ({crawl.url})"
    if len(ends) != 1:
        judgement.lost += not ends
        judgement.doubled += max(0, len(ends) - 1)
        judgement.fault(f"{name}: {len(ends)} summaries")
        return
    end, digests = ends[0], crawl.digests
    judgement.statuses[f"crawl {end['status']}"] += 1
    judgement.pages += len(pages)
    times = Counter(page["url"] for page in pages)
    doubled = {url: count for url, count in times.items() if count > 1}
    judgement.doubled += sum(doubled.values()) - len(doubled)
    if doubled:
        judgement.fault(f"{name}: pages more than once: {doubled}")
    if wrong := [page["url"] for page in pages if page.get("digest") != digests.get(page["url"])]:
        judgement.wrong += len(wrong)
        judgement.fault(f"{name}: pages that are not what was served: {wrong[:5]}")
    wanted = ("cancelled", "finished") if crawl.site.cancel else ("finished",)
    if end["status"] not in wanted:
        judgement.wrong += 1
        judgement.fault(f"{name}: {end}")
    if end["status"] != "finished":
        return
    missing = len(digests) - len(times)
    if missing != end.get("missing") or missing < crawl.untold:
        judgement.lost += missing
        judgement.fault(f"{name}: {missing} pages are not there, {crawl.untold} should be missing: {end}")
        return
    judgement.untold += missing - crawl.untold


def _seconds(note: Note) -> float:
    return (datetime.fromisoformat(note["finishedAt"]) - datetime.fromisoformat(note["submittedAt"])).total_seconds()

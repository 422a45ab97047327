from longhaul.jobs.job import RECORDS, TRANSITIONS, Job, JobStep
from longhaul.ledger.due import Row
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.item import ENDS, State, lane


def test_every_state_is_in_the_table_and_only_ends_lead_nowhere():
    assert set(TRANSITIONS) == set(State)
    assert {state for state, after in TRANSITIONS.items() if not after} == ENDS
    assert all(TRANSITIONS[state] >= ENDS for state in set(State) - ENDS)


def test_a_lane_is_step_and_account():
    assert lane(JobStep.POLL, "my:account") == "poll:my:account"


def test_a_fresh_row_is_a_job_with_nothing_behind_it():
    fields = {"state": "queued", "lane": "send:my:account", "created": "5.000", "queue": "q", "resubmit": "3"}
    assert RECORDS.read(Row("a", fields, {"target": '{"url":"u"}', "options": ""})) == Job(
        id="a",
        state=State.QUEUED,
        fence=0,
        account="my:account",
        queue="q",
        request=ScrapeRequest("u"),
        meta=None,
        resubmit=3,
        created=5.0,
    )


def test_a_full_row_is_read_to_its_last_field():
    fields = {
        "state": "running",
        "lane": "poll:default",
        "created": "5.000",
        "queue": "q",
        "fence": "4",
        "tracked": "1",
        "callback": "https://us.test",
        "remote": "r1",
        "sent": "6.500",
        "polls": "7",
        "attempts": "8",
        "submissions": "2",
        "losses": "1",
        "cancel": "1",
    }
    options = '{"method":"POST","headers":{"A":"b"},"body":"x","api_params":{"render":true},"timeout_sec":9}'
    assert RECORDS.read(
        Row("a", fields, {"target": '{"url":"u","meta":{"m":1}}', "options": options}), pauses=3
    ) == Job(
        id="a",
        state=State.RUNNING,
        fence=4,
        account="default",
        queue="q",
        request=ScrapeRequest("u", "POST", {"A": "b"}, "x", {"render": True}, 9),
        meta={"m": 1},
        resubmit=1,
        created=5.0,
        tracked=True,
        callback="https://us.test",
        remote_id="r1",
        sent=6.5,
        polls=7,
        attempts=8,
        submissions=2,
        losses=1,
        cancelled=True,
        pauses=3,
    )


def test_a_job_that_is_submitted_again_has_no_remote_id_and_was_not_sent():
    fields = {"state": "queued", "lane": "send:default", "created": "5", "queue": "q", "remote": "", "sent": ""}
    job = RECORDS.read(Row("a", fields, {"target": '{"url":"u"}'}))
    assert (job.remote_id, job.sent) == (None, None)


def test_an_ended_row_can_be_read_without_its_request():
    job = RECORDS.read(
        Row("a", {"state": "finished", "lane": "", "created": "5", "queue": "q"}, {"target": "", "options": ""})
    )
    assert (job.state, job.account, job.request.url) == (State.FINISHED, "", "")

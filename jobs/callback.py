"""The addresses at which the remote may push results: unguessable, and made from the secret, so that none has to be stored. Pure."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from jobs.job import Job

USER = "longhaul"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """`secret` is LONGHAUL_WEBHOOK_SECRET. Basic auth in the URL is the only credential that the remote can send (contract: webhooks)."""

    secret: str

    def url(self, job: Job) -> str | None:
        """Where the remote is to push this job's result; None where the job is only polled."""
        if not job.callback:
            return None
        base = urlsplit(job.callback)
        netloc = f"{USER}:{self.password(job.id)}@{base.netloc.rpartition('@')[2]}"
        path = f"{base.path.rstrip('/')}/jobs/{quote(job.id, safe='')}/{self._digest('job', job.id)}"
        return urlunsplit((base.scheme, netloc, path, "", ""))

    def password(self, job_id: str) -> str:
        """The basic-auth password of one job's address: whoever learns it can push to no other."""
        return self._digest("password", job_id)

    def admits(self, job_id: str, token: str, password: str) -> bool:
        """Whether a push to this path with this password is the remote's; in constant time."""
        path = hmac.compare_digest(token.encode(), self._digest("job", job_id).encode())
        return hmac.compare_digest(password.encode(), self.password(job_id).encode()) and path

    def _digest(self, kind: str, subject: str) -> str:
        return hmac.new(self.secret.encode(), f"{kind}:{subject}".encode(), "sha256").hexdigest()[:32]

"""How long the machines run: the same ways every time for each commit, and many more, drawn anew, with `make slow`.

Hypothesis keeps no database: what it finds it prints as a program of rules, which is all that is needed to run it
again.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# Without the phase that explains, which traces every line.
PHASES = (Phase.generate, Phase.shrink)
# Other work on the machine makes an example slow, and says nothing about it.
CALM = tuple(HealthCheck)

EVERY_COMMIT = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=PHASES,
    suppress_health_check=CALM,
)
DEEPER = settings(
    max_examples=250,
    stateful_step_count=80,
    deadline=None,
    derandomize=False,
    database=None,
    phases=PHASES,
    suppress_health_check=CALM,
)

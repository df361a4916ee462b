"""A dataflow for a child process: the step `dedupe` as a lane has it, over a batch or two."""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource

from dataflows.dedupe import ring
from schemas.batch import EventBatch, event_of
from settings import Settings
from tests.event_builders import KICK_OFF, a_pass, as_read

_BATCHES = [
    (
        "000",
        EventBatch("broadcast-events", 0, [event_of(as_read(a_pass(f"p{number}")), number, b"")], number + 1),
    )
    for number in range(2)
]

flow = Dataflow("enrich")
op.output(
    "keep",
    op.stateful_batch(
        "dedupe",
        op.input("source", flow, TestingSource(_BATCHES)),
        ring(Settings().dedupe_window, lambda: KICK_OFF),
    ),
    TestingSink([]),
)

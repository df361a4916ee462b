"""The shape of the relay's dataflow."""

from datetime import UTC, datetime

from bytewax.testing import TestingSink, TestingSource, run_main

from dataflows.deliver import build
from dataflows.stream_looks import Look, ShardView
from schemas.identity import ZERO_CHAIN
from settings import Settings
from sinks.record_fit import KafkaRecord
from sinks.stream_repair import Fill, Task
from storage.relay_reads import Letter, LoggedRow, LogRun, Place, ShardState
from storage.streams import StreamName, StreamTop

CHAIN = bytes(range(16))
STEPS = {"look", "plan", "repair", "read_log", "shape", "produce", "read_letters", "copy", "send"}


def test_each_branch_leads_from_its_source_to_its_target() -> None:
    top = StreamTop(0, ZERO_CHAIN)
    state = ShardState(0, 1, Place(*top), Place(1, CHAIN), ZERO_CHAIN, 0)
    look = Look([ShardView(StreamName(0, 1), top, state, True)], False, None, {})
    run = LogRun(0, 1, [LoggedRow(1, CHAIN, "m", b"{}")])
    letter = Letter(1, "sensor-events", 0, 5, "empty", "", datetime.now(UTC), None, b"")
    tasks: list[Task] = []
    events: list[list[KafkaRecord]] = []
    letters: list[list[KafkaRecord]] = []

    flow = build(
        Settings(),
        (TestingSource([look]), TestingSink(tasks)),
        (TestingSource([run]), TestingSink(events)),
        (TestingSource([[letter]]), TestingSink(letters)),
    )
    run_main(flow)  # type: ignore[no-untyped-call]

    assert tasks == [Fill(StreamName(0, 1), Place(*top))]
    assert [record.topic for batch in events for record in batch] == ["live-events"]
    assert [record.topic for batch in letters for record in batch] == ["sensor-events-dlq"]
    assert {step.step_id.removeprefix("deliver.") for step in flow.substeps} == STEPS

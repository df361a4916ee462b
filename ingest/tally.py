"""Counts what became of each record that came in: nothing goes missing unsaid."""

from collections import Counter

from telemetry.metrics import counter, histogram_of_seconds

ACCEPTED = "accepted"  # acknowledged by Kafka as a good record
REFUSED = "refused"  # told to the caller of a push
FORWARDED = "forwarded"  # not good, acknowledged by Kafka as it came
THROTTLED = "throttled"  # told to the caller to send again later

_records = counter("ingest_records", "Records that came in, by source and what became of them.")
_acknowledged = histogram_of_seconds(
    "ingest_acknowledge_seconds", "From acceptance to Kafka's acknowledgement."
)


class Tally:
    """The counts of one process since its start."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, source: str, outcome: str, records: int) -> None:
        """Add some records of a source."""
        if records:
            self._counts[source, outcome] += records
            _records.add(records, {"source": source, "outcome": outcome})

    def acknowledged(self, source: str, seconds: float) -> None:
        """Note how long a batch took from acceptance to acknowledgement."""
        _acknowledged.record(seconds, {"source": source})

    def report(self) -> dict[str, dict[str, int]]:
        """Source -> outcome -> records."""
        report: dict[str, dict[str, int]] = {}
        for (source, outcome), records in sorted(self._counts.items()):
            report.setdefault(source, {})[outcome] = records
        return report

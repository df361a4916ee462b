"""Counters, gauges and histograms of OpenTelemetry; without an SDK in the process they cost next to nothing.

Names end in their unit: `sink_write_seconds`, `ingest_refused_records`.
"""

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, _Gauge

METER = "touchline"
# From one append (1 ms) to a fan's patience (10 s); the default buckets start at 5 s.
SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def counter(name: str, description: str) -> Counter:
    """A number that only grows; its unit is the last word of its name."""
    return metrics.get_meter(METER).create_counter(name, unit=_unit(name), description=description)


def gauge(name: str, description: str) -> _Gauge:
    """How many there are right now; its unit is the last word of its name."""
    return metrics.get_meter(METER).create_gauge(name, unit=_unit(name), description=description)


def histogram_of_seconds(name: str, description: str) -> Histogram:
    """How long something took."""
    return metrics.get_meter(METER).create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=SECONDS_BUCKETS
    )


def _unit(name: str) -> str:
    return "{" + name.rpartition("_")[2] + "}"

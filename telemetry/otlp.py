"""Push metrics as OTLP over HTTP, which Prometheus, an OpenTelemetry Collector and most vendors take.

What the protocol needs besides the address, such as a token in a header,
comes from OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_HEADERS`).
"""

import logging
import os
import socket
from datetime import timedelta
from typing import Any

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from telemetry.log import Log

NAMESPACE = "touchline"
LOST = "metrics.collector_lost"
BACK = "metrics.collector_back"

# A push that did not arrive is not made up for: the next one carries the same totals.
_GIVE_UP_SECONDS = 2.0

_log = Log("metrics")


def push(url: str, process: str, interval: timedelta) -> None:
    """Push all metrics of this process to `url` each `interval`, from a thread of its own."""
    # It would say two lines for each push that fails.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    reader = PeriodicExportingMetricReader(
        _Exporter(url),
        export_interval_millis=interval.total_seconds() * 1000,
        export_timeout_millis=_GIVE_UP_SECONDS * 1000,
    )
    resource = Resource.create(
        {
            "service.namespace": NAMESPACE,
            "service.name": process,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )
    metrics.set_meter_provider(MeterProvider([reader], resource, shutdown_on_exit=False))


class _Exporter(OTLPMetricExporter):
    """Logs when the collector goes away, and when it is back."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=_GIVE_UP_SECONDS)
        self._url = url
        self._is_lost = False

    def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
        result = super().export(*arguments, **options)
        is_lost = result is not MetricExportResult.SUCCESS
        if is_lost and not self._is_lost:
            _log.warning(LOST, url=self._url)
        elif self._is_lost and not is_lost:
            _log.info(BACK, url=self._url)
        self._is_lost = is_lost
        return result

"""What an operator's collector takes: metrics pushed as OTLP over HTTP, kept by process and name."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


class MetricsCollector(ThreadingHTTPServer):
    """Listens while it is entered; `value` reads the newest push."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Push)
        self._values: dict[tuple[str, str], dict[str, float]] = {}  # process, metric -> attributes -> value
        self.refuses = False
        self.refused = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/metrics"

    def value(self, process: str, metric: str, attributes: str = "") -> float | None:
        """What a process last said of a metric; `attributes` as `name=value`."""
        return self._values.get((process, metric), {}).get(attributes)

    def forget(self) -> None:
        self._values.clear()

    def take(self, pushed: ExportMetricsServiceRequest) -> None:
        for part in pushed.resource_metrics:
            about = {each.key: each.value.string_value for each in part.resource.attributes}
            for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
                self._values[about["service.name"], metric.name] = {
                    ",".join(f"{each.key}={each.value.string_value}" for each in point.attributes): (
                        point.as_int if point.HasField("as_int") else point.as_double
                    )
                    for point in (*metric.sum.data_points, *metric.gauge.data_points)
                }

    def __enter__(self) -> "MetricsCollector":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Push(BaseHTTPRequestHandler):
    server: MetricsCollector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.refuses:
            self.server.refused += 1
        else:
            self.server.take(ExportMetricsServiceRequest.FromString(body))
        self.send_response(401 if self.server.refuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...

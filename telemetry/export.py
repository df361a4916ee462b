"""Whether a process pushes its metrics, and how often."""

from datetime import timedelta

from settings import Settings


def export_metrics(settings: Settings, process: str, at_most_every: timedelta | None = None) -> None:
    """Push what the process counts from now on, if the settings say where; for composition roots, once.

    `at_most_every` pushes sooner than the settings ask for. A process that ends
    does not wait for whoever collects: its last interval may be missing.
    """
    if not settings.metrics_url:
        return
    # Only here, as it adds 0.3 s to the start of a process.
    from telemetry.otlp import push

    push(settings.metrics_url, process, min(settings.metrics_interval, at_most_every or timedelta.max))

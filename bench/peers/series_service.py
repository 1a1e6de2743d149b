"""prometheus_client with the series of a file in Prometheus' text format, behind the HTTP server that it brings.

Takes a port and the file. Of the families it takes those of the lab."""

import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.parser import text_string_to_metric_families

PREFIXES = ("ai_", "appointments_", "human_")
BUCKETS = [0.1, 0.5, 1, 2, 5, 10]


def load(registry, family):
    """Makes a metric with the series of a family."""
    if family.type == "histogram":
        histogram = Histogram(family.name, family.documentation, buckets=BUCKETS, registry=registry)
        for bucket in BUCKETS:
            histogram.observe(bucket)
        return
    kind = {"counter": Counter, "gauge": Gauge}[family.type]
    metric = kind(family.name, family.documentation, list(family.samples[0].labels), registry=registry)
    for sample in family.samples:
        child = metric.labels(**sample.labels) if sample.labels else metric
        (child.inc if kind is Counter else child.set)(sample.value)


def main():
    port, file = sys.argv[1:]
    disable_created_metrics()
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(Path(file).read_text()):
        if family.name.startswith(PREFIXES):
            load(registry, family)
    start_http_server(int(port), "127.0.0.1", registry)
    threading.Event().wait()


if __name__ == "__main__":
    main()

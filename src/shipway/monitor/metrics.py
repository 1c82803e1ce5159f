"""Metrics of a server, under Prometheus' conventions and the one prefix `shipway_`; the same names wherever it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from shipway.monitor.access import AccessRecord
from shipway.spec.reference import BundleId

__all__ = ["METRICS_CONTENT_TYPE", "Metrics"]

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
# From what a compiled linear model takes to the default time limit.
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one server, in a registry of its own.

    Attributes:
        inflight: requests being answered; whoever answers one adds to it.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ("model", "version", "method", "protocol")

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"shipway_{name}", text, labels, registry=self._registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"shipway_{name}", text, labels, registry=self._registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"shipway_{name}_seconds", text, labels, registry=self._registry, buckets=_SECONDS)

        self._requests = counter("requests_total", "Requests answered.", *names, "code")
        self._duration = histogram("request_duration", "Time from request to answer.", *names)
        self._queue = histogram("queue_duration", "Time that requests waited for the model.", "model", "version")
        self._predict = histogram("predict_duration", "Time that the model took.", "model", "version", "method")
        self._rejected = counter("rejected_total", "Requests refused, by reason.", "reason")
        self._depth = gauge("queue_depth", "Requests that wait for the model.", "model", "version")
        # Counted as a plain number and read when asked for: two calls less for each request.
        self.inflight = 0
        gauge("inflight", "Requests being answered.").set_function(lambda: self.inflight)
        self._loaded = gauge("model_loaded", "1 for each model that is served.", "model", "version", "digest")
        self._golden = gauge("golden_rows", "Golden rows replayed on loading, by result.", "model", "version", "result")
        self._threads_lost = gauge("app_threads_lost", "Threads of the app whose call is past its time.")
        # Looking a label set up costs more than counting: each is looked up once.
        self._request_children = functools.lru_cache(maxsize=1024)(self._make_request_children)
        self._model_children = functools.lru_cache(maxsize=1024)(self._make_model_children)

    def request(self, seen: AccessRecord) -> None:
        """Counts one answered request."""
        requests, duration = self._request_children(seen.model, seen.version, seen.method, seen.protocol, seen.status)
        requests.inc()
        duration.observe(seen.seconds)

    def predicted(self, bundle: BundleId, method: str, seconds: float) -> None:
        """Records how long the model took for one call."""
        self._model_children(bundle, method)[1].observe(seconds)

    def queued(self, bundle: BundleId, method: str, seconds: float) -> None:
        """Records how long one call waited for the model."""
        self._model_children(bundle, method)[0].observe(seconds)

    def rejected(self, reason: str) -> None:
        """Counts one refused request."""
        self._rejected.labels(reason).inc()

    def queue_depth(self, bundle: BundleId, depth: int) -> None:
        """Sets how many requests wait for a model."""
        self._depth.labels(bundle.name, str(bundle.version)).set(depth)

    def loaded(self, bundle: BundleId, golden_rows: int) -> None:
        """Notes that a model is served, and how many golden rows it gave the recorded answers to.

        A server with a wrong one does not serve, so none is ever wrong. It is told nevertheless: whoever judges the
        server by what it says need not know that.
        """
        self._loaded.labels(bundle.name, str(bundle.version), bundle.digest).set(1)
        self._golden.labels(bundle.name, str(bundle.version), "right").set(golden_rows)
        self._golden.labels(bundle.name, str(bundle.version), "wrong").set(0)

    def threads_lost(self, count: Callable[[], int]) -> None:
        """Tells from now on how many threads of an app hang; `count` is asked for each exposition."""
        self._threads_lost.set_function(count)

    def exposition(self) -> bytes:
        """Gives the text that Prometheus reads (exposition format 0.0.4)."""
        return generate_latest(self._registry)

    def _make_request_children(
        self, model: str, version: str, method: str, protocol: str, code: int
    ) -> tuple[Counter, Histogram]:
        labels = (model, version, method, protocol)
        return self._requests.labels(*labels, str(code)), self._duration.labels(*labels)

    def _make_model_children(self, bundle: BundleId, method: str) -> tuple[Histogram, Histogram]:
        labels = (bundle.name, str(bundle.version))
        return self._queue.labels(*labels), self._predict.labels(*labels, method)

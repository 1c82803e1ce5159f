from __future__ import annotations

import pytest

from shipway.monitor.access import AccessRecord
from shipway.serving.http.access import without_probes


def record(path: str, status: int = 200, model: str = "") -> AccessRecord:
    return AccessRecord("127.0.0.1", "GET", path, status, 0.001, "id", "plain", model, "", "", 0, "")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health/ready", "/v2/health/live", "/metrics"])
def test_those_who_only_look_are_not_in_the_log(path: str) -> None:
    told: list[AccessRecord] = []
    log = without_probes(told.append)
    log(record(path))
    log(record(path, 503))
    assert told == []


@pytest.mark.parametrize(
    "told", [record("/"), record("/metrics", 401), record("/readyz", 500), record("/metrics", model="my-app")]
)
def test_callers_refusals_and_an_apps_own_answers_are(told: AccessRecord) -> None:
    seen: list[AccessRecord] = []
    without_probes(seen.append)(told)
    assert seen == [told]

"""A sample that was refused is told with what the app takes; an answer that is none is left alone."""

from __future__ import annotations

import pytest

from shipway.apps.review.finding import Finding
from shipway.apps.review.sample import check_sample
from shipway.apps.routes import Route
from shipway.spec.app import SampleRequest

ROUTES = (
    Route("/items/{number}", ("GET", "HEAD"), "app.py", 3),
    Route("/files/{name:path}", ("GET",), "app.py", 6),
    Route("/predict", ("POST", "PUT"), "app.py", 9),
    Route("/old/<path:name>", (), "app.py", 12),  # as Django's, whose methods are not said
)


def found(
    path: str, status: int, method: str = "GET", body: str = "", routes: tuple[Route, ...] = ROUTES
) -> list[Finding]:
    return list(check_sample(SampleRequest(method, path, {}, "", status), body, routes, "request.json"))


@pytest.mark.parametrize("status", [200, 204, 302, 500])
def test_other_answers_are_left_alone(status: int) -> None:
    assert found("/predict", status) == []


@pytest.mark.parametrize(
    ("path", "route"),
    [("/items/7?a=b", "/items/{number}"), ("/files/a/b", "/files/{name:path}"), ("/old/a/b", "/old/<path:name>")],
)
def test_a_path_of_a_route_is_known(path: str, route: str) -> None:
    (one,) = found(path, 404, body="none  such\n")
    assert one.what.endswith(f"with 404 by the route {route} ({next(r for r in ROUTES if r.path == route).file}:"
                             f"{next(r for r in ROUTES if r.path == route).line}): none such")  # fmt: skip


def test_a_path_that_no_route_has_is_told_with_the_likeliest() -> None:
    (one,) = found("/predicts", 404, "POST")
    assert (
        "404: the app has GET /items/{number}, GET /files/{name:path}, POST/PUT /predict, /old/<path:name>" in one.what
    )
    assert one.fix == 'write "path": "/predict" into the sample'
    assert found("/items/a/b", 404)[0].fix == 'write "path": "/items/{number}" into the sample'


def test_the_methods_of_the_path_are_told() -> None:
    (one,) = found("/predict", 405)
    assert one.what == "GET /predict is answered with 405: the app answers POST and PUT there"
    assert found("/old/x", 405, body="no")[0].what.endswith("with 405: no")


def test_long_lists_and_long_answers_are_cut() -> None:
    many = tuple(Route(f"/{number}", ("GET",), "app.py", number) for number in range(20))
    assert found("/x", 404, routes=many)[0].what.endswith("GET /4 and 15 more")
    assert len(found("/predict", 422, body="x" * 900)[0].what) < 300
    assert found("/x", 404, routes=())[0].what == "GET /x is answered with 404"

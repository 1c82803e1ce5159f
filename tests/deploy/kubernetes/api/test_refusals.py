"""Each answer was given by the API server of a 1.36.2 node, made on purpose (`answers/`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.api.refusals import (
    AlreadyThere,
    Asked,
    Expired,
    FieldConflict,
    Gone,
    read_refusal,
    refuse,
)
from shipway.errors import Contested, NotAllowed, ShipwayError, TargetError, UsageError

ANSWERS = Path(__file__).parents[1] / "answers"


def answer(name: str) -> bytes:
    return next(ANSWERS.glob(f"status-{name}.*")).read_bytes()


def asked(verb: str = "patch", kind: str = "Deployment", name: str = "d", subresource: str = "") -> Asked:
    return Asked(verb, KINDS[kind], name, "models", "dev", subresource)


CASES: list[tuple[int, str, Asked, type[ShipwayError], str, str]] = [
    (409, "field-conflict", asked(kind="ConfigMap"), FieldConflict, "data.k belongs to kubectl-client-side", "--force"),
    (409, "already-exists", asked("create"), AlreadyThere, "Deployment d exists already in namespace models", ""),
    (409, "modified", asked(), Contested, "was changed in the meantime", "try again"),
    (409, "uid", asked("delete"), Contested, "UID in the precondition", "try again"),
    (
        403,
        "forbidden",
        asked("list", name=""),
        NotAllowed,
        "kim may not list deployments in namespace models",
        "--rbac",
    ),
    (403, "pod-security", asked("create", "Pod"), TargetError, "allowPrivilegeEscalation != false", "administers"),
    (403, "quota", asked("create", "Service"), TargetError, "over the quota", "describe resourcequota"),
    (403, "terminating", asked(), TargetError, "namespace models of context dev is being deleted", "wait until"),
    (401, "unauthorized", asked(), NotAllowed, "does not accept the credentials", "auth whoami"),
    (404, "not-found", asked("get"), Gone, "no Deployment d in namespace models", ""),
    (404, "no-namespace", asked(), Gone, "no namespace models in context dev", "kubectl create namespace models"),
    (404, "no-kind", asked(kind="ServiceMonitor"), Gone, "no ServiceMonitor of monitoring.coreos.com/v1", "install"),
    (404, "no-kind", asked(), TargetError, "answers 404", "cluster-info"),
    (410, "page-expired", asked("list"), Expired, "no longer keeps", ""),
    (422, "invalid", asked(), UsageError, "imagePullPolicy: Unsupported value", "mend"),
    (422, "immutable", asked(), UsageError, "field is immutable", "delete deployment d, or release under another"),
    (400, "strict", asked("create"), UsageError, "unknown field", "mend"),
    (415, "media-type", asked(), UsageError, "Unsupported Media Type", "mend"),
    (500, "unknown-field", asked(), UsageError, "field not declared in schema", "mend"),
]


@pytest.mark.parametrize(("code", "name", "asked", "kind", "message", "fix"), CASES)
def test_each_refusal_says_what_is_wrong_and_what_mends_it(
    code: int, name: str, asked: Asked, kind: type[ShipwayError], message: str, fix: str
) -> None:
    error = refuse(read_refusal(code, answer(name)), asked)
    assert type(error) is kind
    assert message in error.message
    assert fix in error.fix
    assert bool(error.fix) or not fix
    assert not error.message.endswith(".")


def test_a_conflict_with_ourselves_names_us_as_the_owner() -> None:
    error = refuse(read_refusal(409, answer("own-conflict")), asked())
    assert isinstance(error, FieldConflict)
    assert error.owners == {"shipway"}


@pytest.mark.parametrize("verb", ["get", "create"])
def test_a_right_is_named_with_its_subresource(verb: str) -> None:
    body = b'{"kind":"Status","reason":"Forbidden","message":"x is forbidden: User \\"kim\\" cannot get resource"}'
    error = refuse(read_refusal(403, body), asked(verb, "Pod", "p", "log"))
    assert f"kim may not {verb} pods/log in namespace models of context dev" in str(error)


def test_a_kind_without_namespace_is_not_placed_in_one() -> None:
    body = b'{"kind":"Status","reason":"Forbidden","message":"x is forbidden: User \\"kim\\" cannot get resource"}'
    assert "may not get nodes in context dev" in str(
        refuse(read_refusal(403, body), Asked("get", KINDS["Node"], "n", "models", "dev"))
    )


def test_what_a_pod_answers_is_not_taken_for_the_cluster_s_answer() -> None:
    for code in (401, 403, 404, 503):
        error = refuse(read_refusal(code, b"no such page"), asked("get", "Pod", "p", "proxy"))
        assert type(error) is TargetError
        assert f"Pod p in namespace models of context dev answers {code}: no such page" in error.message


def test_a_page_of_something_else_is_said_to_be_no_cluster() -> None:
    for code in (302, 400, 403, 404, 502):
        error = refuse(read_refusal(code, b"<html>sign in</html>"), asked())
        assert type(error) is TargetError
        assert "cluster-info" in error.fix


def test_a_failing_webhook_is_said_to_be_the_cluster_s_own() -> None:
    body = b'{"kind":"Status","reason":"InternalError","message":"failed calling webhook \\"a.b\\"","code":500}'
    assert "admission checks" in refuse(read_refusal(500, body), asked()).fix


def test_waiting_times_are_read_from_header_and_body() -> None:
    body = b'{"kind":"Status","details":{"retryAfterSeconds":3}}'
    assert read_refusal(429, body).retry_after == 3
    assert read_refusal(429, body, {"retry-after": "7"}).retry_after == 7
    for header in ("Wed, 21 Oct 2026 07:28:00 GMT", "-5", "nan", ""):
        assert read_refusal(429, b"", {"retry-after": header}).retry_after == 0


def test_many_causes_are_cut_and_counted() -> None:
    causes = ",".join(f'{{"reason":"x","field":"f{number}","message":"m"}}' for number in range(9))
    body = f'{{"kind":"Status","reason":"Invalid","message":"m","details":{{"causes":[{causes}]}}}}'.encode()
    message = refuse(read_refusal(422, body), asked()).message
    assert "f4: m, and 4 more" in message
    assert "f5" not in message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "reason", "message", "details", "causes", "field", "code"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(code=st.integers(300, 599), status=_JSON, noise=st.binary(max_size=30))
def test_no_answer_gives_anything_but_an_error_of_ours(code: int, status: object, noise: bytes) -> None:
    import msgspec

    bodies = [noise]
    if isinstance(status, dict):
        bodies.append(msgspec.json.encode({**status, "kind": "Status"}))
    for body in bodies:
        error = refuse(read_refusal(code, body), asked())
        assert isinstance(error, TargetError | UsageError)
        assert error.message.isprintable()

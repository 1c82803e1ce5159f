"""Amounts: Kubernetes' grammar, and what a cluster refuses of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.releases import RELEASE, Case, Object, rendered
from shipway.deploy.kubernetes.objects.resources import parse_quantity
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.settings import Kubernetes


def server(options: Kubernetes, contract: Contract = RELEASE.contract) -> Object:
    case = Case(replace(RELEASE, contract=contract), options)
    (found,) = rendered(case)["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+1", 1),
        ("500m", Fraction(1, 2)),
        ("1u", Fraction(1, 10**6)),
        ("1n", Fraction(1, 10**9)),
        ("64Mi", 64 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1k", 1000),
        ("12E", 12 * 10**18 if 12 * 10**18 < 2**63 else None),
        ("12E6", 12_000_000),
        ("1e3", 1000),
        ("1E-3", Fraction(1, 1000)),
        ("1Ei", 2**60),
    ],
)
def test_amounts_mean_what_kubernetes_takes_them_for(text: str, amount: Fraction | int | None) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text",
    ["", " ", "1 ", "1K", "1ki", "1mi", "1MB", "Mi", ".", "1..2", "-1", "1e", "1e3Mi", "1,5", "½", "٣", "1\n", "9" * 40,
     "1e99", "10Ei", "0x10", "1_0", "inf", "nan"],
)  # fmt: skip
def test_what_is_no_amount_is_none(text: str) -> None:
    assert parse_quantity(text) is None


@given(number=st.integers(0, 10**6), unit=st.sampled_from(["", "m", "k", "Ki", "Mi", "Gi"]))
def test_units_only_ever_multiply(number: int, unit: str) -> None:
    one, many = parse_quantity(f"1{unit}"), parse_quantity(f"{number}{unit}")
    assert one is not None
    assert many == number * one


def test_the_contract_says_what_is_needed_where_nothing_else_does() -> None:
    assert server(Kubernetes(), Contract(cpu_millis=250, memory_mib=300, memory_limit_mib=900))["resources"] == {
        "requests": {"cpu": "250m", "memory": "300Mi"},
        "limits": {"memory": "900Mi"},
    }


def test_amounts_are_written_as_they_were_given() -> None:
    options = Kubernetes(cpu="0.5", memory="1.5Gi", cpu_limit="1e1", memory_limit="2147483648")
    assert server(options)["resources"] == {
        "requests": {"cpu": "0.5", "memory": "1.5Gi"},
        "limits": {"cpu": "1e1", "memory": "2147483648"},
    }


def test_more_memory_asked_for_than_the_contract_allows_is_the_limit_too() -> None:
    limits = server(Kubernetes(memory="2Gi"), Contract(memory_limit_mib=512))["resources"]["limits"]
    assert limits == {"memory": "2Gi"}


@pytest.mark.parametrize(
    ("options", "resource"),
    [(Kubernetes(), "requests.cpu"), (Kubernetes(cpu="2"), "requests.cpu"), (Kubernetes(cpu_limit="2"), "limits.cpu")],
)
def test_threads_follow_the_limit_or_else_the_request(options: Kubernetes, resource: str) -> None:
    (threads,) = (entry for entry in server(options)["env"] if entry["name"] == "OMP_NUM_THREADS")
    assert threads["valueFrom"]["resourceFieldRef"] == {"resource": resource, "divisor": "1"}


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        (Kubernetes(cpu="a"), "--cpu 500m"),
        (Kubernetes(cpu="0"), "--cpu 500m"),
        (Kubernetes(cpu_limit="0.0001"), "--cpu-limit 500m"),
        (Kubernetes(memory="400m"), "--memory 400Mi"),
        (Kubernetes(memory="1GB"), "--memory 512Mi"),
        (Kubernetes(memory_limit="0.1"), "--memory-limit 512Mi"),
        (Kubernetes(memory="2Gi", memory_limit="1Gi"), "--memory-limit"),
        (Kubernetes(memory_limit="1Mi"), "--memory-limit"),
        (Kubernetes(cpu="2", cpu_limit="1"), "--cpu-limit"),
        (Kubernetes(cpu_limit="10m"), "--cpu-limit"),
    ],
)
def test_what_a_cluster_would_refuse_is_refused_with_the_flag(options: Kubernetes, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        server(options)
    assert fix in caught.value.fix

"""Names, labels and hosts that a cluster would refuse are refused first, with the flag and the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.deploy.kubernetes.objects.checks import check, is_host, is_label_key, is_label_value, is_subdomain
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.settings import Kubernetes


@pytest.mark.parametrize(
    ("options", "flag", "key"),
    [
        (Kubernetes(namespace="Models"), "--namespace", "namespace"),
        (Kubernetes(namespace="a.b"), "--namespace", "namespace"),
        (Kubernetes(namespace="a" * 64), "--namespace", "namespace"),
        (Kubernetes(keys="API"), "--keys", "keys"),
        (Kubernetes(keys="api_keys.txt"), "--keys", "keys"),
        (Kubernetes(keys="a" * 254), "--keys", "keys"),
        (Kubernetes(pull_secret="a/b"), "--pull-secret", "pull_secret"),
        (Kubernetes(ingress="http://a.example"), "--ingress", "ingress"),
        (Kubernetes(ingress="a.example/x"), "--ingress", "ingress"),
        (Kubernetes(ingress="A.example"), "--ingress", "ingress"),
        (Kubernetes(ingress="10.0.0.1"), "--ingress", "ingress"),
        (Kubernetes(ingress=f"{'a' * 64}.example"), "--ingress", "ingress"),
        (Kubernetes(ingress="a.example", ingress_class="Nginx"), "--ingress-class", "ingress_class"),
        (Kubernetes(ingress="a.example", ingress_tls="a b"), "--ingress-tls", "ingress_tls"),
        (Kubernetes(ingress_tls="a"), "--ingress", "ingress"),
        (Kubernetes(allow_from=("shop", "")), "--allow-from", "allow_from"),
        (Kubernetes(allow_from=("Shop",)), "--allow-from", "allow_from"),
        (Kubernetes(monitor_labels=("release",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(monitor_labels=("=a",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(monitor_labels=("a/b/c=d",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(monitor_labels=(f"a={'b' * 64}",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(monitor_labels=("app.kubernetes.io/instance=x",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(monitor_labels=("io.shipway/track=x",)), "--monitor-label", "monitor_labels"),
        (Kubernetes(gpu_resource=""), "--gpu-resource", "gpu_resource"),
        (Kubernetes(gpu_resource="gpu"), "--gpu-resource", "gpu_resource"),
        (Kubernetes(gpu_resource="nvidia.com/"), "--gpu-resource", "gpu_resource"),
        (Kubernetes(gpu_resource="kubernetes.io/gpu"), "--gpu-resource", "gpu_resource"),
        (Kubernetes(gpu_resource="x.kubernetes.io/gpu"), "--gpu-resource", "gpu_resource"),
        (Kubernetes(replicas=3, max_replicas=2), "--max-replicas 3", "max_replicas"),
        (Kubernetes(replicas=0, max_replicas=2), "--replicas", ""),
    ],
)
def test_what_a_cluster_would_refuse_is_refused_with_flag_and_key(options: Kubernetes, flag: str, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(options, Contract())
    assert flag in caught.value.fix
    assert not key or f"deploy.kubernetes.{key}" in caught.value.fix


@pytest.mark.parametrize(
    "options",
    [
        Kubernetes(),
        Kubernetes(namespace="0" * 63, keys="a.b-c.d", ingress="*.a.example", ingress_tls="a.b"),
        Kubernetes(monitor_labels=("x.example/Y_z=A.b", "a="), gpu_resource="nvidia.com/mig-1g.5gb"),
        Kubernetes(ingress="localhost", replicas=0, allow_from=("a", "b")),
    ],
)
def test_what_a_cluster_takes_passes(options: Kubernetes) -> None:
    check(options, Contract())


@given(text=st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9._/*-]{0,20}", fullmatch=True))
def test_whatever_passes_is_made_of_harmless_characters(text: str) -> None:
    for holds in (is_host, is_label_key, is_label_value, is_subdomain):
        if holds(text):
            assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/*")

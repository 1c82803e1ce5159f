from __future__ import annotations

from typing import Any

import pytest

from shipway.deploy.kubernetes.health.address import address_of, node_port


def service(kind: str = "ClusterIP", port: int = 80, *, ways: list[dict[str, str]] | None = None, **more: Any) -> Any:
    ports = [{"port": port, **more}]
    return {
        "kind": "Service",
        "spec": {"type": kind, "ports": ports},
        "status": {"loadBalancer": {"ingress": ways} if ways else {}},
    }


def ingress(host: str = "m.example", **spec: Any) -> Any:
    return {"kind": "Ingress", "spec": {"rules": [{"host": host}] if host else [{}], **spec}}


@pytest.mark.parametrize(
    ("objects", "address"),
    [
        ([], ""),
        ([service()], "kubectl --namespace ns port-forward service/m 8000:80"),
        ([service(port=81)], "kubectl --namespace ns port-forward service/m 8000:81"),
        ([service("LoadBalancer")], "kubectl --namespace ns port-forward service/m 8000:80"),
        ([service("LoadBalancer", ways=[{"ip": "192.0.2.1"}])], "http://192.0.2.1/"),
        ([service("LoadBalancer", 8080, ways=[{"hostname": "lb.example"}])], "http://lb.example:8080/"),
        ([service("LoadBalancer", ways=[{"ip": "2001:db8::1"}])], "http://[2001:db8::1]/"),
        ([service(), ingress()], "http://m.example/"),
        ([service(), ingress(tls=[{"hosts": ["m.example"]}])], "https://m.example/"),
        ([service(), ingress(host="")], "kubectl --namespace ns port-forward service/m 8000:80"),
    ],
)
def test_an_address_is_a_url_where_there_is_one_and_else_a_command(objects: list[Any], address: str) -> None:
    assert address_of("m", "ns", objects) == address


def test_the_port_of_every_node_is_said_where_one_is_meant() -> None:
    assert node_port([service("NodePort", nodePort=30080)]) == ("every node answers on port 30080",)
    assert node_port([service("LoadBalancer", nodePort=30080)]) == ()
    assert node_port([service()]) == node_port([]) == ()

"""How callers reach a release. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from shipway.deploy.kubernetes.api.kinds import Object

__all__ = ["address_of", "node_port"]


def address_of(name: str, namespace: str, objects: Iterable[Object]) -> str:
    """Gives the URL from outside the cluster where there is one, else the command that opens one.

    Args:
        name: of the release.
        namespace: in which it is.
        objects: of the release, as the cluster has them.
    """
    found = {thing["kind"]: thing for thing in objects if thing["kind"] in {"Service", "Ingress"}}
    for rule in found.get("Ingress", {}).get("spec", {}).get("rules") or ():
        if rule.get("host"):
            scheme = "https" if found["Ingress"]["spec"].get("tls") else "http"
            return f"{scheme}://{rule['host']}/"
    service = found.get("Service")
    if service is None:
        return ""
    for way in (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or ():
        host = way.get("hostname") or way.get("ip")
        if host:
            return f"http://{f'[{host}]' if ':' in host else host}{_port(service)}/"
    port = next((each.get("port") for each in service["spec"].get("ports") or ()), 80)
    return f"kubectl --namespace {namespace} port-forward service/{name} 8000:{port}"


def node_port(objects: Iterable[Object]) -> tuple[str, ...]:
    """Says on which port every node answers, where one does."""
    service: Object = next((thing for thing in objects if thing["kind"] == "Service"), {"spec": {}})
    ports = service["spec"].get("ports") or ()
    port = next((each["nodePort"] for each in ports if each.get("nodePort")), None)
    return (f"every node answers on port {port}",) if port and service["spec"].get("type") == "NodePort" else ()


def _port(service: Object) -> str:
    port = next((each.get("port") for each in service["spec"].get("ports") or ()), 80)
    return "" if port == 80 else f":{port}"

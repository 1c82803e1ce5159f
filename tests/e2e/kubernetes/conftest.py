"""A real cluster: that of `KUBECONFIG`; without one these tests are skipped.

`SHIPWAY_E2E_REGISTRY=HOST:PORT` names a registry that this machine and the cluster's nodes reach; with `http://` in
front one without TLS. Without it Debian's docker-registry is run on this machine's loopback, which does for a node that
shares it. `SHIPWAY_BUILD__BASE` names the base of the images; without it one is made with mmdebstrap.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.kubernetes.figures import FIGURES, lines
from e2e.kubernetes.user import NAME, Models, User, wait
from e2e.registry_program import running_registry
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.store import Store
from shipway.deploy.kubernetes.api.access import Access
from shipway.deploy.kubernetes.api.cluster import Cluster
from shipway.deploy.kubernetes.api.credentials import read_pem
from shipway.deploy.kubernetes.api.kinds import KINDS
from shipway.deploy.kubernetes.api.kubeconfig import read_access
from shipway.deploy.kubernetes.objects.rbac import ACCOUNT, rbac
from shipway.deploy.yaml import plain
from shipway.errors import ShipwayError
from shipway.spec.settings import Kubernetes


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("measured on the cluster")
        for line in lines(config.stash[FIGURES]):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def access() -> Access:
    """How the cluster is reached, and as whom."""
    files = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if not files:
        pytest.skip("needs a cluster: KUBECONFIG")
    access = read_access(files, context=None, namespace=None, environ=os.environ)
    try:
        with Cluster.open(access) as cluster:
            cluster.version()
    except ShipwayError as error:
        pytest.skip(f"needs a cluster: {error.message}")
    return access


@contextmanager
def own_namespace(access: Access) -> Iterator[str]:
    """Makes a namespace for a block, and deletes it."""
    name = f"shipway-{uuid.uuid4().hex[:8]}"
    with Cluster.open(replace(access, namespace=name)) as cluster:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            yield name
        finally:
            cluster.delete(KINDS["Namespace"], name)


@pytest.fixture
def namespace(access: Access) -> Iterator[str]:
    """A namespace of the test's own."""
    with own_namespace(access) as name:
        yield name


@pytest.fixture(scope="session")
def models(
    request: pytest.FixtureRequest, access: Access, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Models]:
    """Two versions of a linear regression, built and pushed by Shipway itself, and found to be pulled by the nodes."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression, Ridge

    base = os.environ.get("SHIPWAY_BUILD__BASE", "")
    if not base:
        if shutil.which("mmdebstrap") is None:
            pytest.skip("needs a base: SHIPWAY_BUILD__BASE, or apt-get install mmdebstrap")
        base = f"oci:{request.getfixturevalue('base_folder')}:base"
    folder = tmp_path_factory.mktemp("models")
    data = load_diabetes(as_frame=True)
    sample = {str(name): data.data[name].to_numpy() for name in data.data.columns}
    store, answers = Store.at(folder / "store"), dict[str, float]()
    for model in (LinearRegression(), Ridge()):
        packed = pack(PackRequest(model.fit(data.data, data.target), NAME, sample), store)
        answers[str(packed.bundle.id)] = float(model.predict(data.data.iloc[:1])[0])
    with ExitStack() as stack:
        given = os.environ.get("SHIPWAY_E2E_REGISTRY", "")
        if not given and shutil.which("docker-registry") is None:
            pytest.skip("needs a registry: SHIPWAY_E2E_REGISTRY, or apt-get install docker-registry")
        host = given or stack.enter_context(running_registry(folder / "registry"))
        flags = ("--insecure",) if host.startswith("http://") else ()
        repository = f"{host.removeprefix('http://')}/shipway-e2e/{NAME}"
        images = tuple(_build(store, version, base, repository, flags) for version in (1, 2))
        _require_pull(access, images[0])
        row = tuple(float(cell) for cell in data.data.iloc[0])
        yield Models(folder / "store", (images[0], images[1]), repository, flags, row, answers)


def _build(store: Store, version: int, base: str, repository: str, flags: tuple[str, ...]) -> str:
    """Builds and pushes one version; gives its image by digest."""
    command = [sys.executable, "-m", "shipway", "build", f"{NAME}:{version}", "--tag", f"{repository}:{version}"]
    environ = {**os.environ, "SHIPWAY_STORE": str(store.layout.path), "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, "--base", base, "--push", "--json", *flags],
        env=environ, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reference: str = json.loads(done.stdout)["pushed"]["reference"]
    return reference


def _require_pull(access: Access, image: str) -> None:
    """Skips where the nodes cannot pull an image."""
    container = {"name": "server", "image": image, "command": ["/usr/bin/python3", "-c", ""]}
    pod = {"metadata": {"name": "pull"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    with own_namespace(access) as name, Cluster.open(replace(access, namespace=name)) as cluster:
        wait(lambda: cluster.get(KINDS["ServiceAccount"], "default"))
        cluster.create({"apiVersion": "v1", "kind": "Pod", **pod})
        end = time.monotonic() + 120
        while time.monotonic() < end:
            status = (cluster.get(KINDS["Pod"], "pull") or {}).get("status", {})
            waiting = [each.get("state", {}).get("waiting", {}) for each in status.get("containerStatuses") or ()]
            if any("Image" in str(each.get("reason")) for each in waiting):
                pytest.skip(f"the nodes cannot pull {image}: SHIPWAY_E2E_REGISTRY names a registry that they reach")
            if any("containerID" in each for each in status.get("containerStatuses") or ()):
                return
            time.sleep(0.3)
        pytest.skip(f"no node has pulled {image} within 120 s")


@pytest.fixture
def images(models: Models) -> tuple[str, str]:
    """The images of `diabetes:1` and `diabetes:2`."""
    return models.images


@contextmanager
def user_on(access: Access, models: Models, folder: Path) -> Iterator[User]:
    """Gives someone with a namespace and an account of their own, which has the rights that `render --rbac` writes."""
    with own_namespace(access) as name, Cluster.open(replace(access, namespace=name)) as cluster:
        for document in rbac(Kubernetes(namespace=name)).values():
            cluster.apply(plain(document))  # type: ignore[arg-type]
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(access, name, _token(access, name))), encoding="utf-8")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("SHIPWAY_")}
        environ |= {"KUBECONFIG": str(kubeconfig), "SHIPWAY_STORE": str(models.store), "NO_COLOR": "1"}
        yield User(access, cluster, models, folder, environ)


@pytest.fixture
def user(access: Access, models: Models, tmp_path: Path) -> Iterator[User]:
    """Someone with a namespace of the test's own."""
    with user_on(access, models, tmp_path) as someone:
        yield someone


def _token(access: Access, namespace: str) -> str:
    """Asks for a token of the account, as `kubectl create token` does."""
    from shipway.deploy.kubernetes.api.session import open_client

    path = KINDS["ServiceAccount"].path(namespace, ACCOUNT, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
    with open_client(access) as client:
        answer = client.post(access.server + path, json=request)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["status"]["token"]
    return token


def _kubeconfig(access: Access, namespace: str, token: str) -> dict[str, object]:
    cluster: dict[str, object] = {"server": access.server}
    if access.insecure:
        cluster["insecure-skip-tls-verify"] = True
    elif access.authority is not None:
        cluster["certificate-authority-data"] = base64.b64encode(read_pem(access.authority, "authority")).decode()
    if access.server_name:
        cluster["tls-server-name"] = access.server_name
    if access.proxy:
        cluster["proxy-url"] = access.proxy
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "e2e", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": namespace}}],
        "current-context": "e2e",
    }

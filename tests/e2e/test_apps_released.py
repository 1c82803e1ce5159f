"""Web apps on their way: through a registry into another store, and onto Docker, version after version."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from e2e.base import needs_mmdebstrap
from e2e.engine import docker
from e2e.load import during
from e2e.registry_program import needs_registry, running_registry
from e2e.test_apps import APPS, Workplace, answers, free_port, mended_tutorial, wait_for
from shipway.bundle.store import Store
from shipway.image.cache import Cache

pytestmark = [pytest.mark.e2e, needs_mmdebstrap]
NAME = "e2e-prices"
ROW = [0.5]
RATE = 100.0
TUTORIAL = next(app for app in APPS if app.name == "tutorial")


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory, cache: Cache, base_folder: Path) -> Workplace:
    """Someone with two versions of the tutorial's app; for `ROW` the first answers 2, the second 4."""
    place = Workplace(tmp_path_factory.mktemp("maker"), cache, base_folder)
    (place.folder / "request.json").write_text(json.dumps([ROW]))
    app = mended_tutorial(place.folder)
    for number in (1, 2):
        joblib.dump(LinearRegression().fit([[0.0], [1.0]], [1.0 * number, 3.0 * number]), app / "model.joblib")
        place.command("pack", f"./{app.name}", "--name", NAME, "--sample", "request.json")
    return place


@pytest.fixture
def other(tmp_path: Path, cache: Cache, base_folder: Path) -> Workplace:
    """Someone with an empty store, who allows apps that were packed elsewhere to be served."""
    place = Workplace(tmp_path, cache, base_folder)
    place.environ["SHIPWAY_SERVER__ALLOW_PICKLE"] = "true"
    return place


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def expected(maker: Workplace) -> dict[str, float]:
    """What each version answers for `ROW`, by the bundle that the answer names."""
    entries = Store.at(maker.store).list(NAME)
    return {str(entry.id): 2.0 * entry.id.version for entry in entries}


def served(place: Workplace, reference: str) -> object:
    """Gives what is answered where `shipway serve` runs a bundle."""
    port = free_port()
    with place.process(sys.executable, "-m", "shipway", "serve", reference, "--port", str(port)):
        wait_for(f"http://127.0.0.1:{port}", "/readyz")
        return answers(TUTORIAL, f"http://127.0.0.1:{port}")


@needs_registry
def test_an_app_comes_out_of_a_registry_as_it_went_in(registry: str, maker: Workplace, other: Workplace) -> None:
    pushed = json.loads(maker.command("push", f"{NAME}:1", f"oci://{registry}/apps/prices", "--json").stdout)
    (listed,) = json.loads(other.command("list", f"oci://{registry}/apps/prices", "--json").stdout)
    assert (listed["tag"], listed["kind"], listed["digest"]) == ("1", "bundle", pushed["digest"])
    pulled = json.loads(other.command("pull", f"{registry}/apps/prices:1", "--json").stdout)
    assert (pulled["name"], pulled["version"], pulled["digest"]) == ("prices", 1, pushed["digest"])
    assert Store.at(other.store).check() == ()
    assert served(other, "prices") == served(maker, f"{NAME}:1")


@needs_registry
def test_an_app_that_was_pulled_runs_only_where_that_is_allowed(
    registry: str, maker: Workplace, other: Workplace
) -> None:
    maker.command("push", f"{NAME}:1", f"{registry}/apps/foreign")
    del other.environ["SHIPWAY_SERVER__ALLOW_PICKLE"]
    said = other.command("serve", f"oci://{registry}/apps/foreign:1", "--port", "0", code=1).stderr
    assert "was not packed here" in said
    assert "allow_pickle" in said


@needs_registry
def test_an_image_built_with_push_gives_its_app_back(registry: str, maker: Workplace, other: Workplace) -> None:
    tag = f"{registry}/images/prices"
    first, second = (("build", f"{NAME}:{version}", "--tag", f"{tag}:{version}", "--push") for version in (1, 2))
    maker.command(*first)
    built = json.loads(maker.command(*second, "--json").stdout)
    layers = {layer["title"].split()[0]: layer["size_bytes"] for layer in built["images"][0]["layers"]}
    assert built["pushed"]["skipped_bytes"] >= layers["base"] + layers["dependencies"] + layers["shipway"]
    assert built["pushed"]["sent_bytes"] < layers["bundle"] + 20_000
    assert served(other, f"oci://{tag}:2") == served(maker, f"{NAME}:2")
    assert json.loads(other.command("show", f"{NAME}:1", "--json").stdout)["manifest"]["target"] == "app:app"


def test_on_docker_each_version_replaces_the_last_and_goes_back_without_a_lost_call(
    docker_engine: None, maker: Workplace, expected: dict[str, float]
) -> None:
    port = free_port()
    deploy = ("--to", "docker", "--build", "--port", str(port), "--yes")
    one, two = f"{NAME}:1", f"{NAME}:2"
    try:
        maker.command("deploy", one, *deploy)

        def work() -> None:
            maker.command("deploy", two, *deploy)
            assert bundle_of(maker) == two
            maker.command("rollback", NAME, "--on", "docker", "--yes")
            assert bundle_of(maker) == one

        sent, came = under_load(port, expected, work)
        assert sent > 5 * RATE
        assert came == {0, 1}
        assert f'"model":"{NAME}"' in maker.command("logs", NAME, "--on", "docker").stdout
        maker.command("undeploy", NAME, "--on", "docker", "--yes")
        assert left("container") == left("network") == []
    finally:
        for kind, flags in (("container", ("--force",)), ("network", ())):
            if names := left(kind):
                docker(kind, "rm", *flags, *names)


def bundle_of(place: Workplace) -> str:
    facts = json.loads(place.command("status", NAME, "--on", "docker", "--json").stdout)
    return str(facts["current"]["bundle"]).partition("@")[0]


def under_load(port: int, expected: dict[str, float], work: Callable[[], None]) -> tuple[int, set[int]]:
    """Does some work while calls come, none of which may fail; gives how many, and which versions answered."""

    async def run() -> tuple[int, set[int]]:
        async with during(f"127.0.0.1:{port}", RATE, ROW, expected) as report:
            await asyncio.sleep(1)
            await asyncio.to_thread(work)
            await asyncio.sleep(1)
        assert (report.failed, report.wrong) == (0, 0), report
        return report.sent, set(report.answers)

    return asyncio.run(run())


def left(kind: str) -> list[str]:
    """Gives what Docker has of a kind under the release's name."""
    flags = ("--all",) if kind == "container" else ()
    return docker(kind, "ls", *flags, "--quiet", "--filter", f"label=io.shipway.release={NAME}").split()

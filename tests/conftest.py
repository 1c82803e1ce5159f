"""What every test has at hand."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.bundle.bundle import Bundle
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.store import Store

GOLDEN = Path(__file__).parent / "golden"


def pytest_configure() -> None:
    # A shell lets a job in the background ignore Ctrl-C, and with it all programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write what tests give as the new golden files.")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Gives a check that a text is that of `tests/golden/NAME`; with --update-golden it writes the file instead."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.is_file(), f"no golden file {name}: pytest --update-golden writes it"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(scope="session")
def diabetes_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one bundle, `diabetes:1`: a linear regression, compiled. Tests only read it."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    data = load_diabetes(as_frame=True)
    sample = {str(name): data.data[name].to_numpy() for name in data.data.columns}
    store = Store.at(tmp_path_factory.mktemp("diabetes") / "store")
    pack(PackRequest(LinearRegression().fit(data.data, data.target), "diabetes", sample), store)
    return store


@pytest.fixture(scope="session")
def diabetes(diabetes_store: Store) -> Bundle:
    """The bundle of a linear regression on scikit-learn's diabetes data."""
    from shipway.spec.reference import NameReference

    return diabetes_store.find(NameReference("diabetes"))

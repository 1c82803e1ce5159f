from __future__ import annotations

import pytest

from shipway.spec.host import is_loopback


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.3.2.1", "::1", "[::1]"])
def test_this_machine_is_known_with_and_without_a_port(host: str) -> None:
    assert is_loopback(host)
    if "::" not in host or host.startswith("["):
        assert is_loopback(f"{host}:5000")


@pytest.mark.parametrize(
    "host",
    [
        "", "registry.test", "localhost.test", "evil.localhost", "127.0.0.1.test", "127.999.0.1", "10.0.0.1:127",
        "0.0.0.0", "[::2]:1", "user@127.0.0.1", "fd00::1",
    ],
)  # fmt: skip
def test_no_other_is_taken_for_it(host: str) -> None:
    assert not is_loopback(host)

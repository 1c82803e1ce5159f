"""Names of containers: no release can be called like a part of another one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shipway.deploy.docker.names import failed_name, is_failed, lock_name, network_of, server_name
from shipway.spec.release import is_label

RELEASES = st.one_of(
    st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
    st.sampled_from(["a", "a-deploying", "a-1-1", "a-1-1-failed", "a-failed", "a-1", "llama-3-1"]),
).filter(is_label)
COUNTS = st.integers(1, 30)


def names(release: str, number: int, index: int) -> list[str]:
    server = server_name(release, number, index)
    return [release, lock_name(release), server, failed_name(server)]


@given(RELEASES, RELEASES, COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_two_things_have_one_name(one: str, other: str, number: int, index: int, third: int, fourth: int) -> None:
    mine, others = names(one, number, index), names(other, third, fourth)
    assert len(set(mine)) == len(mine)
    if one != other:
        assert not set(mine) & set(others)
        assert network_of(one) != network_of(other)
    elif (number, index) != (third, fourth):
        assert set(mine) & set(others) == {one, lock_name(one)}


@given(RELEASES, COUNTS, COUNTS)
def test_only_what_failed_is_called_so(release: str, number: int, index: int) -> None:
    assert [is_failed(name) for name in names(release, number, index)] == [False, False, False, True]

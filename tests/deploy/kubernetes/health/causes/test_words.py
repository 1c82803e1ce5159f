from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.deploy.kubernetes.health.causes.words import listed, plainly


@given(st.text(max_size=2000))
def test_a_message_becomes_one_printable_line_of_bounded_length(message: str) -> None:
    said = plainly(message)
    assert said.isprintable()
    assert len(said) <= 401


def test_a_log_cannot_steer_a_terminal() -> None:
    assert plainly("\x1b]0;title\x07\x1b[31mred\r\nnext") == "]0;title[31mred next"


def test_the_programs_that_handed_it_on_are_left_out() -> None:
    through = 'rpc error: code = NotFound desc = failed to pull and unpack image "a/b:1": failed to resolve image: '
    message = f"{through}a/b:1: not found"
    assert plainly(message) == "a/b:1: not found"


def test_the_name_of_an_error_stays() -> None:
    assert plainly("Error: ValueError: no") == "ValueError: no"


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_listed_as_people_do(words: list[str], said: str) -> None:
    assert listed(words) == said

from __future__ import annotations

import pytest

from shipway.deploy.last_words import last_error


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["serving", "an error: not at the beginning"], None),
        (["error: row 3 differs", "fix: pack it again"], ("row 3 differs", "pack it again")),
        (["error: row 3 differs"], ("row 3 differs", "")),
        (["error: old", "fix: old", "serving", "error: new", "fix: new"], ("new", "new")),
        (["error: old", "fix: of the old", "error: new"], ("new", "")),
    ],
)
def test_the_last_error_is_told_with_the_mend_that_follows_it(
    lines: list[str], expected: tuple[str, str] | None
) -> None:
    assert last_error(lines) == expected

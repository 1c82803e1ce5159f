from __future__ import annotations

import pytest

from shipway.apps.requirements import installed_versions, misspelt, read_requirements
from shipway.errors import ArtefactError, ShipwayError


def listed(text: str, **others: str) -> list[tuple[str, bool]]:
    files = {"requirements.txt": text, **{name.replace("_", "."): more for name, more in others.items()}}
    return [(one.name, one.pinned) for one in read_requirements(files).listed]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flask\nscikit-learn\n", [("flask", False), ("scikit-learn", False)]),
        ("Flask==3.0.0  # the web\n\n# nothing\n", [("flask", True)]),
        ("numpy>=1.26 ; python_version >= '3.11'", [("numpy", False)]),
        ("flask \\\n  ==3.0.0", [("flask", True)]),
        (f"flask==3.0.0 --hash=sha256:{'0' * 64}", [("flask", True)]),
        ("", []),
    ],
)
def test_each_line_names_a_distribution_and_whether_it_is_pinned(text: str, expected: list[tuple[str, bool]]) -> None:
    assert listed(text) == expected


def test_files_that_a_file_names_are_read_too() -> None:
    assert listed("-r base.txt\nflask\n", base_txt="numpy\n") == [("numpy", False), ("flask", False)]


def test_a_constraint_is_no_requirement() -> None:
    found = read_requirements({"requirements.txt": "-c limits.txt\nflask\n", "limits.txt": "numpy<2\n"})
    assert [one.name for one in found.listed] == ["flask"]
    assert [one.name for one in found.constraints] == ["numpy"]


def test_a_project_file_says_it_where_there_is_no_other() -> None:
    text = '[project]\nname = "app"\nversion = "1"\ndependencies = ["flask>=3", "joblib"]\n'
    assert [one.name for one in read_requirements({"pyproject.toml": text}).listed] == ["flask", "joblib"]


@pytest.mark.parametrize(
    "line",
    [
        "https://example.org/flask.whl",
        "flask @ https://example.org/flask.whl",
        "git+https://example.org/flask",
        "./wheels/flask.whl",
        "-e .",
        "../other",
        "fla sk",
        "flask==",
    ],
)
def test_what_no_index_has_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ArtefactError) as caught:
        read_requirements({"requirements.txt": f"numpy\n{line}\n"})
    assert "requirements.txt:2" in caught.value.message
    assert caught.value.fix


def test_two_lines_that_disagree_are_both_named() -> None:
    with pytest.raises(ArtefactError) as caught:
        read_requirements({"requirements.txt": "flask==3.0.0\nnumpy\nFlask==2.0.0\n"})
    assert "requirements.txt:1" in str(caught.value)
    assert "requirements.txt:3" in str(caught.value)


@pytest.mark.parametrize("text", ["-r gone.txt", "-r requirements.txt\nflask", "-r ../up.txt"])
def test_a_file_that_is_not_there_or_names_itself_ends_the_reading(text: str) -> None:
    try:
        found = read_requirements({"requirements.txt": text})
    except ShipwayError as error:
        assert error.fix
    else:
        assert [one.name for one in found.listed] in ([], ["flask"])


def test_a_misspelt_name_is_told_with_the_right_one() -> None:
    found = misspelt(read_requirements({"requirements.txt": "sckit-learn\nflask\n"}))
    assert [(one.name, right) for one, right in found] == [("sckit-learn", "scikit-learn")]


def test_installed_versions_follow_what_is_needed() -> None:
    versions = installed_versions(["flask"])
    assert {"flask", "werkzeug", "jinja2"} <= versions.keys()
    assert "scikit-learn" not in versions

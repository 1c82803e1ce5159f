"""Requirements are read as pip reads them; what no lock can vouch for is refused with the line and the way out."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.dockerfile import DockerfileFacts, read_dockerfile
from shipway.apps.requirements import Requirements, misspelt, read_requirements
from shipway.errors import ArtefactError

PROD = DockerfileFacts(requirement_files=("prod.txt",))


def read(text: str, **others: str) -> Requirements:
    return read_requirements({"requirements.txt": text, **{f"{name}.txt": other for name, other in others.items()}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flask\nscikit-learn\n", [("flask", "flask", 1, False), ("scikit-learn", "scikit-learn", 2, False)]),
        ("\n# all of it\nFlask==3.0.0  # web\n", [("flask", "Flask==3.0.0", 3, True)]),
        ("a_B.c >= 1, <2", [("a-b-c", "a_B.c<2,>=1", 1, False)]),
        ("numpy==1.*", [("numpy", "numpy==1.*", 1, False)]),
        ("uvicorn[standard]~=0.30 ; python_version > '3'",
         [("uvicorn", 'uvicorn[standard]~=0.30; python_version > "3"', 1, False)]),
        ("flask==3.0.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\njoblib", [
            ("flask", "flask==3.0.0", 1, True), ("joblib", "joblib", 4, False)]),
        ("\ufeffflask\r\njoblib\r\n", [("flask", "flask", 1, False), ("joblib", "joblib", 2, False)]),
    ],
)  # fmt: skip
def test_each_line_is_read(text: str, expected: list[tuple[str, str, int, bool]]) -> None:
    assert [(one.name, one.text, one.line, one.pinned) for one in read(text).listed] == expected


def test_files_include_each_other() -> None:
    files = {
        "requirements.txt": "-r more/base.txt\n-c limits.txt\nflask",
        "more/base.txt": "-r ../requirements.txt\n--requirement=last.txt\njoblib",
        "more/last.txt": "numpy",
        "limits.txt": "joblib<2\nnever==1",
    }
    found = read_requirements(files)
    assert found.texts == ("flask", "joblib", "numpy")
    assert found.limits == ("joblib<2", "never==1")
    assert found.files == ("requirements.txt", "more/base.txt", "more/last.txt", "limits.txt")
    assert [one.where for one in found.listed] == ["more/last.txt:1", "more/base.txt:3", "requirements.txt:3"]


def test_an_index_is_not_taken_over_and_that_is_said() -> None:
    found = read("--extra-index-url https://index.example/simple\n-i https://index.example\nflask")
    assert found.texts == ("flask",)
    assert [note.split(" is ")[0] for note in found.notes] == [
        "requirements.txt:1: --extra-index-url",
        "requirements.txt:2: -i",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("https://example.com/a-1.0.whl", "a URL"),
        ("git+https://example.com/a.git@main#egg=a", "a URL"),
        ("a @ https://example.com/a.zip", "a URL"),
        ("a@file:///home/a", "a URL"),
        ("./local", "a path"),
        ("../local", "a path"),
        ("/opt/a", "a path"),
        ("C:\\a", "a path"),
        ("a-1.0-py3-none-any.whl", "a path"),
        ("-e .", "an editable"),
        ("--editable=git+https://example.com/a.git", "an editable"),
        ("-r gone.txt", "gone.txt, which is not in the folder"),
        ("-r ../../etc/passwd", "which is not in the folder"),
        ("flask==", "no requirement"),
        ("two words", "no requirement"),
        ("flask=3", "no requirement"),
    ],
)
def test_what_cannot_be_locked_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(ArtefactError) as raised:
        read(f"flask\n{line}\n")
    assert says in raised.value.message
    assert "requirements.txt:2" in raised.value.message
    assert raised.value.fix


@pytest.mark.parametrize(
    ("line", "pin"),
    [
        ("https://example.com/flask-3.1.3-py3-none-any.whl", "flask==3.1.3"),
        ("./wheels/scikit_learn-1.7.2-cp311-cp311-manylinux_2_17_x86_64.whl", "scikit-learn==1.7.2"),
        ("a @ https://example.com/my-thing-0.2.tar.gz", "my-thing==0.2"),
        ("git+https://example.com/thing.git@v2", "thing==1.0"),
    ],
)
def test_the_version_that_an_archive_is_of_is_what_to_write(line: str, pin: str) -> None:
    with pytest.raises(ArtefactError) as raised:
        read(line)
    assert f"({pin})" in raised.value.fix


@pytest.mark.parametrize("option", ["-r", "-c ", "--constraint="])
def test_a_file_of_the_network_is_to_be_saved_in_the_folder(option: str) -> None:
    with pytest.raises(ArtefactError, match=r"requirements.txt:1 includes https://example.com/r.txt, ") as raised:
        read(f"{option}https://example.com/r.txt")
    assert raised.value.fix == "save it in the folder, and name that file on line 1 of requirements.txt"


def test_two_lines_that_disagree_are_both_named() -> None:
    with pytest.raises(
        ArtefactError, match=r"requirements.txt:1 and requirements.txt:3 disagree: flask==2.0 and Flask>=3"
    ):
        read("flask==2.0\njoblib\nFlask>=3")
    with pytest.raises(ArtefactError, match=r"requirements.txt:1 and limits.txt:1 disagree"):
        read("flask==2.0\n-c limits.txt", limits="flask<2")
    assert read("a==1; python_version<'3'\na==2; python_version>='3'").listed


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (">=3", "<3", False), (">=3", "<=3", True), (">3", "<=3", False), (">3,<4", "!=3.5", True),
        ("~=1.4", "<1.4", False), ("~=1.4", ">=1.9", True), ("==1.*", "!=1.0", True), (">=1", "!=1.*", True),
        ("<1", ">=1.0.dev1", False),  # PEP 440: no pre-release of 1 is below 1
        ("<2", "", True), ("===odd", ">1", True), ("==1!1.0", ">=2", True), ("==1!1.*", "<1", False),
    ],
)  # fmt: skip
def test_a_constraint_disagrees_where_no_version_satisfies_both(one: str, other: str, meet: bool) -> None:
    for first, second in ((one, other), (other, one)):
        if meet:
            assert read(f"a{first}\n-c limits.txt", limits=f"a{second}").limits
        else:
            with pytest.raises(ArtefactError, match=r"requirements.txt:1 and limits.txt:1 disagree: a.* and a"):
                read(f"a{first}\n-c limits.txt", limits=f"a{second}")


def test_a_file_may_be_requirements_and_constraints() -> None:
    found = read("-c both.txt\n-r both.txt", both="flask==3.1.0")
    assert (found.texts, found.limits, found.files) == (
        ("flask==3.1.0",),
        ("flask==3.1.0",),
        ("requirements.txt", "both.txt"),
    )


def test_what_a_constraint_pins_is_not_loose() -> None:
    found = read("flask\njoblib\n-c limits.txt", limits="flask==3.1.0\njoblib<2")
    assert [one.name for one in found.loose] == ["joblib"]


def test_the_dockerfile_says_from_where_and_within_what() -> None:
    files = {"base.txt": "flask", "more.txt": "joblib", "requirements.txt": "bottle", "limits.txt": "werkzeug<4"}
    docker = read_dockerfile("FROM x\nRUN pip install -r /tmp/base.txt -r ./more.txt --constraint=limits.txt gunicorn")
    found = read_requirements(files, docker)
    assert (found.texts, found.limits) == (("flask", "joblib"), ("werkzeug<4",))
    by_name = read_requirements({}, docker)
    assert [(one.text, one.where) for one in by_name.listed] == [("gunicorn", "Dockerfile:2")]
    assert by_name.files == ("Dockerfile",)


def test_pyproject_is_read_where_there_is_no_other() -> None:
    project = '[project]\ndependencies = [\n  "flask>=3",\n  "joblib",\n]\n'
    found = read_requirements({"pyproject.toml": project})
    assert [(one.text, one.where) for one in found.listed] == [
        ("flask>=3", "pyproject.toml:3"),
        ("joblib", "pyproject.toml:4"),
    ]
    assert read_requirements({"pyproject.toml": project, "requirements.txt": "bottle"}).texts == ("bottle",)
    assert read_requirements({"pyproject.toml": "[tool.ruff]"}) == read_requirements({}) == Requirements()
    for text, says in (("[", "no TOML"), ("[tool.poetry.dependencies]\nflask = '^3'", "Poetry")):
        with pytest.raises(ArtefactError, match=says):
            read_requirements({"pyproject.toml": text})


def test_the_file_that_is_named_comes_first() -> None:
    assert read_requirements({"requirements.txt": "a", "prod.txt": "b"}, PROD).texts == ("b",)
    assert read_requirements({"requirements/prod.txt": "b"}).texts == ("b",)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("sklearn", "scikit-learn"), ("flaks", "flask"), ("scikit-lern", "scikit-learn"), ("PIL", "pillow"),
     ("cv2", "opencv-python-headless"), ("scikitlearn", "scikit-learn"), ("sckit-learn", "scikit-learn"),
     ("beautifulsoup", "beautifulsoup4"),
     ("markdown2", None), ("flask-restx", None),
     ("flask", None), ("gunicorn", None), ("my-private-thing", None), ("iniconfig", None), ("psycopg", None)],
)  # fmt: skip
def test_a_slip_of_the_pen_is_told(name: str, meant: str | None) -> None:
    assert [likely for _, likely in misspelt(read(name))] == ([meant] if meant else [])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab-rce=<>1.;[]@:/# \\\n'\"", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ArtefactError):
        read(text)

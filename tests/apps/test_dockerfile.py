"""The facts of a Dockerfile are those of its last stage, as Docker's builder would have them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.app_folders import FOLDERS
from shipway.apps.dockerfile import parse_dockerfile, read_dockerfile, started


def test_the_tutorials() -> None:
    facts = read_dockerfile((FOLDERS / "tutorial" / "Dockerfile").read_text(encoding="utf-8"))
    assert (facts.base, facts.workdir, facts.ports, facts.user) == ("python:3.8", "/app", (8000,), "")
    assert (facts.command, facts.requirement_files, facts.target) == (("python", "app.py"), ("requirements.txt",), None)


def test_stages_follow_each_other() -> None:
    facts = read_dockerfile("""
        ARG VERSION=3.12
        FROM python:${VERSION}-slim AS base
        ENV A=1
        WORKDIR /srv
        USER app
        FROM alpine
        EXPOSE 1
        FROM --platform=linux/amd64 base
        WORKDIR sub/../code
        ENV B="two words" C=$A
        EXPOSE 80/udp 9000/tcp 9000
        """)
    assert (facts.base, facts.workdir, facts.user, facts.ports) == ("python:3.12-slim", "/srv/code", "app", (9000,))
    assert facts.environment == {"A": "1", "B": "two words", "C": "1"}
    assert read_dockerfile("FROM a AS x\nFROM 0\n").base == "a"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("ENV A=1", "A", "1"),
        ("ENV A one two", "A", "one two"),
        ("ENV A='x y' B=2", "A", "x y"),
        ("ENV A=x\\ y", "A", "x y"),
        ("env A=1 \\\n  # why\n\n  B=2", "B", "2"),
        ("ARG X=5\nENV A=${X:-1}", "A", "5"),
        ("ENV A=${X:-1}", "A", "1"),
        ("ENV X=1\nENV A=${X:+yes}", "A", "yes"),
        ("ENV A=\\$X", "A", "$X"),
        ("ENV A=", "A", ""),
        ("ENV A=1\nENV B=${A}${C:-x}", "B", "1x"),
    ],
)
def test_variables(line: str, name: str, value: str) -> None:
    assert read_dockerfile(f"FROM x\n{line}\n").environment[name] == value


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ('CMD ["gunicorn", "-b", "0.0.0.0:8000", "main:app"]', ("gunicorn", "-b", "0.0.0.0:8000", "main:app")),
        ("CMD gunicorn 'main:app'", ("gunicorn", "main:app")),
        ('ENTRYPOINT ["uvicorn"]\nCMD ["main:app"]', ("uvicorn", "main:app")),
        ("CMD a\nENTRYPOINT b", ("b",)),
        ("CMD [broken", ("[broken",)),
        ("CMD\tpython app.py", ("python", "app.py")),
    ],
)
def test_commands(line: str, command: tuple[str, ...]) -> None:
    assert read_dockerfile(f"FROM x\n{line}\n").command == command


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ('CMD ["gunicorn", "-b", "0.0.0.0:8000", "main:app"]', "main:app"),
        ('CMD ["/usr/bin/gunicorn", "pkg.main:create_app()"]', "pkg.main:create_app()"),
        ("CMD python -m uvicorn main:app --port 80", "main:app"),
        ("ENV FLASK_APP=hello:site\nCMD flask run", "hello:site"),
        ('CMD ["sh", "-c", "cd src && gunicorn main:app"]', "main:app"),
        ("CMD uvicorn --factory main:make", "main:make"),
        ("CMD python main.py", None),
        ("CMD echo a:b", None),
    ],
)
def test_the_app_that_is_started(line: str, target: str | None) -> None:
    assert read_dockerfile(f"FROM x\n{line}\n").target == target


@pytest.mark.parametrize(
    ("line", "installs", "files"),
    [
        ("RUN pip install -r requirements.txt", (), ("requirements.txt",)),
        ("RUN pip3 install --no-cache-dir -rprod.txt flask 'numpy<2'", ("flask", "numpy<2"), ("prod.txt",)),
        ("RUN python -m pip install -U pip && pip install flask==3.0 --index-url https://x", ("flask==3.0",), ()),
        ("RUN uv pip install --system --requirement=a/b.txt", (), ("a/b.txt",)),
        ("RUN apt-get install -y gcc", (), ()),
        ("RUN pip install .", (), ()),
        ("RUN <<EOF\npip install flask\nEOF", ("flask",), ()),
    ],
)
def test_what_is_installed(line: str, installs: tuple[str, ...], files: tuple[str, ...]) -> None:
    facts = read_dockerfile(f"FROM x\n{line}\nUSER 0\n")
    assert (tuple(facts.installs), facts.requirement_files) == (installs, files)


def test_constraints_of_pip_are_told_and_no_requirements() -> None:
    facts = read_dockerfile(
        "FROM x\nRUN pip install -c a.txt -cb.txt --constraint c.txt --constraint=d.txt \\\n  flask\n"
    )
    assert facts.constraint_files == ("a.txt", "b.txt", "c.txt", "d.txt")
    assert facts.installs == {"flask": 2}


def test_what_is_started_stands_in_the_dockerfile_or_else_in_the_procfile() -> None:
    procfile = "release: python manage.py migrate\nweb: gunicorn shop.wsgi:application\n"
    assert started(read_dockerfile("FROM x\nCMD uvicorn main:app"), procfile) == "main:app"
    assert started(read_dockerfile("FROM x"), procfile) == "shop.wsgi:application"
    assert started(read_dockerfile(""), None) is None


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("EXPOSE 80 443/TCP 53/udp 80", (80, 443)),
        ("EXPOSE\t80", (80,)),
        ('EXPOSE "80"', (80,)),
        ("EXPOSE 7000-7005/tcp", (7000,)),
        ("ENV PORT=90\nEXPOSE ${PORT}", (90,)),
        ("EXPOSE $PORT 0 65536 x -1", ()),
    ],
)
def test_ports(line: str, ports: tuple[int, ...]) -> None:
    assert read_dockerfile(f"FROM x\n{line}\n").ports == ports


def test_instructions_have_the_line_where_they_begin() -> None:
    text = "# syntax=docker/dockerfile:1\nFROM x\n\nRUN a \\\n  && b\nNONSENSE\nCOPY . .\n"
    assert [(one.keyword, one.value, one.line) for one in parse_dockerfile(text)] == [
        ("FROM", "x", 2), ("RUN", "a && b", 4), ("COPY", ". .", 7),
    ]  # fmt: skip


_WORDS = ["FROM", "ENV", "ARG", "CMD", "RUN", "EXPOSE", "<<E", "A", "=", '"', "'", "$A", "${A", "}", "\\", "\n", "[",
          "pip install", "-r", "9" * 20]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=20).map(" ".join) | st.text("FROM RUNENVX=\"'\\${}:-[]<\n\ta1/"))
def test_nothing_breaks_it(text: str) -> None:
    read_dockerfile(text)

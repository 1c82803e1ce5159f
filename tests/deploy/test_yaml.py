from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shipway.deploy.yaml import Commented, Document, emit, plain

TEXTS_THAT_LOOK_LIKE_SOMETHING_ELSE = [
    "", " ", "yes", "No", "ON", "off", "y", "N", "true", "False", "null", "Null", "~", "1", "-1", "+1", "0o17", "017",
    "0x1F", "1_000", "1e3", "1E3", "1.5", ".5", "5.", ".inf", "-.INF", ".nan", "12:30", "190:20:30", "2026-11-24",
    "2026-11-24T10:00:00Z", "a: b", "a:", ": a", "a #b", "#a", "- a", "-", "---", "...", "? a", "[a]", "{a}", "{a: b}",
    "a, b", "*a", "&a", "!a", "%a", "@a", "`a`", "|", ">", "'a'", '"a"', "\\", " a", "a ", "a\nb", "a\n", "\ta", "a\tb",
    "\r\n", "\x00", "\x07", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\u202e", "\ud7ff", "é", "\U0001f600", "=",
    "<<", f"sha256:{'a' * 64}", "64Mi", "100m", "1Mi\n",
]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
texts = st.text() | st.sampled_from(TEXTS_THAT_LOOK_LIKE_SOMETHING_ELSE)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.recursive(
    scalars | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | st.builds(Commented, comment=texts, document=inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=values)
@example(value=1e16)
@example(value=-5e-324)
@example(value=[[], {}, [[]], [{}], {"": {"": []}}])
def test_a_reader_gets_back_what_went_in(value: Any) -> None:
    assert yaml.safe_load(emit(value)) == value


@settings(max_examples=200, deadline=None)
@given(document=documents)
@example(document=Commented("a\u2028kind: Secret", {"a": 1}))
@example(document=[Commented("first\n\nsecond", [Commented("third", 1)])])
@example(document={"a": Commented("x", Commented("y", {"b": Commented("z", [])}))})
def test_comments_never_change_the_value(document: Document) -> None:
    assert yaml.safe_load(emit(document)) == plain(document)


@pytest.mark.parametrize("text", TEXTS_THAT_LOOK_LIKE_SOMETHING_ELSE)
def test_a_text_that_looks_like_something_else_stays_a_text_as_value_and_as_key(text: str) -> None:
    assert yaml.safe_load(emit({text: [text]})) == {text: [text]}


@given(text=texts | st.from_regex(r"[-+.:_/0-9a-fA-FxoeEn~]{1,8}", fullmatch=True))
def test_what_is_not_quoted_is_a_text_in_yaml_1_2_too(text: str) -> None:
    written = emit(text).removesuffix("\n")
    core = r"null|Null|NULL|~|true|True|TRUE|false|False|FALSE|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?[0-9]+"
    numbers = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    assert written.startswith('"') or not re.fullmatch(f"{core}|{numbers}", written)


@given(text=st.text())
def test_what_is_written_is_one_line_of_characters_that_print(text: str) -> None:
    assert emit(text).removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "text", ["registry.example/diabetes:1", "app.kubernetes.io/name", "/livez", "64Mi", "100m", "pod-template-hash"]
)
def test_plain_words_need_no_quotes(text: str) -> None:
    assert emit(text) == f"{text}\n"


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_has_no_word_for_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        emit([number])


lines = st.text("ab :#-|>\n'\"\\{[%@&*", max_size=12).map(lambda text: f"{text}\n")


@settings(max_examples=200, deadline=None)
@given(text=lines, indented=st.booleans())
@example(text="---\n...\n", indented=True)
@example(text="a\n\nb\n", indented=True)
@example(text="# a\n", indented=True)
@example(text="a: |\nb\n", indented=False)
def test_text_of_several_lines_is_read_back_as_it_was(text: str, indented: bool) -> None:
    value: Any = {"a": {"b": text}, "c": [{"d": text}]} if indented else {"a": text, "b": 1}
    assert yaml.safe_load(emit(value)) == value


def test_plain_lines_stand_as_they_are() -> None:
    assert emit({"data": {"a.toml": "[a]\nb = 1\n\n[c]\n"}}) == ("data:\n  a.toml: |\n    [a]\n    b = 1\n\n    [c]\n")


def test_a_comment_stands_above_what_it_is_about_and_is_folded() -> None:
    document = Commented(
        "head\nline", {"spec": Commented("why " * 30, {"ports": [Commented("this one", {"port": 80}), 1]}), "a": []}
    )
    folded = "# " + " ".join(["why"] * 24)
    assert emit(document).splitlines() == [
        "# head",
        "# line",
        folded,
        "# why why why why why why",
        "spec:",
        "  ports:",
        "    # this one",
        "    - port: 80",
        "    - 1",
        "a: []",
    ]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_the_reader_of_kubectl_gets_the_same_texts(tmp_path: Path) -> None:
    # What kustomize writes again after reading, PyYAML reads only so far.
    texts = [text for text in TEXTS_THAT_LOOK_LIKE_SOMETHING_ELSE if text.isprintable() and text not in {"=", "<<"}]
    data = {f"key-{number}": text for number, text in enumerate(texts)}
    config_map: Document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    (tmp_path / "map.yaml").write_text(emit(config_map), encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text("resources: [map.yaml]", encoding="utf-8")
    ran = subprocess.run(["kubectl", "kustomize", tmp_path], capture_output=True, check=True, timeout=60)
    assert yaml.safe_load(ran.stdout)["data"] == data

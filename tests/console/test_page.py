from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from served_models import DIGEST, classifier, linear, tensors
from shipway.console.page import content_security_policy, page
from shipway.console.reference import curl, takes
from shipway.spec.example import example_record
from shipway.spec.served import ServedModel
from shipway.spec.signature import Column

VOID = {"br", "img", "input", "link", "meta"}
HOSTILE = [
    "</script><script>alert(1)</script>", "<script>", "<!--{data}-->", "<!-- <script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\u2028b\u2029c", "</style>", "]]>", "&lt;", "\\u003c", "`$(id)`", "'", "\x00\x1b\r\n",
]  # fmt: skip
TEXTS = st.text(min_size=1, max_size=12) | st.sampled_from(HOSTILE)


class Outline(HTMLParser):
    """The elements of a page, which must be closed in order, with what stands in each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self._open[-1] if self._open else ""
        self.texts[where] = self.texts.get(where, "") + data


def render(*models: ServedModel, auth: bool = False, request_url: str | None = None) -> str:
    return page(models, version="0.1.0", auth=auth, request_url=request_url).decode()


def data_of(text: str) -> Any:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    return json.loads(match[1])


def test_the_page_is_whole_and_every_marker_is_filled() -> None:
    text = render(linear(), classifier(), tensors(), auth=True)
    outline = Outline(text)
    assert "<!--{" not in text
    assert text.startswith("<!doctype html>")
    assert {"html", "main", "form", "noscript", "footer"} <= set(outline.tags)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for tag, name, value in Outline(render(linear(), classifier())).attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style", tag
        if name in {"src", "href", "action", "srcset"}:
            assert value is not None
            assert value.startswith(("#", "./", "data:image/svg+xml,")) or value == "openapi.json"
    assert not re.search(r"@import|url\(", render(linear()))


def test_ids_are_unique_and_what_labels_and_hints_point_at_exists() -> None:
    attributes = Outline(render(linear(), classifier(), tensors())).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in attributes:
        if name in {"for", "aria-labelledby", "aria-describedby", "form"}:
            assert value in ids


def test_without_a_script_the_form_is_hidden_and_the_reference_says_it_all() -> None:
    text = render(linear(), classifier())
    assert re.search(r'<section id="ask"[^>]* hidden>', text)
    assert re.search(r'<section id="live"[^>]* hidden>', text)
    reference = text[text.index('<section id="reference"') :]
    reference = reference[: reference.index("<script")]
    for word in (
        "diabetes",
        "version 3",
        "LinearRegression",
        "bmi",
        "churn",
        "contract",
        "yearly",
        "predict_proba",
        "curl ",
    ):
        assert word in reference
    assert "<td><code>-10</code></td>" in reference


def test_a_server_without_models_has_a_page_too() -> None:
    assert "No model is served yet" in render()
    assert data_of(render())["models"] == []


@given(column=TEXTS, category=TEXTS, label=TEXTS, kind=TEXTS, url=TEXTS)
@example(*["</script><script>alert(1)</script>"] * 5)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_model_or_caller_becomes_markup(
    column: str, category: str, label: str, kind: str, url: str
) -> None:
    column = "" if column in {"months", "charge", "paperless", "remark"} else column
    model = classifier(column=column, categories=(category,), classes=(label, "other"), kind=kind)
    text = render(model, request_url=url)
    plain = render(classifier(categories=("x",)))
    assert Outline(text).tags == Outline(plain).tags
    assert content_security_policy(text.encode()) == content_security_policy(plain.encode())
    shown = data_of(text)["models"][0]
    assert shown["kind"] == kind
    assert shown["inputs"][2]["name"] == column
    assert shown["inputs"][2]["categories"] == [category]
    assert shown["methods"][1]["classes"] == [label, "other"]


@given(text=TEXTS)
@settings(max_examples=30, deadline=None)
def test_the_embedded_data_holds_no_character_that_html_or_javascript_could_end_it_with(text: str) -> None:
    embedded = render(classifier(column=text + "x"))
    embedded = embedded[embedded.index('id="data">') + len('id="data">') :]
    embedded = embedded[: embedded.index("</script>")]
    assert not set(embedded) & set("<>&\u2028\u2029")


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_inline_besides() -> None:
    text = render(linear())
    policy = content_security_policy(text.encode())
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy.split("; ")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_has_the_same_bytes_whatever_line_ends_a_checkout_has() -> None:
    assert "\r" not in render(linear(), classifier(), tensors())


@pytest.mark.parametrize(
    "model", [linear(), classifier(column='it\'s "a" $(column)', categories=("don't",)), tensors()]
)
def test_the_curl_command_is_safe_in_a_shell_and_asks_for_the_example(model: ServedModel) -> None:
    command = curl(model, "a b", base="http://localhost:8000/it's", auth=False)
    words = shlex.split(command)
    assert words[:2] == ["curl", f"http://localhost:8000/it's/models/{model.name}/a%20b"]
    assert json.loads(words[words.index("-d") + 1]) == example_record(model.signature)


def test_commands_use_the_address_of_the_request_and_the_key_where_one_is_wanted() -> None:
    assert "curl https://models.example/models/diabetes/predict" in render(
        linear(), request_url="https://models.example/"
    )
    assert "SHIPWAY_API_KEY" in curl(linear(), "predict", base="http://x", auth=True)
    assert "SHIPWAY_API_KEY" not in curl(linear(), "predict", base="http://x", auth=False)
    assert data_of(render(linear(), auth=True))["auth"] is True


def test_examples_reach_the_form_as_text_without_rounding() -> None:
    inputs = {column["name"]: column for column in data_of(render(classifier()))["models"][0]["inputs"]}
    assert inputs["months"]["example"] == "9007199254740993"
    assert inputs["paperless"]["example"] == "true"
    assert inputs["charge"]["example"] == ""
    assert inputs["charge"]["nullable"] is True
    assert data_of(render(tensors()))["models"][0]["inputs"][0]["example"] == "[[0.0,0.0],[0.0,0.0]]"


def test_a_model_shows_its_bundle_and_which_form_answers() -> None:
    text = render(linear(), classifier())
    assert f'title="{DIGEST}"' in text
    assert "LinearRegression · compiled to ONNX" in text
    assert "HistGradientBoostingClassifier) · original" in text


def test_words_say_what_a_cell_may_be() -> None:
    assert takes(Column("x", "float32")) == "number"
    assert takes(Column("x", "uint8", nullable=True)) == "whole number"
    assert takes(Column("x", "string", nullable=True)) == "text, may be missing"
    assert takes(Column("x", "float32", (3, -1))) == "array 3 × any of float32"

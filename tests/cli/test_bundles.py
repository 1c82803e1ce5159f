"""list, show, alias, remove and store: what is in the store, and how it changes."""

from __future__ import annotations

import os

import pytest
from sklearn.preprocessing import StandardScaler

from fakes.shell import Shell
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.store import Store


def names(shell: Shell) -> list[str]:
    return [f"{entry['name']}:{entry['version']}" for entry in shell("list", "--json").facts]


def test_an_empty_store_says_what_to_do_next(shell: Shell) -> None:
    ran = shell("list")
    assert (ran.code, ran.out) == (0, "the store is empty\nnext: shipway pack MODEL --name NAME\n")


def test_list_has_a_line_a_version(stocked: Shell) -> None:
    head, *lines = stocked("list").out.splitlines()
    assert head.split() == ["NAME", "VERSION", "ALIASES", "DIGEST", "PACKED"]
    assert [line.split()[:3] for line in lines] == [["churn", "1", "-"], ["diabetes", "1", "-"]]


def test_list_facts_have_the_documented_keys(stocked: Shell) -> None:
    (entry,) = stocked("list", "diabetes", "--json").facts
    assert set(entry) == {"name", "version", "aliases", "digest", "created"}
    assert entry["digest"].startswith("sha256:")


@pytest.mark.parametrize("words", [("list", "chrun"), ("show", "chrun"), ("alias", "chrun", "best"), ("rm", "chrun")])
def test_a_name_near_a_known_one_is_proposed(stocked: Shell, words: tuple[str, ...]) -> None:
    assert "did you mean 'churn'?" in stocked(*words).refusal(1)


def test_show_tells_what_a_person_wants(stocked: Shell) -> None:
    text = stocked("show", "churn").out
    for words in (
        "Pipeline(ColumnTransformer, LogisticRegression)",
        "labels equal",
        "20, from the sample",
        "Bonn, Köln, West, Ulm",
        "predict_proba",
        "artefact/churn.joblib",
    ):
        assert words in text
    assert "Formula" not in text


def test_show_prints_a_linear_model_as_a_formula_of_its_target(stocked: Shell) -> None:
    formula = stocked("show", "diabetes").out.partition("Formula\n")[2].partition("\n\n")[0].splitlines()
    assert formula[0] == " progression = 152.133"
    assert formula[3] == "             + 519.846 * bmi"
    assert len(formula) == 11


def test_show_facts_hold_the_manifest(stocked: Shell) -> None:
    facts = stocked("show", "diabetes", "--json").facts
    assert set(facts) == {"name", "version", "digest", "notes", "manifest"}
    assert {"signature", "files", "versions", "golden", "formula"} <= set(facts["manifest"])
    assert stocked("show", f"diabetes@{facts['digest'][:20]}", "--json").facts == facts


def test_an_alias_is_set_moved_shown_and_removed(stocked: Shell) -> None:
    facts = stocked("alias", "churn:1", "best", "--json").facts
    assert set(facts) == {"name", "alias", "version", "digest"}
    assert stocked("show", "churn@best", "--json").facts["digest"] == facts["digest"]
    assert stocked("list", "churn", "--json").facts[0]["aliases"] == ["best"]
    assert stocked("remove", "churn@best", "--json").facts == {"removed": ["churn@best"]}
    assert "churn@best" in stocked("show", "churn@best").refusal(1)
    assert names(stocked) == ["churn:1", "diabetes:1"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("churn:1", "Best"), 2, "fix: call it best"),
        (("churn:9", "best"), 1, "versions 1"),
        (("./model.joblib", "best"), 2, "shipway alias NAME:VERSION ALIAS"),
    ],
)
def test_an_alias_that_cannot_be_is_refused(stocked: Shell, words: tuple[str, str], code: int, said: str) -> None:
    assert said in stocked("alias", *words).refusal(code)


def test_one_version_is_removed_without_a_question(stocked: Shell) -> None:
    (gone,) = stocked("remove", "churn:1", "--json").facts["removed"]
    assert gone.startswith("churn:1@sha256:")
    assert names(stocked) == ["diabetes:1"]


def test_all_versions_are_removed_only_by_who_says_yes(stocked: Shell) -> None:
    for scale in (1.0, 2.0):
        pack(PackRequest(StandardScaler().fit([[0.0], [scale]]), "scale"), Store.at(stocked.store))
    assert "shipway remove scale --yes" in stocked("remove", "scale").refusal(2)
    assert names(stocked)[2:] == ["scale:1", "scale:2"]
    assert len(stocked("remove", "scale", "--yes", "--json").facts["removed"]) == 2
    assert names(stocked) == ["churn:1", "diabetes:1"]


def test_a_whole_store_is_said_to_be(stocked: Shell) -> None:
    assert stocked("store", "check", "--json").facts == {"store": str(stocked.store), "bundles": 2, "problems": []}
    assert stocked("store", "check").out == f"2 bundles in {stocked.store}, all whole\n"


def test_a_changed_byte_is_found_and_nothing_is_answered_with_it(stocked: Shell) -> None:
    files = stocked("show", "diabetes", "--json").facts["manifest"]["files"]
    digest = next(file["digest"] for file in files if file["role"] == "compiled").removeprefix("sha256:")
    blob = stocked.store / "blobs" / "sha256" / digest
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    ran = stocked("store", "check")
    assert digest in ran.out
    assert "the store has 1 problem\n" in ran.refusal(1) + "\n"
    assert "store check" in stocked("predict", "diabetes", "--data", "-", data=b"[]").refusal(1)
    assert stocked("predict", "churn", "--data", "-", data=b"[]").code == 0


def test_garbage_is_counted_in_bytes(stocked: Shell) -> None:
    stocked("remove", "churn:1")
    blobs = list((stocked.store / "blobs" / "sha256").iterdir())
    for blob in blobs:
        os.utime(blob, (0, 0))
    before = sum(blob.stat().st_size for blob in blobs)
    freed = stocked("store", "gc", "--json").facts["freed_bytes"]
    assert freed > 0
    assert before - freed == sum(blob.stat().st_size for blob in (stocked.store / "blobs" / "sha256").iterdir())
    assert stocked("store", "check").code == 0

"""The model card: what the encoder and its run know, in the form that the hub indexes; and cards of strangers, read as data."""

from __future__ import annotations

import pytest
import yaml

from auricle.hub.huggingface.card import (
    CardFacts,
    CardScore,
    front_matter,
    licence_fields,
    read_model_card,
    write_model_card,
)
from auricle.hub.huggingface.name import RepositoryName
from auricle.hub.huggingface.publish import facts_from_lineage, publishable
from auricle.models.base import Encoder
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from helpers.encoders import m2d, mn

SPACE = LabelSpace(
    "multilabel", ("<b>frog</b> | toad", "ow`l", "quiet"), background=("quiet",), thresholds=(0.25, 0.5, 0.5), scale=(1.0,) * 3,
    offset=(0.0,) * 3, thresholds_fitted_on="5 folds\n# a heading",
)  # fmt: skip
SCORES = (
    CardScore("esc10", "test", "accuracy", 0.9512345678, "clips that were not learnt from"),
    CardScore("my | sounds", "", "mAP", 0.5, "protocol linear, 40 of 40 clips tested"),
)
REPOSITORY = RepositoryName("anna", "frogs")


@pytest.fixture(scope="module")
def detector() -> Encoder:
    encoder = mn()
    return encoder.with_head(make_head("linear", encoder, num_classes=3), SPACE)


def matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_front_matter_holds_what_the_hub_indexes(detector):
    detector.update_info(licence="CC-BY-4.0")
    values = matter(
        write_model_card(detector, CardFacts(datasets=("esc10",), scores=SCORES, base_model="berta/base"), REPOSITORY)
    )
    assert values["license"] == "cc-by-4.0"
    assert values["library_name"] == "auricle"
    assert values["pipeline_tag"] == "audio-classification"
    assert values["tags"] == ["audio", "auricle", "mn", "audio-tagging"]
    assert values["datasets"] == ["esc10"]
    assert values["base_model"] == "berta/base"
    result = values["model-index"][0]["results"][0]
    assert result["dataset"] == {"name": "esc10", "type": "esc10", "split": "test"}
    assert result["metrics"] == [
        {"type": "accuracy", "value": 0.951235, "name": "accuracy, clips that were not learnt from"}
    ]
    assert front_matter(m2d(), CardFacts())["pipeline_tag"] == "feature-extraction"


def test_the_client_of_the_hub_reads_the_scores(detector):
    client = pytest.importorskip("huggingface_hub")
    card = client.ModelCard(write_model_card(detector, CardFacts(scores=SCORES), REPOSITORY))
    assert [(score.metric_type, score.dataset_name) for score in card.data.eval_results] == [
        ("accuracy", "esc10"), ("mAP", "my | sounds")
    ]  # fmt: skip


def test_the_text_says_how_to_use_it_what_is_decided_and_how_scores_were_measured(detector):
    card = write_model_card(detector, CardFacts(scores=SCORES, bibtex="@article{x}"), REPOSITORY)
    assert 'auricle.load("hf://anna/frogs")' in card
    assert "auricle tag recording.wav --model hf://anna/frogs" in card
    assert "Trained as none of these, and never reported: quiet." in card
    assert "| ow\\`l |  | 0.5 |" in card
    assert "| esc10 | test | accuracy | 0.9512 | clips that were not learnt from |" in card
    assert detector.fingerprint() in card
    assert "@article{x}" in card
    assert "auricle embed recording.wav --model hf://anna/frogs --out" in write_model_card(
        m2d(), CardFacts(), REPOSITORY
    )


def test_names_of_classes_are_text_and_no_markup(detector):
    card = write_model_card(detector, CardFacts(), REPOSITORY)
    assert "<b>" not in card
    assert "&lt;b&gt;frog&lt;/b&gt; \\| toad" in card
    assert "\n# a heading" not in card


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("not stated", {"license": "unknown"}),
        ("MIT (repository; weights not stated)",
         {"license": "other", "license_name": "MIT (repository; weights not stated)", "license_link": "https://x.org/w"}),
    ],
)  # fmt: skip
def test_a_licence_is_an_id_of_the_hub_or_its_own_words(licence, fields):
    assert licence_fields(licence, "https://x.org/w") == fields


def test_many_classes_are_cut_in_the_table():
    encoder = mn()
    space = LabelSpace("multilabel", tuple(f"class-{c}" for c in range(70)))
    card = write_model_card(encoder.with_head(make_head("linear", encoder, num_classes=70), space), CardFacts())
    assert "class-59" in card
    assert "class-60" not in card
    assert "And 10 more: `config.json` holds all." in card


def test_paths_of_a_machine_are_not_published():
    lineage = {"source": "/home/anna/secret/frogs", "model": "..\\runs\\first", "data": ["~/x/y", "plain"], "step": 3}
    assert publishable(lineage) == {"source": "frogs", "model": "first", "data": ["y", "plain"], "step": 3}
    assert publishable("https://x.org/a/b.pt") == "https://x.org/a/b.pt"
    assert (
        facts_from_lineage({"model": "hf://berta/base@v1", "papers": ["schmid2023efficient", 3]}).base_model
        == "berta/base"
    )


def test_a_card_is_read_as_it_was_written(detector):
    facts = read_model_card(write_model_card(detector, CardFacts(datasets=("esc10",), scores=SCORES), REPOSITORY))
    assert facts["datasets"] == ["esc10"]
    assert facts["scores"][0] == "accuracy, clips that were not learnt from: 0.951235 on esc10, test"


@pytest.mark.parametrize(
    "front",
    ["", "[", "3", "[1, 2]", "license: [a, {b: c}, 3]", "tags: {a: b}\ndatasets: 3", "license: 2001-99-99",
     "license: " + "[" * 2000,
     "license: " + "9" * 5000, "model-index: [{results: [{metrics: [{type: a, value: .nan}, {type: a, value: x}]}]}]",
     "model-index: [3, {results: 3}, {results: [{metrics: 3, dataset: 3}]}]", "a: &a [*a]\ntags: *a",
     "a: &a [x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\ntags: [*c,*c,*c]", "license: \"a\\n\\x1b[31mb\"",
     "!!python/object/apply:os.system [echo]", "license: !!python/name:os.system"],
)  # fmt: skip
def test_a_card_of_a_stranger_gives_texts_or_nothing(front):
    for name, value in read_model_card(f"---\n{front}\n---\n# x").items():
        texts = value if isinstance(value, list) else [value]
        assert all(isinstance(text, str) and text.isprintable() and len(text) <= 500 for text in texts), name
    assert read_model_card(f"---\n{front}\n") == {}


def test_a_score_of_infinity_or_of_5000_digits_is_left_out():
    for value in (".inf", "9" * 400):
        front = f"model-index: [{{results: [{{metrics: [{{type: a, value: {value}}}]}}]}}]"
        assert read_model_card(f"---\n{front}\n---\n") == {}

"""The model card: ``README.md`` with the front matter that the hub indexes, written from what is known, and read as data."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from auricle.core.console import listed, printable
from auricle.hub.huggingface.name import PREFIX, RepositoryName
from auricle.version import __version__

if TYPE_CHECKING:
    from auricle.models.base import Encoder
    from auricle.models.label_space import LabelSpace

MARK = "<!-- Written by auricle and written anew by every push. Remove this line to keep your own text. -->"
LICENCES = {  # ids of the hub
    "apache-2.0", "mit", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail",
    "unlicense", "cdla-permissive-2.0", "unknown",
}  # fmt: skip
CLASSIFICATION, FEATURES = "audio-classification", "feature-extraction"
MOST_CLASSES = 60  # in a table of the card; config.json holds all
MOST_FRONT_MATTER = 1 << 18  # characters
MOST_READ = 200  # values of a list that are read


@dataclass(frozen=True)
class CardScore:
    """A score as the card states it.

    Attributes:
        dataset: what was scored.
        split: the part of it; "" without parts.
        metric: its name.
        value: the score.
        protocol: how it was measured, in words.
    """

    dataset: str
    split: str
    metric: str
    value: float
    protocol: str


@dataclass(frozen=True)
class CardFacts:
    """What is known of an encoder beside itself.

    Attributes:
        datasets: what it learnt from, by name.
        data: {what: text} about the clips it learnt from.
        scores: measured.
        lineage: {what: text}: where the weights come from.
        base_model: ``owner/name`` of the repository that it was made of; "" for others.
        notes: sentences that a user should know.
        bibtex: of the papers to cite.
    """

    datasets: tuple[str, ...] = ()
    data: dict[str, str] = field(default_factory=dict)
    scores: tuple[CardScore, ...] = ()
    lineage: dict[str, str] = field(default_factory=dict)
    base_model: str = ""
    notes: tuple[str, ...] = ()
    bibtex: str = ""


def write_model_card(encoder: Encoder, facts: CardFacts, repository: RepositoryName | None = None) -> str:
    """Return the text of a model card.

    Args:
        encoder: what is published.
        facts: what is known of it beside itself.
        repository: where it is published; None for a folder.

    Returns:
        Markdown with YAML front matter.
    """
    front = yaml.safe_dump(front_matter(encoder, facts, repository), sort_keys=False, allow_unicode=True)
    name = repository.name if repository else encoder.info.name
    parts = [
        f"# {_text(name)}",
        _summary(encoder),
        f"## How to use it\n\n{_usage(encoder, repository)}",
        f"## The network\n\n{_table(('', ''), _network(encoder))}",
        *(_head(head, space) for head, space in zip(encoder.info.head_names, encoder.info.label_spaces)),
        f"## What it learnt from\n\n{_table(('', ''), facts.data.items())}" if facts.data else "",
        f"## Scores\n\n{_scores(facts)}" if facts.scores else "## Scores\n\nNone are known.",
        "## Notes\n\n" + "\n".join(f"- {_text(note)}" for note in facts.notes) if facts.notes else "",
        f"## Where the weights come from\n\n{_table(('', ''), facts.lineage.items())}" if facts.lineage else "",
        f"## Licence\n\n{_text(encoder.info.licence)}"
        + (f"\n\nSource of the weights: {_text(encoder.info.source)}" if encoder.info.source else ""),
        f"## Citation\n\n```bibtex\n{facts.bibtex}\n```" if facts.bibtex else "",
        MARK,
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def front_matter(encoder: Encoder, facts: CardFacts, repository: RepositoryName | None = None) -> dict[str, Any]:
    """Return the front matter of the card as plain values."""
    info = encoder.info
    values: dict[str, Any] = licence_fields(info.licence, info.source)
    values |= {"library_name": "auricle", "pipeline_tag": CLASSIFICATION if info.head_names else FEATURES}
    kinds = ["audio-tagging"] if info.label_type == "multilabel" else []
    values["tags"] = list(dict.fromkeys(["audio", "auricle", info.family, *kinds]))
    if facts.base_model:
        values["base_model"] = facts.base_model
    if facts.datasets:
        values["datasets"] = list(facts.datasets)
    if facts.scores:
        name = repository.name if repository else info.name
        values["model-index"] = [{"name": printable(name), "results": [_result(score) for score in facts.scores]}]
    return values


def licence_fields(licence: str, source: str = "") -> dict[str, str]:
    """Return the licence as the hub names it: one of its ids, or "other" with the licence's own words."""
    plain = licence.strip().lower().replace(" ", "-")
    if plain in LICENCES:
        return {"license": plain}
    if plain in ("", "not-stated"):
        return {"license": "unknown"}
    link = {"license_link": source} if source.startswith(("http://", "https://")) else {}
    return {"license": "other", "license_name": printable(licence)[:100]} | link


def _result(score: CardScore) -> dict[str, Any]:
    dataset = {"name": printable(score.dataset), "type": _slug(score.dataset)} | (
        {"split": score.split} if score.split else {}
    )
    metric = {"type": _slug(score.metric), "value": round(score.value, 6), "name": f"{score.metric}, {score.protocol}"}
    return {
        "task": {"type": CLASSIFICATION, "name": "audio classification"},
        "dataset": dataset,
        "metrics": [{key: printable(value) if isinstance(value, str) else value for key, value in metric.items()}],
    }


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")[:80] or "unnamed"


# ---- the text
def _text(text: str) -> str:
    """Return a text of data for Markdown: one line, no tags, no cell borders, no emphasis that was not meant."""
    shown = html.escape(printable(str(text)).replace("\\", "\\\\"), quote=False)
    return re.sub(r"([|`*\[\]])", r"\\\1", shown)


def _table(titles: tuple[str, ...], rows: Any) -> str:
    lines = [titles, tuple("---" for _ in titles), *(tuple(_text(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summary(encoder: Encoder) -> str:
    info = encoder.info
    heads = [(name, encoder.num_classes(name)) for name in info.head_names]
    gives = "embeddings of clips and of frames"
    if heads:
        gives = f"scores of {' and '.join(f'{count} classes' for _, count in heads)}, and {gives}"
    return (
        f"An audio encoder of the family {info.family} for [Auricle](https://pypi.org/project/auricle/). It takes waveforms "
        f"at {info.sample_rate} Hz and gives {gives}."
    )


def _usage(encoder: Encoder, repository: RepositoryName | None) -> str:
    where = str(repository) if repository else "this-folder"
    if encoder.info.label_space is None:
        verb, line = "embed", f'print(auricle.embed(["recording.wav"], model="{where}").clip.shape)'
    else:
        verb, line = "tag", f'print(auricle.tag("recording.wav", model="{where}"))'
    out = " --out embeddings" if verb == "embed" else ""
    return (
        f'```python\nimport auricle\n\nencoder = auricle.load("{where}")\n{line}\n```\n\n'
        f"```bash\npip install auricle\nauricle {verb} recording.wav --model {where}{out}\n```"
    )


def _network(encoder: Encoder) -> list[tuple[str, str]]:
    info = encoder.info
    count = sum(parameter.numel() for parameter in encoder.parameters())
    return [
        ("family", info.family),
        ("parameters", f"{count:,}"),
        ("front end", info.front_end),
        ("sample rate", f"{info.sample_rate} Hz"),
        ("frames", f"{info.frame_dim} values every {1000 * info.hop_seconds:g} ms"),
        ("clip embedding", f"{info.clip_dim} values"),
        ("fingerprint", encoder.fingerprint()),
        ("written by", f"auricle {__version__}; weights in safetensors"),
    ]


def _head(head: str, space: LabelSpace | None) -> str:
    if space is None:
        return f"## Classes of the head {_text(head)}\n\nThe file does not name them."
    kind = "exactly one class holds" if space.kind == "multiclass" else "each class holds or not"
    lines = [f"## Classes of the head {_text(head)}", f"{len(space)} classes, {space.kind}: {kind}."]
    if not space.named:
        return "\n\n".join([*lines, "Their names are not known."])
    if space.background:
        lines.append(
            f"Trained as none of these, and never reported: {listed([_text(id) for id in space.background], 20)}."
        )
    if space.scale or space.offset:
        lines.append(
            f"Scores are calibrated probabilities, fitted on {_text(space.calibration_fitted_on) or 'unknown data'}."
        )
    if space.thresholds:
        lines.append(
            f"A class is detected from its threshold on; fitted on {_text(space.thresholds_fitted_on) or 'unknown data'}."
        )
    rows = [
        (id, name if name != id else "", f"{space.thresholds[c]:.4g}" if space.thresholds else "")
        for c, (id, name) in enumerate(zip(space.ids, space.names))
        if id not in space.background
    ]
    lines.append(_table(("class", "name", "threshold"), rows[:MOST_CLASSES]))
    if len(rows) > MOST_CLASSES:
        lines.append(f"And {len(rows) - MOST_CLASSES} more: `config.json` holds all.")
    return "\n\n".join(lines)


def _scores(facts: CardFacts) -> str:
    rows = [(s.dataset, s.split, s.metric, f"{s.value:.4f}", s.protocol) for s in facts.scores]
    return _table(("data", "part", "metric", "score", "how it was measured"), rows)


# ---- reading
def read_model_card(text: str) -> dict[str, Any]:
    """Read the facts of a card as data: whatever is of another kind than expected is left out.

    Returns:
        Those of "license", "license_name", "library_name", "pipeline_tag", "base_model", "tags", "datasets" and "scores" (texts).
    """
    found = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", text[:MOST_FRONT_MATTER], re.DOTALL)
    try:
        values = yaml.safe_load(found[1]) if found else None
    except Exception:  # the reader has errors of its own, and those of dates, numbers and deep nesting
        values = None
    if not isinstance(values, dict):
        return {}
    facts: dict[str, Any] = {}
    for name in ("license", "license_name", "library_name", "pipeline_tag", "base_model"):
        if texts := _texts(values.get(name)):
            facts[name] = ", ".join(texts)
    for name in ("tags", "datasets"):
        if texts := _texts(values.get(name)):
            facts[name] = texts
    if scores := _read_scores(values.get("model-index")):
        facts["scores"] = scores
    return facts


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [printable(item)[:200] for item in values[:MOST_READ] if isinstance(item, str) and item]


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value[:MOST_READ] if isinstance(row, dict)] if isinstance(value, list) else []


def _read_scores(index: Any) -> list[str]:
    """ "accuracy 0.9512 on esc10, test (how it was measured)": those that are numbers."""
    scores = []
    for result in (result for model in _rows(index) for result in _rows(model.get("results"))):
        dataset = result.get("dataset")
        where = ", ".join(_texts([dataset.get("name"), dataset.get("split")])) if isinstance(dataset, dict) else ""
        for row in _rows(result.get("metrics")):
            name, value = _texts([row.get("name"), row.get("type")]), row.get("value")
            if not name or not isinstance(value, (int, float)) or isinstance(value, bool) or not _is_number(value):
                continue
            scores.append(f"{name[0]}: {value:.6g}" + (f" on {where}" if where else ""))
    return scores[:MOST_READ]


def _is_number(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def base_model_of(model: str) -> str:
    """Return ``owner/name`` of a model that is a repository of the hub; "" for another one."""
    return RepositoryName.parse(model).id if model.startswith(PREFIX) else ""

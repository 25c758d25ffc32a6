"""Do suggested clips teach more than random ones? ``python -m benchmarks.label_rounds SOUNDS --labels TABLE --model NAME``

A detector begins with one labelled clip per class. In each round ten more training clips are labelled: those that
``auricle suggest`` would choose (doubtful and varied, without its random share), the most doubtful ones alone, or random
ones. The head is the linear one on frozen clip embeddings; the score is the accuracy on a fold that is never labelled,
mean over draws of the first clips.
"""

from __future__ import annotations

import argparse

import numpy as np

import auricle
from auricle.detectors.suggestions import comparable, doubts_of, varied_rows
from auricle.evaluation.probes.logistic import logistic_weights
from auricle.models.label_space import LabelSpace

NEAR, STRENGTH = 0.9, 1.0
WAYS = ("suggested", "most doubtful", "random")


def chosen(
    way: str, logits: np.ndarray, vectors: np.ndarray, have: np.ndarray, rows: np.ndarray, number: int
) -> np.ndarray:
    """Return rows to label next, of ``rows``, from the logits of all clips."""
    space = LabelSpace("multiclass", tuple(map(str, range(logits.shape[1]))))
    odds = np.exp(logits[rows] - logits[rows].max(1, keepdims=True))
    doubt = doubts_of(odds / odds.sum(1, keepdims=True), space).doubt
    if way == "most doubtful":
        return rows[np.argsort(-doubt, kind="stable")[:number]]
    centre = vectors[np.concatenate([have, rows])].mean(0)
    units, others = (comparable(vectors[part], centre) for part in (rows, have))
    return rows[varied_rows(doubt, units, number, near=NEAR, apart_from=others)]


def course(
    way: str, vectors: np.ndarray, classes: np.ndarray, tested: np.ndarray, seed: int, args: argparse.Namespace
) -> list:
    """Accuracy on the tested rows after each round."""
    random, training = np.random.default_rng(seed), np.flatnonzero(~tested)
    count = classes.max() + 1
    have = np.concatenate([random.permutation(training[classes[training] == c])[:1] for c in range(count)])
    targets, scores = np.eye(count, dtype=np.float32)[classes], []
    for _ in range(args.rounds + 1):
        weights, biases = logistic_weights(
            vectors[have], targets[have], np.ones_like(targets[have]), STRENGTH, multilabel=False
        )
        logits = vectors @ weights.T + biases
        scores.append(float((logits[tested].argmax(1) == classes[tested]).mean()))
        rows = np.setdiff1d(training, have)
        number = min(args.clips, len(rows))
        more = (
            random.permutation(rows)[:number] if way == "random" else chosen(way, logits, vectors, have, rows, number)
        )
        have = np.concatenate([have, more])
    return scores


def main() -> None:
    """Print a row per way of choosing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sounds")
    parser.add_argument("--labels")
    parser.add_argument("--model", default="mn04_as")
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=10, help="labelled in a round")
    parser.add_argument("--draws", type=int, default=10)
    args = parser.parse_args()
    manifest = auricle.Manifest.read(args.sounds, labels=args.labels)
    embeddings = auricle.Embedder(args.model, weights=args.weights)(manifest)
    clips = [manifest[id] for id in embeddings.ids]
    classes = np.unique([clip.labels[0] for clip in clips], return_inverse=True)[1]
    folds = np.array([clip.fold for clip in clips])
    names = np.unique(folds)
    for way in WAYS:
        scores = [
            course(way, embeddings.clip, classes, folds == names[seed % len(names)], seed, args)
            for seed in range(args.draws)
        ]
        print(f"{way:<15}" + "".join(f"{100 * score:8.1f}" for score in np.mean(scores, axis=0)))


if __name__ == "__main__":
    main()

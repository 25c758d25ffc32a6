"""Which way of comparing examples finds most? ``python -m benchmarks.search_methods SOUNDS --labels TABLE --model NAME``

Some clips of a class are the examples; the others are ranked by ``auricle search``'s methods. Negatives are what a person
would name: clips of other classes among the first results. The score is the precision of the first ten, mean over draws of a
class and its examples. "plain linear" is the classifier without its background of random clips.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

import auricle
from auricle.index.search.relevance import background_rows, choose_method, linear, nearest_scores, rocchio
from auricle.index.search.unit_vectors import UnitVectors

POSITIVES, NEGATIVES, FIRST = (1, 3, 5, 10, 20), (0, 3, 10, 30), 10
PLAIN = "plain linear"


def rankings(units: np.ndarray, like: np.ndarray, unlike: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores (n,) of all clips by method."""
    positives, negatives = units[like], units[unlike]
    scores = {
        "nearest": nearest_scores(units, positives, negatives),
        "rocchio": units @ rocchio(positives, negatives).unit,
        "linear": units @ linear(positives, negatives, units[background_rows(len(units))]).unit,
    }
    if len(unlike):
        scores[PLAIN] = units @ linear(positives, negatives[:0], negatives).unit
    return scores | {"auto": scores[choose_method(len(like), len(unlike))]}


def precision(units: np.ndarray, classes: np.ndarray, positives: int, negatives: int, draws: int) -> dict[str, float]:
    """Return the mean precision of the first ten by method."""
    random, found = np.random.default_rng(0), defaultdict(list)
    for _ in range(draws):
        wanted = random.choice(np.unique(classes))
        like = random.choice(np.flatnonzero(classes == wanted), positives, replace=False)
        order = np.argsort(-nearest_scores(units, units[like], units[:0]), kind="stable")
        wrong = order[classes[order] != wanted][: 2 * negatives]
        unlike = random.permutation(wrong)[:negatives]
        for method, scores in rankings(units, like, unlike).items():
            order = np.argsort(-scores, kind="stable")
            first = order[~np.isin(order, np.concatenate([like, unlike]))][:FIRST]
            found[method].append(float((classes[first] == wanted).mean()))
    return {method: float(np.mean(values)) for method, values in found.items()}


def main() -> None:
    """Print a row per number of examples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sounds")
    parser.add_argument("--labels")
    parser.add_argument("--label-column")
    parser.add_argument("--model", default="mn04_as")
    parser.add_argument("--weights")
    parser.add_argument("--draws", type=int, default=100)
    args = parser.parse_args()
    manifest = auricle.Manifest.read(args.sounds, labels=args.labels, label_column=args.label_column)
    embeddings = auricle.Embedder(args.model, weights=args.weights)(manifest)
    classes = np.array([manifest[id].labels[0] for id in embeddings.ids])
    units = UnitVectors.make(lambda: [embeddings.clip], len(classes)).rows(slice(None))
    methods = ("nearest", "rocchio", "linear", PLAIN, "auto")
    print("like  unlike  " + "".join(f"{method:>14}" for method in methods))
    for negatives in NEGATIVES:
        for positives in POSITIVES:
            scores = precision(units, classes, positives, negatives, args.draws)
            cells = "".join(f"{100 * scores[m]:14.1f}" if m in scores else f"{'–':>14}" for m in methods)
            print(f"{positives:4}  {negatives:6}  {cells}", flush=True)


if __name__ == "__main__":
    main()

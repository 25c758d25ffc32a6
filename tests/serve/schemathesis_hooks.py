"""Hooks of schemathesis: half of the drawn requests name recordings, jobs, runs and classes that exist."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import schemathesis

KNOWN: dict[str, list[Any]] = json.loads(os.environ["AURICLE_KNOWN"])  # by the name of a parameter or of a JSON value
PLACES = {"/recordings/": "recording", "/jobs/": "job", "/runs/": "run"}
draw = random.Random(0)


def replaced(value: Any) -> Any:
    """The JSON value with known values in it."""
    if isinstance(value, list):
        return [replaced(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: draw.choice(KNOWN[name]) if name in KNOWN else replaced(item) for name, item in value.items()}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    kind = next((kind for place, kind in PLACES.items() if place in context.operation.path), None)
    if path_parameters and kind and draw.random() < 0.5:
        return {**path_parameters, "id": draw.choice(KNOWN[kind])}
    return path_parameters


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    return replaced(query) if query and draw.random() < 0.5 else query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return replaced(body) if draw.random() < 0.5 else body

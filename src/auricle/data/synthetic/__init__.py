"""Procedural sounds: ``SOUNDS[name](rng, rate, seconds)`` returns a new example (S,) without room and background.

Some classes are similar on purpose. Clock, typing, drops and steps differ in rhythm more than in spectrum; sirens, beeps,
birds and insects differ in the pitch contour; rain, applause, wind and sawing differ in the envelope of the noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.instruments import (
    beeps,
    bell,
    bird_chirp,
    dog_bark,
    drum,
    insect,
    plucked_string,
    siren,
    vowel_voice,
)
from auricle.data.synthetic.noises import (
    applause,
    clock_tick,
    engine,
    footsteps,
    glass,
    helicopter,
    rain,
    sawing,
    typing,
    water_drops,
    wind,
)

Sound = Callable[[Generator, int, float], np.ndarray]

SOUNDS: dict[str, Sound] = {
    "applause": applause,
    "beeps": beeps,
    "bell": bell,
    "bird_chirp": bird_chirp,
    "clock_tick": clock_tick,
    "dog_bark": dog_bark,
    "drum": drum,
    "engine": engine,
    "footsteps": footsteps,
    "glass": glass,
    "helicopter": helicopter,
    "insect": insect,
    "plucked_string": plucked_string,
    "rain": rain,
    "sawing": sawing,
    "siren": siren,
    "typing": typing,
    "vowel_voice": vowel_voice,
    "water_drops": water_drops,
    "wind": wind,
}

"""Drawn sounds in noise, as a microphone's stream of band energies: 40 steps of 20 ms, 16 bands.

x is float32 (rows, 40, 16); y is int64 (rows, 40), the class of each step: 0 nothing, 1 a rising chirp, 2 a falling chirp, 3 two notes.
A class is shown in the six steps after the sound has ended, so that a net without a memory cannot know it.
"""

import itertools

import numpy as np

BANDS, STEPS, RATE_HZ, STEP_SAMPLES, TOLD_STEPS = 16, 40, 8000, 160, 6
CLASSES = 4


def training():
    return drawn(4000, seed=1)


def calibration():
    return training()[0][:30]


def evaluation():
    return drawn(300, seed=2)


def drawn(rows, seed):
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 1, (rows, STEPS * STEP_SAMPLES)) * rng.uniform(0.1, 0.5, (rows, 1))
    y = np.zeros((rows, STEPS), np.int64)
    for wave, classes in zip(waves, y, strict=True):
        kind = rng.integers(CLASSES)
        if not kind:
            continue
        first, steps = rng.integers(0, 16), rng.integers(12, 18)
        at = np.arange(steps * STEP_SAMPLES) / (steps * STEP_SAMPLES)
        low, high = rng.uniform(300, 900), rng.uniform(1800, 3200)
        notes = np.where((at < 0.5) == (rng.random() < 0.5), low, high)
        hertz = [low + (high - low) * at, high + (low - high) * at, notes][kind - 1]
        sound = rng.uniform(0.25, 0.8) * np.sin(2 * np.pi * np.cumsum(hertz) / RATE_HZ)
        wave[first * STEP_SAMPLES : (first + steps) * STEP_SAMPLES] += sound
        classes[first + steps : first + steps + TOLD_STEPS] = kind
    return bands_of(waves), y


def bands_of(waves):
    """Return the logarithms of the energies in bands from 125 Hz to 4 kHz, scaled to some -1..1."""
    frames = waves.reshape(len(waves), STEPS, STEP_SAMPLES) * np.hanning(STEP_SAMPLES)
    power = np.abs(np.fft.rfft(frames, 256)[..., 1:129]) ** 2
    edges = np.round(np.geomspace(4, 128, BANDS + 1)).astype(int)
    bands = np.stack([power[..., a:b].mean(-1) for a, b in itertools.pairwise(edges)], -1)
    return ((np.log(bands + 1e-3) + 2) / 4).astype(np.float32)


def sounds(outputs, labels):
    """The share of sounds that are known rightly: by the class with the largest logit of all steps, or none where none is above 0."""
    logits = outputs["kinds"].reshape(len(labels), STEPS, CLASSES)
    strongest = logits[..., 1:].max(1)
    known = np.where(strongest.max(1) > 0, strongest.argmax(1) + 1, 0)
    return float(np.mean(known == labels.max(1)))

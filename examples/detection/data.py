"""Drawn pictures of squares, discs and triangles, their boxes, and how the net's two outputs become boxes.

x is float32 (rows, 48, 48, 3) in 0..1; y is float32 (rows, 3, 5): x, y, width and height in pixels, and the class (0 square, 1 disc,
2 triangle) of up to three shapes, filled up with -1.
"""

import numpy as np

SIZE, STRIDE, CLASSES, MOST_SHAPES = 48, 4, 3, 3
GRID = SIZE // STRIDE
LEAST_SCORE, MOST_OVERLAP, MOST_BOXES = 0.02, 0.5, 20


def training():
    return drawn(3000, seed=1)


def calibration():
    return training()[0][:100]


def evaluation():
    return drawn(400, seed=2)


def drawn(rows, seed):
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:SIZE, :SIZE] + 0.5
    x, y = np.empty((rows, SIZE, SIZE, 3), np.float32), np.full((rows, MOST_SHAPES, 5), -1, np.float32)
    for picture, boxes in zip(x, y, strict=True):
        shade = rng.normal(0, 0.3, (2, 3))
        ground = rng.uniform(0.2, 0.8, 3)
        picture[:] = ground + shade[0] * (down[..., None] / SIZE - 0.5) + shade[1] * (right[..., None] / SIZE - 0.5)
        for place in range(rng.integers(1, MOST_SHAPES + 1)):
            kind, half = rng.integers(CLASSES), rng.uniform(5, 11)
            a, b = rng.uniform(half + 1, SIZE - half - 1, 2)
            if _overlaps(boxes[:place], b - half, a - half, 2 * half):
                continue
            inside = [
                (np.abs(down - a) < half) & (np.abs(right - b) < half),
                (down - a) ** 2 + (right - b) ** 2 < half**2,
                (down < a + half) & (down - (a - half) > 2 * np.abs(right - b)),
            ][kind]
            picture[inside] = np.abs(picture[inside].mean(0) - rng.uniform(0.3, 0.6, 3))  # unlike what it lies on
            boxes[place] = b - half, a - half, 2 * half, 2 * half, kind
    return np.clip(x + rng.normal(0, 0.05, x.shape), 0, 1).astype(np.float32), y


def _overlaps(boxes, x, y, side):
    far = (
        (boxes[:, 0] > x + side)
        | (boxes[:, 0] + boxes[:, 2] < x)
        | (boxes[:, 1] > y + side)
        | (boxes[:, 1] + boxes[:, 3] < y)
    )
    return bool((~far & (boxes[:, 4] >= 0)).any())


def boxes(outputs):
    """[task] postprocess: return the net's two outputs as boxes, (rows, 20, 6): x0, y0, x1, y1, score, class; score 0 is a free slot.

    score: (rows, 12, 12, 3) logits of a shape's centre; sides: (rows, 12, 12, 4) distances to the left, top, right and bottom in cells.
    """
    scores = 1 / (1 + np.exp(-outputs["score"].astype(np.float64)))
    down, right = (np.mgrid[:GRID, :GRID] + 0.5) * STRIDE
    left, top, beyond, below = np.moveaxis(outputs["sides"] * STRIDE, -1, 0)
    corners = np.stack([right - left, down - top, right + beyond, down + below], -1)
    found = np.zeros((len(scores), MOST_BOXES, 6), np.float32)
    for row, (score, corner) in enumerate(zip(scores, corners, strict=True)):
        at = np.argwhere(score > LEAST_SCORE)
        at = at[np.argsort(-score[tuple(at.T)], kind="stable")]
        kept = []
        for a, b, kind in at:
            if all(kind != k or _overlap(corner[a, b], other) <= MOST_OVERLAP for other, k in kept):
                found[row, len(kept)] = *corner[a, b], score[a, b, kind], kind
                kept.append((corner[a, b], kind))
            if len(kept) == MOST_BOXES:
                break
    return {"boxes": found}


def _overlap(one, other):
    """Return the area that two boxes share, over the area of both."""
    shared = np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None))
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return shared / max(areas - shared, 1e-9)

"""Boxes of a video frame to embeddings, as trackers take them (BoxMOT: tracker.update(detections, frame, embeddings)).

    python -m examples.tracker logs/demo/stage2/best.pt

Two frames with the same three people stand for a video; a tracker would join the boxes by these similarities.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `python examples/tracker.py`, nothing installed

from tokenmatcher import TokenMatcher
from tokenmatcher.cli import Parser, run
from tokenmatcher.people import World, render


def embeddings(model, frame, detections, modality="visible"):
    """(N, D) float32 of an RGB frame (H, W, 3; OpenCV's frames are BGR: frame[..., ::-1]) and (N, 6) detections,
    x1, y1, x2, y2, confidence, class, of which boxes outside the frame are cut to it."""
    height, width = frame.shape[:2]
    boxes = np.clip(detections[:, :4].round().astype(int), 0, [width - 1, height - 1, width, height])
    crops = [np.ascontiguousarray(frame[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]) for x1, y1, x2, y2 in boxes]
    return model.embed(crops, modality, mirror=False).numpy()


def frame_of(people, shot):
    """People side by side on grey, and where they are."""
    frame, detections = np.full((140, 60 * len(people), 3), 128, np.uint8), []
    for place, person in enumerate(people):
        frame[6:134, 60 * place : 60 * place + 48] = render(World(height=128, width=48), person, 1, shot)
        detections.append((60 * place, 6, 60 * place + 48, 134, 0.9, 0))
    return frame, np.array(detections, dtype=float)


def main():
    parser = Parser("Boxes of two frames, joined by their similarities.")
    parser.add_argument("checkpoint", type=Path)
    model = TokenMatcher.from_checkpoint(parser.parse_args().checkpoint)
    first, second = (embeddings(model, *frame_of(people, shot)) for people, shot in (([3, 1, 2], 0), ([1, 2, 3], 1)))
    print("embeddings:", first.shape, first.dtype)
    rows, columns = linear_sum_assignment(first @ second.T, maximize=True)
    for row, column in zip(rows, columns, strict=True):
        print(f"box {row} of the first frame is box {column} of the second, {first[row] @ second[column]:.2f} alike")


if __name__ == "__main__":
    run(main)

"""Draw docs/images/verdict.png from what ``gml predict`` wrote.

A row for each video: the frame of its overlay in the middle of its most
suspicious clip, and its timeline.

Usage::

    python docs/images/verdict.py verdicts/022 verdicts/022_023
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np

from gml_mmaction.io.files import read_json

OUT = Path(__file__).with_suffix('.png')
HEIGHT = 360  # pixels of a row


def row(folder: Path) -> np.ndarray:
    """Overlay beside timeline, BGR."""
    clip = read_json(folder / 'prediction.json')['most_suspicious']
    with av.open(str(folder / 'overlay.mp4')) as video:
        frames = [
            frame.to_ndarray(format='bgr24') for frame in video.decode(video=0)
        ]
    frame = frames[(clip['start'] + clip['stop']) // 2]
    timeline = cv2.imread(str(folder / 'timeline.png'))
    return np.hstack([_resized(frame), _resized(timeline)])


def _resized(image: np.ndarray) -> np.ndarray:
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)


if __name__ == '__main__':
    rows = [row(Path(folder)) for folder in sys.argv[1:]]
    cv2.imwrite(str(OUT), np.vstack(rows))

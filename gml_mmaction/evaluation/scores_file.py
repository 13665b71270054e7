"""Scores of single clips and videos on disk, as JSON.

    {"source": "dfo", "manifest": "<sha256>", "video_rule": "mean",
     "thresholds": {"video": 0.41},
     "videos": [{"video_id", "method", "label", "score",
                 "tracks": [{"track", "score", "clips"}]}],
     "clips": [{"video_id", "track", "clip_index", "method", "label",
                "score"}]}

A score is P(fake); label 0 is real, 1 is fake. ``source`` and ``manifest``
are those of the annotation file, None where it has none.
"""

import json
import os
import tempfile
from pathlib import Path

__all__ = ['write_json', 'write_text']


def write_text(path: str | Path, text: str) -> None:
    """Write a file, and its folder, that appears whole or not at all.

    Raises:
        OSError: The file cannot be written; what was there stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / path.name
        partial.write_text(text, encoding='utf-8')
        os.replace(partial, path)


def write_json(path: str | Path, content: dict) -> None:
    """Write an object as :func:`write_text` does, one item of a list a line.

    Raises:
        OSError: As :func:`write_text`.
        ValueError: A number is not finite, which JSON does not know.
    """
    parts = []
    for key, value in content.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list) and value:
            items = (json.dumps(item, allow_nan=False) for item in value)
            text = '[\n' + ',\n'.join(items) + '\n]'
        parts.append(f'{json.dumps(key)}: {text}')
    write_text(path, '{\n' + ',\n'.join(parts) + '\n}\n')

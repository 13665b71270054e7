"""Annotations of prepared data, checked before they are believed.

Crops lie below the folder of the annotation; a name that leads out of it is
refused. Videos, of which crops are cut on the fly, lie where the annotation's
``root`` and their own names say, as preparation found them: the reals of
DeeperForensics are in another tree. They are only read, and only if their
suffix is that of a video or an archive, or if they are folders of images. A
link in a folder is its owner's will, and followed.
"""

import operator
import os
import re
from typing import Any

from gml_mmaction.errors import GMLError
from gml_mmaction.io.fields import (
    LABEL,
    LIST,
    OBJECT,
    PLACE,
    RELATIVE,
    TEXT,
    Rule,
    check_fields,
    is_place,
    line,
    whole,
)
from gml_mmaction.io.files import read_json
from gml_mmaction.video import Rates
from gml_mmaction.video.distortions import parse_distortions

__all__ = ['DataError', 'read_annotation']


class DataError(GMLError, ValueError):
    """Prepared data that cannot be used."""


def read_annotation(path: str | os.PathLike) -> dict[str, Any]:
    """Read an annotation in MMEngine's format, ``metainfo`` and ``data_list``.

    Raises:
        DataError: It is none of ``tools/prepare_data.py``, or names what it
            must not; the message says which entry.
        OSError: It cannot be read.
    """
    try:
        content = read_json(path)
        check_fields(content, dict(metainfo=OBJECT, data_list=LIST))
        boxes = content['metainfo'].get('store') == 'boxes'
        check_fields(
            content['metainfo'],
            dict(root=TEXT) if boxes else {},
            _METAINFO,
        )
        needed, optional = _BOXES if boxes else _CROPS
        for number, entry in enumerate(content['data_list']):
            _check_entry(entry, number, needed, optional)
    except ValueError as error:
        raise DataError(
            f'{path} is no annotation of tools/prepare_data.py ({error}); '
            'run it again'
        ) from None
    return content


def _check_entry(
    entry: Any, number: int, needed: dict[str, Rule], optional: dict[str, Rule]
) -> None:
    try:
        check_fields(entry, _TRACK | needed, optional)
        count = entry['num_frames']
        if len(entry.get('frames', range(count))) != count:
            raise ValueError(f"'frames' are not the {count} of the track")
        parse_distortions(entry.get('distortions', ''))
    except ValueError as error:
        raise ValueError(f'entry {number}: {error}') from None


def _is_name(value: Any) -> bool:
    pattern = r'[\w-]*\{:(0?\d)?d?\}\.\w+'
    return isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _is_square(value: Any) -> bool:
    if value is None:  # images that are crops already
        return True
    place = whole(-(2**15), 2**15)
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(map(place.holds, value))
        and value[2] > 0
    )


def _is_rates(value: Any) -> bool:
    try:
        Rates.from_record(value)
    except ValueError:
        return False
    return True


_METAINFO = dict(
    **dict.fromkeys(('origin', 'source'), line(1000)),
    rates=Rule('numbers low, median and high', _is_rates),
    stride=whole(1, 1000),
    filename_tmpl=Rule("a name such as '{:06}.jpg'", _is_name),
)
_TRACK = dict(
    video_id=TEXT, num_frames=whole(0, 2_000_000), label=LABEL, method=TEXT
)
_FRAME = whole(0, 2_000_000_000)
_COUNTS = dict(
    track=whole(0),
    start=whole(0),
    frames=Rule(
        'a list of frames, ascending',
        lambda value: (
            isinstance(value, list)
            and all(map(_FRAME.holds, value))
            and all(map(operator.lt, value, value[1:]))
        ),
    ),
)
_CROPS = dict(frame_dir=PLACE), _COUNTS
_BOXES = (
    dict(
        video=RELATIVE,
        square=Rule('a square [left, top, side], or null', _is_square),
    ),
    dict(
        _COUNTS,
        distortions=TEXT,
        member=Rule(
            'a path in an archive', lambda v: v in ('', '.') or is_place(v)
        ),
    ),
)

"""``manifest.json`` and ``report.json`` of prepared data, read with care.

They may have come from somebody else together with the crops. Nothing that
they say is used before :mod:`gml_mmaction.io.fields` has looked at it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gml_mmaction.io.fields import (
    LABEL,
    LIST,
    NUMBER,
    OBJECT,
    PLACE,
    RELATIVE,
    TEXT,
    Rule,
    check_fields,
    list_of,
    one_of,
    or_null,
    whole,
)
from gml_mmaction.io.files import FileError, read_json
from gml_mmaction.video.distortions import parse_distortions

__all__ = ['read_manifest', 'read_report']

_TRUTH = one_of(True, False)
_LIMIT = or_null(whole(0))
_LIMITS = Rule(
    'an object of whole numbers',
    lambda value: (
        isinstance(value, dict) and all(map(_LIMIT.holds, value.values()))
    ),
)
_COUNTS = Rule(
    'an object of whole numbers',
    lambda value: (
        isinstance(value, dict) and all(map(whole(0).holds, value.values()))
    ),
)
_RATE = Rule(
    'a number, 0 or more, or null',
    lambda v: v is None or (NUMBER.holds(v) and v >= 0),
)
_MANIFEST = dict(
    source=TEXT,
    origin=Rule(
        'an object of texts',
        lambda value: (
            isinstance(value, dict) and all(map(TEXT.holds, value.values()))
        ),
    ),
    source_options=OBJECT,
    root=TEXT,
    max_frames=_LIMITS,
    **dict.fromkeys(('store', 'image', 'tracks'), TEXT),
    **dict.fromkeys(('size', 'stride', 'quality', 'min_frames'), whole(0)),
    **dict.fromkeys(('upsample', 'search_stride'), whole(0)),
    **dict.fromkeys(('check_stride', 'lost'), whole(0)),
    rate=_RATE,
)
_SPLIT = one_of('train', 'val', 'test')
_VIDEO = dict(video_id=PLACE, split=_SPLIT, label=LABEL, method=TEXT)
_VIDEO_MAY_HAVE = dict(
    path=RELATIVE,
    people=list_of(TEXT),
    reason=TEXT,
    member=TEXT,
    cropped=_TRUTH,
    width=whole(0),
    height=whole(0),
    tracks=list_of(OBJECT),
    rate=_RATE,
    fps=_RATE,
    distortions=TEXT,
)


def read_manifest(folder: str | Path) -> dict[str, Any] | None:
    """Read ``manifest.json`` of a prepared folder; None if there is none.

    Args:
        folder: The folder; ``''``, a config's data set that is nowhere, has
            none.

    Raises:
        FileError: It is none of ``tools/prepare_data.py``.
        OSError: It cannot be read.
    """
    return _read(folder, 'manifest.json', _check_manifest)


def read_report(folder: str | Path) -> dict[str, Any] | None:
    """Read ``report.json`` likewise.

    Raises:
        FileError: It is none of ``tools/prepare_data.py``.
        OSError: It cannot be read.
    """
    return _read(folder, 'report.json', _check_report)


def _read(
    folder: str | Path, name: str, check: Callable[[Any], None]
) -> dict[str, Any] | None:
    path = Path(folder, name)
    if folder == '' or not path.is_file():
        return None
    content = read_json(path)
    try:
        check(content)
    except ValueError as error:
        raise FileError(
            f'{path}: none of tools/prepare_data.py ({error}); run it again'
        ) from None
    return content


def _check_manifest(manifest: Any) -> None:
    check_fields(manifest, dict(videos=LIST), _MANIFEST)
    for video in manifest['videos']:
        check_fields(video, _VIDEO, _VIDEO_MAY_HAVE)
        parse_distortions(video.get('distortions', ''))


def _check_report(report: Any) -> None:
    check_fields(report, dict(rows=LIST))
    for row in report['rows']:
        check_fields(row, dict(split=TEXT, failed=_COUNTS, missing=whole(0)))

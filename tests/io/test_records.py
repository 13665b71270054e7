"""Records are read strictly, and written as they were read."""

import json
import re
from typing import Annotated

import pytest
from msgspec import Meta

from gml_mmaction.errors import GMLError
from gml_mmaction.evaluation.calibration import Calibration
from gml_mmaction.evaluation.scores import ScoresFile
from gml_mmaction.io.files import write_json
from gml_mmaction.io.records import (
    UNSET,
    Count,
    Label,
    Number,
    Place,
    Record,
    Relative,
    Share,
    Text,
    UnsetType,
    as_json,
    decode,
    read_record,
    to_record,
)
from gml_mmaction.prepared.annotation import BoxAnnotation, CropAnnotation
from gml_mmaction.prepared.manifest import Manifest, Report
from gml_mmaction.prepared.records import VideoRecord
from gml_mmaction.sources.origin import Origin


class Part(Record, frozen=True, kw_only=True):
    label: Label
    place: Place | UnsetType = UNSET
    limit: Count | None = None


class Whole(Record, frozen=True, kw_only=True):
    parts: list[Part]
    names: list[Text] | UnsetType = UNSET
    counts: dict[str, Annotated[int, Meta(ge=0)]] = {}
    number: Number | UnsetType = UNSET
    share: Share | UnsetType = UNSET
    path: Relative | UnsetType = UNSET


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('[]', 'it is a list, expected an object'),
        ('{}', "'parts' is missing"),
        ('{"parts": 3}', "'parts' is a whole number, expected a list"),
        ('{"parts": [{}]}', "parts[0]: 'label' is missing"),
        (
            '{"parts": [{"label": 0}, {"label": 2}]}',
            "parts[1]: 'label' is 2, expected 0 (real) or 1 (fake)",
        ),
        (
            '{"parts": [{"label": true}]}',
            "parts[0]: 'label' is true or false, expected 0 (real) or 1",
        ),
        (
            '{"parts": [{"label": 1, "limit": 1.0}]}',
            "parts[0]: 'limit' is a number, expected a whole number or null",
        ),
        (
            '{"parts": [{"label": 1, "limit": 9999999999999999999999}]}',
            "parts[0]: 'limit' is out of bounds, expected a whole number <=",
        ),
        (
            '{"parts": [{"label": 1, "place": "../a"}]}',
            "parts[0]: 'place' is '../a', expected a path within its folder",
        ),
        (
            '{"parts": [{"label": 1, "place": 7}]}',
            "parts[0]: 'place' is a whole number, expected a path within its",
        ),
        (
            r'{"parts": [], "names": ["a", "\u001b[2J"]}',
            "'names' is ['a', '\\x1b[2J'], expected a list, each text in a",
        ),
        (
            '{"parts": [], "counts": {"a": null}}',
            "'counts' is null, expected a whole number",
        ),
        ('{"parts": [], "number": NaN}', 'not JSON: JSON is malformed'),
        ('{"parts": [], "number": 1e999}', "'number' cannot be used: number"),
        (
            '{"parts": [], "number": "1"}',
            "'number' is text, expected a number",
        ),
        ('{"parts": [], "number": 1e30}', "'number' is 1e+30, expected a"),
        ('{"parts": [], "share": -0.5}', "'share' is out of bounds, expected"),
        ('{"parts": [], "path": "/etc"}', "'path' is '/etc', expected a"),
        ('{"parts": [', 'not JSON: '),
        ('[' * 100_000, 'it is a list'),
        ('{"parts": [], "x": ' + '[' * 100_000, 'not JSON: nested too deep'),
        ('{"parts": [], "number": ' + '9' * 5000 + '}', "'number' cannot be"),
    ],
    ids=range(22),
)
def test_what_a_record_is_not_is_said_in_one_line(text, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        decode(text, Whole)
    assert str(caught.value).startswith(words)
    assert str(caught.value).isprintable()


def test_a_dict_is_held_to_the_same_rules():
    with pytest.raises(ValueError, match=r"parts\[0\]: 'label' is 2, expect"):
        to_record({'parts': [{'label': 2}]}, Whole)
    with pytest.raises(ValueError, match="'share' is out of bounds"):
        to_record({'parts': [], 'share': float('inf')}, Whole)


def test_an_unknown_field_moves_no_cursor():
    with pytest.raises(ValueError, match='not one of its fields') as caught:
        decode(r'{"a\u001b[2J\n": 1}', Calibration)
    assert str(caught.value).isprintable()


def test_what_we_make_is_held_to_the_rules_too():
    with pytest.raises(ValueError, match="'label' is 2, expected 0"):
        Part(label=2)


@pytest.mark.parametrize('data', [b'{"parts": 3}', b'\xff', b'{'])
def test_a_file_is_named_with_what_it_should_be_and_the_remedy(tmp_path, data):
    path = tmp_path / 'a.json'
    path.write_bytes(data)
    with pytest.raises(GMLError) as caught:
        read_record(path, Whole, what='whole', remedy='make it again')
    message = str(caught.value)
    assert message.startswith(f'{path} is not a valid whole (')
    assert message.endswith('). Remedy: make it again')
    assert message.count(str(path)) == 1


TRACK = {
    'start': 4,
    'stop': 20,
    'num_frames': 8,
    'face_box': None,
    'face_score': 0.125,
    'n_faces': 1,
    'square': [-3, 5, 80],
    'padding': [3, 0, 0, 0],
    'seen': 1.0,
}
OUTCOME = {
    'fps': 25.0,
    'width': 64,
    'height': 48,
    'total_frames': 30,
    'stride': 2,
    'rate': None,
    'notes': ['10 frames, 9 with boxes'],
    'tracks': [TRACK, {**TRACK, 'square': None, 'frames': [4, 7, 9]}],
}
FAILURE = {'reason': 'no face', 'detail': 'in frames 0 to 9'}
VIDEO = {
    'video_id': 'a/1',
    'path': '../a/1.mp4',
    'split': 'test',
    'method': 'swap',
    'label': 1,
    'people': [],
}
ROW = {
    'split': 'test',
    'method': 'swap',
    'expected': 3,
    'missing': 1,
    'found': 2,
    'prepared': 1,
    'failed': {'no face': 1},
    'tracks': 2,
    'frames': 16,
    'rates': {'low': 12.5, 'median': 12.5, 'high': 15.0},
    'notes': {'N frames, N with boxes': 1},
}
METAINFO = {
    'origin': 'made up',
    'rates': ROW['rates'],
    'source': 'mine',
    'store': 'crops',
    'size': 64,
    'stride': 2,
    'filename_tmpl': '{:06}.png',
    'classes': ['real', 'fake'],
    'manifest': 'ab' * 32,
    'root': '../a',
}
ENTRY = {
    'video_id': 'a/1',
    'track': 0,
    'start': 4,
    'num_frames': 3,
    'label': 1,
    'method': 'swap',
    'frames': [4, 7, 9],
}
BOXES = {'video': '../a/1.mp4', 'member': '', 'square': [1, 2, 3]}
FILES = {
    'manifest': (
        Manifest,
        {
            'origin': {'test': 'made up'},
            'source': 'mine',
            'source_options': {'a': ['x'], 'b': None, 'c': 1.0},
            'size': 64,
            'stride': 2,
            'rate': 10,
            'store': 'crops',
            'image': 'png',
            'quality': 95,
            'min_frames': 8,
            'tracks': 'one',
            'upsample': 1,
            'search_stride': 10,
            'check_stride': 50,
            'lost': 100,
            'max_frames': {'train': 60, 'val': None, 'test': None},
            'rules': {'padding': 'black'},
            'versions': {'numpy': '2.4.6, 2.5.0'},
            'root': '../a',
            'videos': [
                {**VIDEO, 'bytes': 7, **OUTCOME},
                {
                    **VIDEO,
                    'boxes_from': 'b.mp4',
                    'mask': 'm.png',
                    'member': 'x',
                    'cropped': True,
                    'distortions': 'GB:1 CS:2',
                    'tracks_given': 'ab',
                    'bytes': None,
                    **FAILURE,
                },
            ],
        },
    ),
    'older manifest': (Manifest, {'source': 'mine', 'videos': [VIDEO]}),
    'report': (
        Report,
        {
            'rows': [ROW, {**ROW, 'rates': None}],
            'total': {**ROW, 'split': 'total'},
            'failures': [{'video_id': 'b', 'split': 'test', **FAILURE}],
            'missing': ['gone'],
            'notes': ['n'],
        },
    ),
    'record': (
        VideoRecord,
        {
            'facts': {'path': 'a.mp4', 'stamps': {'path': [7, 10**18]}},
            'result': OUTCOME,
        },
    ),
    'crops': (
        CropAnnotation,
        {
            'metainfo': METAINFO,
            'data_list': [{**ENTRY, 'frame_dir': 'frames/a/1/0'}],
        },
    ),
    'boxes': (
        BoxAnnotation,
        {
            'metainfo': {**METAINFO, 'store': 'boxes'},
            'data_list': [
                {**ENTRY, **BOXES},
                {**ENTRY, **BOXES, 'square': None, 'distortions': 'GB:1'},
            ],
        },
    ),
    'scores': (
        ScoresFile,
        {
            'source': None,
            'manifest': 'ab',
            'video_rule': 'mean',
            'thresholds': {'video': 0.5},
            'videos': [
                {
                    'video_id': 'a',
                    'method': 'real',
                    'label': 0,
                    'score': 1e-07,
                    'tracks': [{'track': 0, 'score': 1e-07, 'clips': 1}],
                }
            ],
            'clips': [
                {
                    'video_id': 'a',
                    'track': 0,
                    'clip_index': 0,
                    'method': 'real',
                    'label': 0,
                    'score': 0.30000000000000004,
                    'frame_scores': [0.0, 1.0],
                }
            ],
        },
    ),
    'calibration': (
        Calibration,
        {
            'checkpoint_sha256': 'ab',
            'method': 'isotonic',
            'parameters': [[0.0, 1.0], [0.25, 1]],
            'threshold': 0.5,
            'data': '10 real',
            'source': None,
            'manifest': None,
            'real_videos': 10,
            'fake_videos': 10,
            'brier': {'before': 0.5, 'after': 0.25},
            'expected_error': {'before': 0, 'after': 1},
        },
    ),
    'origin': (Origin, {'origin': {'test': 'made up \xe9'}}),
}


@pytest.mark.parametrize(('kind', 'content'), FILES.values(), ids=FILES)
def test_a_file_that_is_read_and_written_again_has_the_same_bytes(
    tmp_path, kind, content
):
    """Names of fields, their order, and what is a whole number."""
    data = write_json(tmp_path / 'a.json', content)
    again = as_json(decode(data, kind))
    assert write_json(tmp_path / 'b.json', again) == data


def test_fields_of_a_later_version_are_passed_over():
    text = json.dumps({**FILES['manifest'][1], 'later': [1]})
    assert decode(text, Manifest) == to_record(FILES['manifest'][1], Manifest)

"""A checkpoint alone is a detector."""

import re
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from tiny import CONFIG, write_checkpoint, write_detector

from gml_mmaction.apis import DetectorError, load_detector, loading
from gml_mmaction.errors import GMLError
from gml_mmaction.evaluation.calibration import calibrate, write_calibration
from gml_mmaction.evaluation.scores import ScoresFile, VideoScore
from gml_mmaction.kernels import gpu


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector') / 'best.pth')


def clips_of(count, size=64, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, size, size, 3)).astype(np.uint8)
    return [list(clip) for clip in images]


def rewrite(checkpoint, out, change):
    """Copy a checkpoint, changed by ``change(loaded)``."""
    loaded = torch.load(checkpoint, weights_only=True)
    change(loaded)
    torch.save(loaded, out)
    return out


def test_crops_are_made_as_those_of_the_training_but_of_every_face(checkpoint):
    detector = load_detector(checkpoint)
    assert detector.crop_options.size == 64
    assert detector.crop_options.stride == 2
    assert detector.crop_options.quality == 95
    assert detector.crop_options.tracks == 'all'


def test_scores_are_those_of_the_network_with_its_weights(checkpoint):
    """The network by hand: normalise, run the backbone, run the head."""
    detector = load_detector(checkpoint, 'cpu')
    clips = clips_of(3)
    scores, maps = detector.score(clips)
    model = detector.model
    pixels = torch.tensor(np.stack(clips)).permute(0, 4, 1, 2, 3).float()
    with torch.no_grad():
        feats = model.backbone((pixels - 127.5) / 127.5)
        expected = [p.pred_score for p in predictions(model, feats, 3)]
    np.testing.assert_allclose(
        scores, [float(score[1]) for score in expected], atol=1e-5
    )
    assert maps is None
    assert np.ptp(scores) > 0.01


def predictions(model, feats, count):
    from mmaction.structures import ActionDataSample

    return model.cls_head.predict(
        feats, [ActionDataSample() for _ in range(count)]
    )


@pytest.mark.parametrize('heat', ['clue', 'cam', 'auto'])
def test_heat_maps_come_with_the_same_scores(checkpoint, heat):
    detector = load_detector(checkpoint)
    plain, _ = detector.score(clips_of(2))
    scores, maps = detector.score(clips_of(2), heat)
    np.testing.assert_allclose(scores, plain, atol=1e-5)
    assert maps.shape[:2] == (2, 8)
    assert (maps >= 0).all()


def test_on_a_gpu_a_kernel_that_cannot_be_compiled_is_one_line(
    checkpoint, monkeypatch
):
    """A CPU does not take it, and loads the detector."""
    monkeypatch.setenv('GML_TRITON', '1')
    load_detector(checkpoint, 'cpu')
    gpu.why_not.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch, 'zeros', lambda *_, **__: None)  # on a GPU
        patch.setattr(gpu, 'stencil', lambda: 1 / 0)
        with pytest.raises(DetectorError) as caught:
            loading._device('cuda')
    gpu.why_not.cache_clear()
    assert re.fullmatch(
        r'GML_TRITON=1: .* \(ZeroDivisionError: .*\)\. Remedy: leave it .*',
        str(caught.value),
    )


def test_a_device_too_small_for_the_network_is_no_fault_of_its_checkpoint(
    checkpoint, monkeypatch
):
    def lack(*_):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')

    monkeypatch.setattr(BaseModel, 'to', lack)
    with pytest.raises(GMLError) as caught:
        load_detector(checkpoint, 'cpu')
    assert str(caught.value) == (
        f'{checkpoint}: cpu has too little memory for its network. Remedy: a '
        'machine with more memory'
    )


def test_crops_go_through_jpeg_where_those_of_the_training_did(checkpoint):
    detector = load_detector(checkpoint)
    image = clips_of(1)[0][0]
    _, data = cv2.imencode('.jpg', image[..., ::-1], [1, 95])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(detector.encode(image), expected)


@pytest.mark.parametrize('made', [dict(store='boxes'), dict(image='png')])
def test_crops_that_were_not_compressed_stay_as_they_are(tmp_path, made):
    training = dict(size=64, stride=2, **made)
    path = write_detector(tmp_path / 'a.pth', training=training)
    image = clips_of(1)[0][0]
    np.testing.assert_array_equal(load_detector(path).encode(image), image)


def test_the_threshold_is_that_of_the_validation_and_says_so(checkpoint):
    threshold = load_detector(checkpoint).threshold
    assert threshold.value == 0.45
    assert 'validation set of source ffpp (80 clips)' in threshold.origin
    given = load_detector(checkpoint, threshold=0.7).threshold
    assert (given.value, given.origin) == (0.7, 'as given')


def test_a_calibration_beside_the_checkpoint_gives_threshold_and_words(
    tmp_path,
):
    path = write_detector(tmp_path / 'best.pth')
    plain = load_detector(path)
    assert 'not calibrated' in ' '.join(plain.words)
    facts = dict(method='x', tracks=[])
    rows = [
        VideoScore(
            video_id=f'{k}/{i}',
            label=k,
            score=0.1 + 0.7 * k + i / 100,
            **facts,
        )
        for k in (0, 1)
        for i in range(10)
    ]
    scores = ScoresFile(source='mine', videos=rows, clips=[])
    write_calibration(path, calibrate(scores, plain.sha256))
    detector = load_detector(path)
    # half way between the highest real, 0.19, and the lowest fake, 0.8
    assert detector.threshold.value == pytest.approx(0.495)
    assert '10 real and 10 fake videos of mine' in ' '.join(detector.words)
    assert detector.facts['calibration']['method'] == 'sigmoid'


def test_a_checkpoint_without_records_gets_defaults_and_says_what_it_lacks(
    checkpoint, tmp_path
):
    def strip(loaded):
        del loaded['meta']['provenance']

    detector = load_detector(rewrite(checkpoint, tmp_path / 'a.pth', strip))
    assert detector.crop_options.size == 224
    assert detector.threshold.value == 0.5
    assert 'not validated' in detector.threshold.origin
    assert 'does not name' in ' '.join(detector.words)


def test_made_up_training_data_are_the_first_word(checkpoint, tmp_path):
    origin = 'made-up videos of one portrait, no real forgery'

    def tell(loaded):
        loaded['meta']['provenance']['training']['origin'] = origin + '\x1b'

    plain = load_detector(checkpoint, 'cpu')
    path = rewrite(checkpoint, tmp_path / 'made_up.pth', tell)
    facts = load_detector(path, 'cpu').facts
    assert plain.origin == ''
    assert facts['words'][0] == f'Trained on {origin}\\x1b.'
    assert next(iter(facts)) == 'origin'
    assert facts['origin'] == f'{origin}\\x1b'


def no_config(loaded):
    del loaded['meta']


def code_in_config(loaded):
    loaded['meta']['cfg'] += "\nimport os\nos.mkdir('ran')\n"


def another_pipeline(loaded):
    cfg = Config.fromfile(CONFIG)
    cfg.test_dataloader.dataset.pipeline = [dict(type='DecordInit')]
    loaded['meta']['cfg'] = cfg.pretty_text


def trained_on_whole_frames(loaded):
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.pipeline = [dict(type='DecordInit')]
    loaded['meta']['cfg'] = cfg.pretty_text


def unknown_network(loaded):
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone = dict(type='Unheard')
    loaded['meta']['cfg'] = cfg.pretty_text


def missing_weight(loaded):
    loaded['state_dict'].popitem()


def impossible_crops(loaded):
    loaded['meta']['provenance']['training']['stride'] = 0


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (no_config, 'carries no config'),
        (code_in_config, 'is not a plain value: import os'),
        (another_pipeline, 'not a detector of face forgeries'),
        (trained_on_whole_frames, r'its training pipeline \(DecordInit\)'),
        (unknown_network, 'Unheard'),
        (missing_weight, 'do not fit the network: 1 missing'),
        (impossible_crops, 'stride is 0'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_a_checkpoint_of_another_kind_gives_one_line(
    checkpoint, tmp_path, monkeypatch, change, why
):
    monkeypatch.chdir(tmp_path)
    path = rewrite(checkpoint, tmp_path / 'other.pth', change)
    with pytest.raises(DetectorError, match=why) as caught:
        load_detector(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert '. Remedy: give ' in str(caught.value)
    assert not (tmp_path / 'ran').exists()


CROP = "dict(size=64, type='FaceCrop'),"
NETWORK = "type='Recognizer3D')"
REFUSED = {
    'a type of another package': (
        *(NETWORK, "type='antigravity')"),
        "the type 'antigravity'",
    ),
    'a scope': (
        *(NETWORK, "_scope_='antigravity', type='Recognizer3D')"),
        'a _scope_',
    ),
    'a scope within the backbone': (
        *("type='Xception'", "type='Xception', _scope_='antigravity'"),
        'a _scope_',
    ),
    'a type that is no name': (NETWORK, 'type=7)', 'the type 7'),
    'a network of the host that no detector needs': (
        *("type='Xception'", "type='CLIPSimilarity'"),
        "the type 'CLIPSimilarity'",
    ),
    'a step of the host that reads files': (
        *(CROP, CROP + "dict(type='LoadRGBFromFile'),"),
        "the type 'LoadRGBFromFile'",
    ),
    'a step with another file backend': (
        CROP,
        "dict(size=64, type='FaceCrop', io_backend='memcached'),",
        "io_backend='memcached'",
    ),
    'a step with other files': (
        CROP,
        "dict(size=64, type='FaceCrop', file_client_args="
        "dict(io_backend='petrel')),",
        'files are read from the disk only',
    ),
    'crops as large as a hall': (
        *(CROP, "dict(size=64000, type='FaceCrop'),"),
        "'size'=64000 is out of bounds",
    ),
    'crops as large as a room': (
        *(CROP, "dict(size=4000, type='FaceCrop'),"),
        'clips of 8 frames of 4000x4000 are out of bounds',
    ),
    'a network as wide as the memory': (
        *('width=0.0625', 'width=1e5'),
        "'width'=100000.0 is out of bounds",
    ),
    'a network of too many layers': (
        *('middle_blocks=', 'middle_blocks=10000000'),
        "'middle_blocks'=",
    ),
    'a network wider than its weights': (
        *('width=0.0625', 'width=8.0'),
        'do not fit the network',
    ),
    'a step that would take hours': (
        *(CROP, CROP + "dict(type='ClipAugment', zoom=99),"),
        'zoom=99: use 0 to 3. Remedy: ',
    ),
    'clips as long as a film': ('clip_len=8', 'clip_len=10000', 'clip_len'),
}


@pytest.mark.parametrize(('old', 'new', 'why'), REFUSED.values(), ids=REFUSED)
def test_a_config_that_asks_for_more_than_a_detector_is_refused(
    checkpoint, tmp_path, old, new, why
):
    def change(loaded):
        text = loaded['meta']['cfg']
        first = text.index('test_dataloader') if old == CROP else 0
        count = -1 if old == 'clip_len=8' else 1
        assert old in text[first:], text
        changed = text[first:].replace(old, new, count)
        loaded['meta']['cfg'] = text[:first] + changed

    path = rewrite(checkpoint, tmp_path / 'asks.pth', change)
    before = set(sys.modules)
    with pytest.raises(GMLError, match=re.escape(why)) as caught:
        load_detector(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert 'antigravity' not in set(sys.modules) - before


def test_clips_that_the_config_makes_and_its_network_cannot_take_are_told(
    checkpoint, tmp_path
):
    def change(loaded):
        text = loaded['meta']['cfg']
        old, new = "format_shape='NCTHW'", "format_shape='NCHW'"
        assert old in text
        loaded['meta']['cfg'] = text.replace(old, new)

    path = rewrite(checkpoint, tmp_path / 'askew.pth', change)
    detector = load_detector(path)
    with pytest.raises(DetectorError, match='cannot take the clips') as caught:
        detector.score(clips_of(1))
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'value', [7.5, -0.1, float('nan'), float('inf'), True, '0.5', [0.5]]
)
def test_a_threshold_that_is_no_probability_is_refused(
    checkpoint, tmp_path, value
):
    def change(loaded):
        records = loaded['meta']['provenance']['validation']
        records['metrics']['video/eer_threshold'] = value

    path = rewrite(checkpoint, tmp_path / 'threshold.pth', change)
    with pytest.raises(DetectorError, match='its threshold is') as caught:
        load_detector(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'value'),
    [('stride', 2.5), ('size', True), ('quality', 500), ('image', 3)],
)
def test_crop_options_that_cannot_be_are_refused(
    checkpoint, tmp_path, name, value
):
    def change(loaded):
        loaded['meta']['provenance']['training'][name] = value

    path = rewrite(checkpoint, tmp_path / 'crops.pth', change)
    with pytest.raises(
        DetectorError, match=f'record of the crops is not valid: {name}'
    ):
        load_detector(path)


@pytest.mark.parametrize(
    ('part', 'name', 'value'),
    [
        ('training', 'origin', 7),
        ('training', 'origin', 'x' * 100_000),
        ('training', 'source', ['a']),
        ('training', 'source', 'x' * 100_000),
        ('training', 'manifest', {'a': 1}),
        ('training', 'source_options', {'compression': 'x' * 100_000}),
        ('training', 'methods', 'Deepfakes'),
        ('training', 'methods', ['x' * 100_000]),
        ('training', 'real_videos', '24'),
        ('validation', 'source', 'x' * 100_000),
        ('validation', 'source', True),
        ('validation', 'clips', 'many'),
        ('validation', 'num_clips', [1]),
        ('validation', 'metrics', 0.5),
    ],
)
def test_a_record_of_another_kind_or_length_is_refused(
    checkpoint, tmp_path, part, name, value
):
    def change(loaded):
        loaded['meta']['provenance'][part][name] = value

    path = rewrite(checkpoint, tmp_path / 'told.pth', change)
    with pytest.raises(DetectorError, match=f"valid: '{name}' is") as found:
        load_detector(path)
    assert str(path) in str(found.value)
    assert len(str(found.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    'change',
    [
        lambda meta: meta.update(provenance=None),
        lambda meta: meta.update(provenance=['a']),
        lambda meta: meta['provenance'].update(training='much'),
        lambda meta: meta['provenance'].update(validation=7),
        lambda meta: meta.update(dataset_meta=dict(source='x' * 100_000)),
    ],
)
def test_records_that_are_none_are_refused(checkpoint, tmp_path, change):
    path = rewrite(
        checkpoint, tmp_path / 'told.pth', lambda x: change(x['meta'])
    )
    with pytest.raises(
        DetectorError, match='its record of the training is not valid: '
    ):
        load_detector(path)


@pytest.mark.parametrize(
    ('auc', 'said'),
    [
        (0.9375, 'In its validation its video AUC was 0.938.'),
        (0.5, 'In its validation it was no better than a coin'),
    ],
)
def test_the_words_say_how_good_the_validation_was(tmp_path, auc, said):
    metrics = {'video/auc': auc, 'video/eer_threshold': 0.5}
    path = write_detector(
        tmp_path / 'a.pth', validation=dict(metrics=metrics, clips=8)
    )
    assert said in ' '.join(load_detector(path).words)


def test_words_of_a_checkpoint_obey_no_terminal(checkpoint, tmp_path):
    def change(loaded):
        training = loaded['meta']['provenance']['training']
        training['source'] = 'x\x1b[2J\na.mp4: NOT SUSPICIOUS'

    path = rewrite(checkpoint, tmp_path / 'words.pth', change)
    words = load_detector(path).words
    assert all(line.isprintable() for line in words)
    assert r'x\x1b[2J\na.mp4' in ' '.join(words)


def test_a_prefix_of_a_wrapper_is_taken_off(checkpoint, tmp_path):
    def wrap(loaded):
        state = loaded['state_dict']
        loaded['state_dict'] = {f'module.{k}': v for k, v in state.items()}

    path = rewrite(checkpoint, tmp_path / 'wrapped.pth', wrap)
    clips = clips_of(1)
    expected, _ = load_detector(checkpoint).score(clips)
    np.testing.assert_array_equal(
        load_detector(path).score(clips)[0], expected
    )


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04ab'])
def test_a_file_that_is_no_checkpoint_gives_one_line(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(GMLError) as caught:
        load_detector(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_bare_weights_and_no_file_give_one_line(tmp_path):
    with pytest.raises(DetectorError, match='no such checkpoint'):
        load_detector(tmp_path / 'none.pth')
    with pytest.raises(DetectorError, match='carries no config'):
        load_detector(write_checkpoint(tmp_path / 'weights.pth'))


def test_a_device_that_is_not_there_gives_one_line(checkpoint):
    with pytest.raises(DetectorError, match='tpu'):
        load_detector(checkpoint, 'tpu')

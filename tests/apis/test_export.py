"""A detector as one file for other programs, and read back from it."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from tiny import REPO, write_detector

from gml_mmaction.apis import DetectorError, ForgeryInferencer, load_detector
from gml_mmaction.apis.export import export, race
from gml_mmaction.apis.exported import LARGEST_RECORD, sealed
from gml_mmaction.apis.initial import write_initial
from gml_mmaction.engine.config_check import read_settings
from gml_mmaction.evaluation.calibration import calibrate, write_calibration
from gml_mmaction.evaluation.scores import ScoresFile, VideoScore

onnx = pytest.importorskip('onnx')
runtime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

SMALL = sorted((REPO / 'configs').glob('*/*-small_demo.py'))
FEW = ('c3d-small_demo', 'f3net_xception-small_demo', 'lstm_r50-small_demo')
if not os.environ.get('GML_TEST_EXPORTS'):  # of make drills
    SMALL = [path for path in SMALL if path.stem in FEW]
# PyTorch knows no ONNX operator for a part of these.
NOT_ONNX = {'c3d-small_demo': 'aten.adaptive_max_pool3d'}


def clips_of(count, seed=1):
    """Clips of noise, each of a contrast and a brightness of its own."""
    rng = np.random.default_rng(seed)
    width = rng.integers(1, 200, (count, 1, 1, 1, 3))
    noise = rng.random((count, 8, 64, 64, 3)) * width
    images = noise + rng.random((count, 1, 1, 1, 3)) * (255 - width)
    return [list(clip) for clip in images.astype(np.uint8)]


def write_calibrated(path, **options):
    """A detector of few layers, with a calibration beside it."""
    few = {'model.backbone.middle_blocks': 2}
    write_detector(path, settings=few, **options)
    rows = [
        VideoScore(
            video_id=f'{k}/{i}',
            label=k,
            score=0.1 + 0.7 * k + i / 100,
            method='x',
            tracks=[],
        )
        for k in (0, 1)
        for i in range(10)
    ]
    scores = ScoresFile(source='mine', videos=rows, clips=[])
    sha256 = load_detector(path, 'cpu').sha256
    write_calibration(path, calibrate(scores, sha256))
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_calibrated(tmp_path_factory.mktemp('export') / 'best.pth')


@pytest.fixture(scope='module')
def exported(checkpoint):
    return export(checkpoint).path


@pytest.fixture
def parts(exported):
    """The graph and the record of the file, to be changed."""
    model = onnx.ModelProto.FromString(exported.read_bytes())
    found = {item.key: item.value for item in model.metadata_props}
    model.ClearField('metadata_props')
    return model, json.loads(found['gml'])


def refusal(path, model, record):
    """What is said of a file that claims to be whole."""
    path.write_bytes(sealed(model, json.dumps(record).encode()))
    with pytest.raises(DetectorError) as caught:
        load_detector(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert '\n' not in message
    assert 'Remedy: ' in message
    return message


@pytest.mark.slow(9)
def test_the_file_gives_the_scores_and_the_clue_of_the_checkpoint(
    checkpoint, exported
):
    theirs, ours = load_detector(checkpoint, 'cpu'), load_detector(exported)
    clips = clips_of(6)
    expected, clue = theirs.score(clips, 'clue')
    scores, heat = ours.score(clips, 'auto')
    assert np.ptp(expected) > 0.02
    np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(heat, clue, atol=1e-4 * clue.max(), rtol=0)
    assert heat.shape == (6, 8, 4, 4)
    assert ours.score(clips)[1] is None
    pairs = race(checkpoint, exported, 2)
    assert [len(pair) for pair in pairs] == [2, 2]
    assert min(min(pair) for pair in pairs) > 0


@pytest.mark.slow
def test_onnx_runtime_alone_needs_the_crops_and_nothing_else(
    checkpoint, exported
):
    session = runtime.InferenceSession(exported.read_bytes())
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ('clip', [8, 64, 64, 3])
    assert given.type == 'tensor(uint8)'
    (clip,) = clips_of(1)
    score, heat = session.run(['score', 'heat'], {'clip': np.stack(clip)})
    expected, _ = load_detector(checkpoint, 'cpu').score([clip])
    assert float(score) == pytest.approx(expected[0], abs=1e-4)
    assert heat.shape == (8, 4, 4)
    record = json.loads(session.get_modelmeta().custom_metadata_map['gml'])
    assert record['classes'] == ['real', 'fake']
    assert (record['clip_len'], record['size']) == (8, 64)
    assert record['sha256'] == load_detector(checkpoint).sha256
    assert record['facts']['threshold']['value'] == pytest.approx(0.495)


@pytest.mark.slow
def test_reports_have_the_same_words_and_name_what_was_exported(
    checkpoint, exported, tmp_path
):
    theirs, ours = load_detector(checkpoint, 'cpu'), load_detector(exported)
    assert ours.words == theirs.words
    assert any('calibrated on' in line for line in ours.words)
    facts, before = ours.facts, theirs.facts
    source = facts.pop('exported_from')
    assert source == dict(checkpoint='best.pth', sha256=theirs.sha256)
    own = ('checkpoint', 'sha256')
    assert {k: v for k, v in facts.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }
    alone = shutil.copy(exported, tmp_path / 'alone.onnx')
    assert load_detector(alone).words == theirs.words
    assert load_detector(alone, threshold=0.7).threshold.value == 0.7
    crops = dataclasses.asdict(load_detector(alone).crop_options)
    assert crops == dataclasses.asdict(theirs.crop_options)


@pytest.mark.slow
def test_a_video_has_the_verdict_of_the_checkpoint(
    checkpoint, exported, talking_head, run_command, tmp_path, capsys
):
    video = talking_head(tmp_path / 'a.mp4', 40)
    expected = ForgeryInferencer(checkpoint, 'cpu').analyse(video).prediction
    words = [str(video), '--checkpoint', str(exported), '--quiet']
    out = tmp_path / 'out'
    assert run_command('predict', [*words, '--out', str(out)]) == 0
    report = json.loads((out / 'a/prediction.json').read_text())
    assert report['score'] == pytest.approx(expected.score, abs=1e-4)
    assert report['verdict'] == expected.verdict
    assert report['detector']['heat'] == 'clue'
    assert (out / 'a/overlay.mp4').exists()
    assert 'calibrated on' in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_file_is_refused(exported, tmp_path):
    whole = exported.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / 'damaged.onnx'
    places = [*rng.integers(0, len(whole), 40), len(whole) - 30]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(DetectorError, match='Remedy: gml export'):
            load_detector(path)
    for count in (0, 1000, len(whole) - 1):
        path.write_bytes(whole[:count])
        with pytest.raises(DetectorError, match='Remedy: gml export'):
            load_detector(path)


@pytest.mark.slow
def test_a_graph_that_asks_for_more_than_a_network_is_refused(parts, tmp_path):
    model, record = parts
    path = tmp_path / 'hostile.onnx'
    (tmp_path / 'secret').write_bytes(b'\0' * 10**6)

    def changed(change):
        other = onnx.ModelProto.FromString(model.SerializeToString())
        change(other)
        return refusal(path, other, record)

    def outside(other):
        tensor = other.graph.initializer[0]
        onnx.external_data_helper.set_external_data(tensor, 'secret')

    def outside_in_a_node(other):
        tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32))
        onnx.external_data_helper.set_external_data(tensor, 'secret')
        tensor.ClearField('raw_data')
        node = onnx.helper.make_node('Constant', [], ['x'], value=tensor)
        other.graph.node.insert(0, node)

    def custom(other):
        other.graph.node[0].domain = 'com.example'

    def imported(other):
        other.opset_import.append(onnx.helper.make_opsetid('x.y', 1))

    def loop(other):
        branch = onnx.helper.make_graph([], 'inner', [], [])
        node = onnx.helper.make_node('If', ['clip'], ['y'], then_branch=branch)
        other.graph.node.append(node)

    def function(other):
        made = onnx.helper.make_function('', 'f', [], [], [], [])
        other.functions.append(made)

    def other_names(other):
        other.graph.output[0].name = 'probability'

    def other_clips(other):
        shape = other.graph.input[0].type.tensor_type.shape
        shape.dim[1].dim_value = 4000

    assert 'in other files' in changed(outside)
    assert 'in other files' in changed(outside_in_a_node)
    assert 'not of ONNX itself (com.example)' in changed(custom)
    assert 'not of ONNX itself (x.y)' in changed(imported)
    assert 'a branch or a loop (If)' in changed(loop)
    assert 'functions' in changed(function)
    assert 'give a score' in changed(other_names)
    assert 'its clips are [8, 4000, 64, 3]' in changed(other_clips)


@pytest.mark.slow
def test_a_record_is_read_as_that_of_a_checkpoint(parts, tmp_path):
    model, record = parts
    path = tmp_path / 'strange.onnx'

    def changed(**fields):
        return refusal(path, model, {**record, **fields})

    assert "'format' is" in changed(format=2)
    assert "'sha256' is" in changed(sha256='../../etc')
    assert "'extra' is not one of its fields" in changed(extra=1)
    assert "'clip_len' is" in changed(clip_len=10**9)
    assert 'too long' in changed(version='x' * LARGEST_RECORD)
    meta = record['meta']
    evil = meta['cfg'] + '\nimport os\n'
    assert 'not a plain value: import os' in changed(
        meta={**meta, 'cfg': evil}
    )
    own = meta['cfg'].replace("type='Xception'", "type='OfMyOwn'")
    whole = {**record, 'meta': {**meta, 'cfg': own}}
    path.write_bytes(sealed(model, json.dumps(whole).encode()))
    assert load_detector(path).facts['network'] == 'OfMyOwn, GMLHead'
    other = dict(meta['provenance'], validation=dict(clips='many'))
    assert 'record of the training' in changed(
        meta={**meta, 'provenance': other}
    )


@pytest.mark.slow
def test_a_graph_that_cannot_run_is_one_line_and_prints_nothing(
    parts, tmp_path, capfd
):
    model, record = parts
    model.graph.node[0].op_type = 'Nonsense\x1b[2J'
    message = refusal(tmp_path / 'odd.onnx', model, record)
    assert 'ONNX Runtime cannot use its graph' in message
    assert message.isprintable()
    assert capfd.readouterr() == ('', '')


@pytest.mark.slow
def test_a_graph_that_gives_no_score_is_one_line(parts, tmp_path):
    model, record = parts
    path = tmp_path / 'odd.onnx'
    score = model.graph.output[0]
    (last,) = (n for n in model.graph.node if score.name in n.output)
    last.output[0] = 'before'
    two = onnx.numpy_helper.from_array(np.float32(7), 'seven')
    model.graph.initializer.append(two)
    add = onnx.helper.make_node('Add', ['before', 'seven'], [score.name])
    model.graph.node.append(add)
    path.write_bytes(sealed(model, json.dumps(record).encode()))
    detector = load_detector(path)
    with pytest.raises(DetectorError, match='is no score'):
        detector.score(clips_of(1))


def test_files_that_are_something_else_are_one_line(tmp_path):
    plain = onnx.helper.make_model(onnx.helper.make_graph([], 'g', [], []))
    other = {
        'plain.onnx': plain.SerializeToString(),
        'zeros.onnx': b'\0' * 1000,
        'text.onnx': b'not a model',
        'best.pt2': b'PK',
    }
    for name, data in other.items():
        (tmp_path / name).write_bytes(data)
    for name in [*other, 'missing.onnx']:
        with pytest.raises(DetectorError) as caught:
            load_detector(tmp_path / name)
        assert name in str(caught.value)
        assert 'Remedy: ' in str(caught.value)


@pytest.mark.slow
def test_what_an_exported_network_cannot_do_is_one_line(exported, tmp_path):
    with pytest.raises(DetectorError, match='for Grad-CAM'):
        ForgeryInferencer(exported, heat='cam')
    with pytest.raises(DetectorError, match='runs on the CPU'):
        load_detector(exported, 'cuda:0')
    with pytest.raises(DetectorError, match='no layers to look into'):
        load_detector(exported, exported=False)
    with pytest.raises(DetectorError, match='no layers to look into'):
        export(exported, tmp_path / 'again.onnx')


def test_the_name_of_the_file_says_what_is_written(tmp_path):
    with pytest.raises(DetectorError, match='use a name'):
        export(tmp_path / 'best.pth', tmp_path / 'best.xml')


@pytest.mark.slow(8)
def test_a_file_of_pytorch_runs_without_this_package(
    checkpoint, run_python, run_command, tmp_path, capsys
):
    path = tmp_path / 'best.pt2'
    assert run_command('export', [str(checkpoint), str(path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f'written to {path}: 8 crops 64x64 to a score and')
    (clip,) = clips_of(1)
    np.save(tmp_path / 'clip.npy', np.stack(clip))
    code = (
        'import sys, json, torch, numpy; more = {"gml.json": ""}; '
        'program = torch.export.load(sys.argv[1], extra_files=more); '
        'clip = torch.from_numpy(numpy.load(sys.argv[2])); '
        'score, heat = program.module()(clip); '
        'assert "gml_mmaction" not in sys.modules; '
        'record = json.loads(more["gml.json"]); '
        'print(float(score), *heat.shape, record["checkpoint"])'
    )
    done = run_python('-c', code, str(path), str(tmp_path / 'clip.npy'))
    score, *rest = done.stdout.split()
    assert rest == ['8', '4', '4', 'best.pth'], done.stderr
    expected, _ = load_detector(checkpoint, 'cpu').score([clip])
    assert float(score) == pytest.approx(expected[0], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('config', SMALL, ids=lambda path: path.stem)
def test_every_system_is_exported_or_is_named_with_the_reason(
    config, tmp_path
):
    path = tmp_path / 'random.pth'
    write_initial(read_settings(config), path)
    if config.stem in NOT_ONNX:
        with pytest.raises(DetectorError, match=NOT_ONNX[config.stem]):
            export(path)
        assert not path.with_suffix('.onnx').exists()
        export(path, path.with_suffix('.pt2'))
        return
    done = export(path)
    assert done.difference <= 1e-4
    assert load_detector(done.path).words == load_detector(path, 'cpu').words

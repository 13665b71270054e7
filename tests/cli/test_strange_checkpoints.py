"""Checkpoints that ask for more than tensors, or lie, get one line."""

import copy
import json
import sys
import zipfile

import pytest
import torch
from tiny import REPO, write_detector, write_prepared

from gml_mmaction.errors import GMLError

pytest.importorskip('nicegui')
pytest.importorskip('dlib')

CROP = "dict(size=64, type='FaceCrop'),"
STEP = (
    "dict(type='LoadRGBFromFile', io_backend='memcached', server_list_cfg='a',"
    " client_cfg='b', sys_path={!r}),"
)
ESCAPES = 'x\x1b]0;title\x07\x1b[2J\na.mp4: NOT SUSPICIOUS\x1b[8m\u202e'
# Pickled: a tensor of as many bytes as the storage is said to have.
TENSOR = (
    b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage'
    b'ctorch\nByteStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQK\x00%s'
    b'\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR.'
)


@pytest.fixture(scope='module')
def best(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('best') / 'best.pth')


@pytest.fixture
def load(load_tool, monkeypatch):
    return load_tool


def with_config(loaded, old, new):
    assert old in loaded['meta']['cfg']
    loaded['meta']['cfg'] = loaded['meta']['cfg'].replace(old, new)


def type_module(loaded, _):
    with_config(loaded, "type='Recognizer3D')", "type='antigravity')")


def scope(loaded, _):
    named = "_scope_='antigravity', type='Recognizer3D')"
    with_config(loaded, "type='Recognizer3D')", named)


def pipeline_memcached(loaded, folder):
    (folder / 'mc.py').write_text(f'open({str(folder / "ran")!r}, "w")\n')
    with_config(loaded, CROP, CROP + STEP.format(str(folder)))


def threshold(loaded, _):
    metrics = loaded['meta']['provenance']['validation']['metrics']
    metrics['video/eer_threshold'] = 7.5


def prefixed(loaded, _):
    state = loaded['state_dict']
    loaded['state_dict'] = {f'net.{key}': x for key, x in state.items()}


def bare(loaded, _):
    prefixed(loaded, _)
    del loaded['meta']


def words(loaded, _):
    records = loaded['meta']['provenance']
    records['training']['source'] = ESCAPES
    records['validation']['source'] = ESCAPES


def write(best, path, change):
    loaded = copy.deepcopy(torch.load(best, weights_only=True))
    change(loaded, path.parent)
    torch.save(loaded, path)
    return str(path)


def write_inflated(path, size):
    """Write a small file of a tensor of zeros, which is large."""
    number = b'\x8a\x05' + size.to_bytes(5, 'little')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x/data.pkl', TENSOR % (number, number))
        archive.writestr('x/version', '3\n')
        with archive.open('x/data/0', 'w') as member:
            for _ in range(0, size, 10**8):
                member.write(bytes(10**8))
    return str(path)


def write_scores(path):
    videos = [
        dict(
            video_id=f'{label}/{i}',
            method='x',
            label=label,
            score=0.3 * label + i / 20,
            tracks=[],
        )
        for label in (0, 1)
        for i in range(12)
    ]
    content = dict(source='x', manifest='01ab', videos=videos, clips=[])
    path.write_text(json.dumps(content))
    return str(path)


def command(tool, checkpoint, folder):
    out = ['--out', str(folder / 'out')]
    return {
        'predict': ['a.mp4', '--checkpoint', checkpoint, *out],
        'cam': ['a.mp4', '--checkpoint', checkpoint, *out],
        'calibrate': [checkpoint, write_scores(folder / 'scores.json')],
        'web': [checkpoint, '--port=0', '--device=cpu'],
    }[tool]


@pytest.mark.parametrize('tool', ['predict', 'cam', 'calibrate', 'web'])
@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (type_module, "the type 'antigravity' is not one"),
        (scope, "a _scope_ ('antigravity') is not allowed"),
        (pipeline_memcached, "the type 'LoadRGBFromFile' is not one"),
        (threshold, 'its threshold is 7.5; it must be 0 to 1'),
        (prefixed, 'its weights do not fit the network'),
        (bare, 'it carries no config, only weights'),
    ],
)
def test_no_tool_takes_it(load, best, tmp_path, tool, change, why):
    path = write(best, tmp_path / 'strange.pth', change)
    before = set(sys.modules)
    with pytest.raises(GMLError) as caught:
        load(tool).main(command(tool, path, tmp_path))
    line = str(caught.value)
    assert path in line
    assert why in line
    assert line.isprintable()
    assert not {'antigravity', 'mc'} & (set(sys.modules) - before)
    assert not (tmp_path / 'ran').exists()
    assert not (tmp_path / 'strange.calibration.json').exists()


@pytest.mark.parametrize('tool', ['predict', 'cam', 'calibrate', 'web'])
def test_no_tool_takes_tensors_larger_than_their_file(load, tmp_path, tool):
    path = write_inflated(tmp_path / 'inflated.pth', 2 * 10**8)
    with pytest.raises(GMLError) as caught:
        load(tool).main(command(tool, path, tmp_path))
    assert f'{path} was not loaded: its tensors are comp' in str(caught.value)


def test_tensors_larger_than_their_file_fill_no_memory(run_python, tmp_path):
    path = write_inflated(tmp_path / 'inflated.pth', 10**9)
    code = (
        # not getrusage, which counts the process that this one came from
        'import atexit, runpy, sys\n'
        'status = lambda: open("/proc/self/status").read()\n'
        'peak = lambda: int(status().split("VmHWM:")[1].split()[0])\n'
        'atexit.register(lambda: print(peak() // 1024))\n'
        'sys.argv = sys.argv[1:]\n'
        'sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])\n'
        'runpy.run_path(sys.argv[0], run_name="__main__")\n'
    )
    predict = str(REPO / 'tools/predict.py')
    done = run_python('-c', code, predict, 'a.mp4', '--checkpoint', path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert int(done.stdout) < 900  # MB; PyTorch alone takes half of it


def test_a_test_of_its_weights_asks_nothing_of_its_config(
    load, best, tmp_path
):
    data = write_prepared(
        tmp_path / 'data',
        dict(test=[('a', 'real', ('a',), 1), ('b', 'swap', ('b',), 1)]),
    )
    path = write(best, tmp_path / 'scope.pth', scope)
    before = set(sys.modules)
    load('test').main(
        [
            *(str(REPO / 'configs/gml_xception-small_demo.py'), path),
            *('--data', str(data), '--work-dir', str(tmp_path / 'run')),
            *('--cfg-options', 'model.backbone.width=0.0625'),
            *('model.cls_head.in_channels=128',),
            *('model.cls_head.ad_head.in_channels=46',),
            *('test_dataloader.num_workers=0',),
            'test_dataloader.persistent_workers=False',
        ]
    )
    assert 'antigravity' not in set(sys.modules) - before


def test_words_of_others_are_printed_with_their_escapes_spelt_out(
    load, best, talking_head, tmp_path, capsys
):
    path = write(best, tmp_path / 'words.pth', words)
    video = str(talking_head(tmp_path / 'a.mp4', 40))
    arguments = [video, '--checkpoint', path, '--quiet', '--no-overlay']
    arguments += ['--out', str(tmp_path / 'out')]
    assert load('predict').main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    assert r'x\x1b]0;title\x07\x1b[2J\na.mp4: NOT SUSPICIOUS' in printed
    report = (tmp_path / 'out/a/prediction.json').read_text()
    assert all(line.isprintable() for line in report.splitlines())
    assert r'\u202e' in report

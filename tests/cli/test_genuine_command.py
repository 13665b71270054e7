"""gml genuine: from a folder of genuine videos to a detector."""

import json
import sys

import cv2
import pytest
import warm
from mmengine.config import Config
from tiny import OWN_XCEPTION, REPO, TINY

from gml_mmaction.apis import load_detector
from gml_mmaction.errors import GMLError, SettingError

SMALL = REPO / 'configs/genuine/gml_xception-small_genuine.py'
SETTINGS = TINY | {
    'train_dataloader.batch_size': 4,
    **{
        f'{name}_dataloader.{key}': value
        for name in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', False))
    },
}


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('genuine')


@pytest.fixture(scope='module')
def work(tmp_path_factory, talking_head):
    """Three people, of one of them two videos; a network and its config."""
    root = tmp_path_factory.mktemp('genuine')
    for name in ('ann/1', 'ann/2', 'bob/1', 'cy'):
        talking_head(root / f'videos/{name}.mp4', 20)
    (root / 'videos/notes.txt').write_text('of no use')
    (root / 'own_xception.py').write_text(OWN_XCEPTION)
    tree = {}
    own = {'model.backbone.type': 'OwnXception'}
    for key, value in (SETTINGS | own).items():
        *place, last = key.split('.')
        node = tree
        for part in place:
            node = node.setdefault(part, {})
        node[last] = value
    lines = [f'{name} = {value!r}' for name, value in tree.items()]
    lines.insert(0, f'_base_ = {str(SMALL)!r}')
    (root / 'tiny.py').write_text('\n'.join(lines))
    return root


@pytest.fixture(scope='module')
def run(work, tool):
    """Run the command in a folder; return its report and what it ran."""

    def start(*options, out='out'):
        words = [str(work / 'videos'), '--out', str(work / out)]
        words += ['--config', str(work / 'tiny.py'), '--iters', '2']
        words += ['--import', str(work / 'own_xception.py')]
        words += ['--untrained', '2', '--workers', '1', *options]
        ran = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'executable', warm.python())
            plain = tool.run_tool
            patch.setattr(
                tool, 'run_tool', lambda *a: (ran.append(a[0]), plain(*a))[1]
            )
            return tool.main(words), ran

    return start


@pytest.mark.slow
def test_a_folder_becomes_a_detector_and_a_report(work, run):
    report, ran = run()
    assert ran == ['prepare', 'fakes', 'train', 'test']
    out = work / 'out'
    detector = load_detector(out / 'detector.pth', 'cpu')
    videos = report['data']['train']['videos']
    assert videos + report['data']['val']['videos'] == 4
    people = [report['data'][split]['people'] for split in ('train', 'val')]
    assert people == [2, 1]
    assert detector.origin.startswith(f'pseudo-fakes of {videos} genuine')
    assert detector.crop_options.size == 64
    assert 'pseudo-fakes of' in detector.threshold.origin
    assert cv2.imread(str(out / 'fakes.png')) is not None
    # the test saw what training validated on
    overall = report['scores']['']
    recorded = detector.meta['provenance']['validation']['metrics']
    assert overall['auc'][0] == pytest.approx(recorded['video/auc'])
    families = {'MotionSelfBlend', 'PartMotion'}
    assert {*report['scores']} == {''} | families
    for name, own in report['scores'].items():
        assert len(own['untrained']) == 2
        assert (
            own['fakes']
            == (1 if name else 2) * report['data']['val']['videos']
        )
        assert own['drawn'] == 1
    assert json.loads((out / 'report.json').read_text()) == report
    text = (out / 'report.md').read_text()
    assert f'Trained on {detector.origin}.' in text
    assert 'Intervals draw people, of which the validation has 1:' in text
    assert f'{detector.threshold.value:.4f}' in text


@pytest.mark.slow
def test_what_is_done_is_not_done_again(work, run):
    run()
    out = work / 'out'
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*.pth')}
    seconds = json.loads((out / 'seconds.json').read_text())
    _, ran = run()
    assert ran == ['prepare']  # which finds nothing to do
    (out / 'validation/scores.json').unlink()
    _, ran = run()
    assert ran == ['prepare', 'test']
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*.pth')} == before
    later = json.loads((out / 'seconds.json').read_text())
    assert later['train'] == seconds['train']
    assert later['test'] > seconds['test']


@pytest.mark.slow
def test_two_detectors_are_not_mixed(work, run, tool, talking_head):
    run()
    with pytest.raises(SettingError, match=r'another seed. Remedy: the same'):
        run('--seed', '1')
    crops = work / 'out/crops'
    manifest = (crops / 'manifest.json').read_bytes()
    (crops / 'manifest.json').write_bytes(manifest + b' ')
    try:
        with pytest.raises(SettingError, match='trained on other videos'):
            tool.check_videos(crops, work / 'out/run')
    finally:
        (crops / 'manifest.json').write_bytes(manifest)


def test_a_config_without_pseudo_fakes_ends_before_any_work(tool, tmp_path):
    config = str(REPO / 'configs/gml_xception-small_demo.py')
    words = [str(tmp_path), '--out', str(tmp_path / 'out')]
    with pytest.raises(SettingError, match='makes no pseudo-fakes'):
        tool.main([*words, '--config', config])
    assert not (tmp_path / 'out').exists()


def test_a_test_is_on_the_validation_set_or_on_targets(load_tool, capsys):
    words = ['config.py', 'best.pth', '--validation', '--target', 'cdf']
    with pytest.raises(SystemExit):
        load_tool('test').parse_args(words)
    assert '--validation and --target: give one' in capsys.readouterr().err


def test_without_a_validation_set_a_line_says_so(load_tool):
    with pytest.raises(SettingError, match='val_dataloader is not in the'):
        load_tool('test').take_validation_set(Config())


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ('names', 'given', 'why'),
    [
        (['a/1.mp4'], 'a/1.mp4', r'a/1\.mp4: a file\. Remedy: a folder with'),
        ([], 'nowhere', 'nowhere: not there. Remedy: a folder with'),
        (
            ['real/a/1.mp4', 'real/b/1.mp4', 'fake/c.mp4'],
            '',
            r'videos in fake, .* Remedy: gml genuine \S*/real$',
        ),
        (['fake/c.mp4'], '', 'Remedy: a folder of these$'),
        (['a/1.mp4', 'a/2.mp4'], '', 'Remedy: another fraction, or more peo'),
        (['train/real/1.mp4'], '', 'no video in val/real. Remedy: put videos'),
        (['notes.txt'], '', 'no videos. Remedy: put them there'),
    ],
)
def test_videos_that_make_no_detector_end_in_one_line_before_any_work(
    tool, tmp_path, names, given, why
):
    videos = put(tmp_path / 'videos', *names)
    videos.mkdir(exist_ok=True)
    words = [str(videos / given), '--out', str(tmp_path / 'out')]
    with pytest.raises(GMLError, match=why) as caught:
        tool.main(words)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'out').exists()


def test_the_seconds_of_a_part_that_was_stopped_count(tool, tmp_path):
    path = tmp_path / 'seconds.json'
    path.write_text('{"nonsense": 100}')
    with pytest.raises(GMLError, match='gml nonsense failed'):
        tool.timed(tmp_path, 'nonsense')
    assert tool.read_seconds(path)['nonsense'] > 100


@pytest.mark.parametrize('text', ['{"seed": 0', '[]', ''])
def test_damaged_files_of_the_run_before_are_named_or_made_anew(
    tool, tmp_path, text
):
    out = tmp_path / 'out'
    (out / 'crops').mkdir(parents=True)
    put(tmp_path / 'videos', 'a/1.mp4', 'b/1.mp4')
    path = out / 'settings.json'
    path.write_text(text)
    with pytest.raises(SettingError, match='Remedy: another --out; or') as one:
        tool.main([str(tmp_path / 'videos'), '--out', str(out)])
    assert str(one.value).startswith(f'{path}: damaged')
    path.write_text(text or '{"train": "long"}')
    assert tool.read_seconds(path) == {}
    assert not tool.is_tested(path, '12', 0)

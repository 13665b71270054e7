"""The sweep over distortions, from video files to the plot."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest
from msgspec import structs
from tiny import CONFIG, TINY, tiny_config, write_checkpoint

from gml_mmaction.engine.cross_data import Target, score_target
from gml_mmaction.engine.robustness import crops_note
from gml_mmaction.errors import GMLError
from gml_mmaction.faces import CropOptions
from gml_mmaction.prepared.manifest import Manifest, PreparedVideo
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources import Video

OPTIONS = [
    *(f'{key}={value}' for key, value in TINY.items()),
    *('test_dataloader.num_workers=0', 'test_dataloader.batch_size=2'),
]


def prepare(folder, out, **options):
    """Prepare the two real and two fake videos of ``folder/videos``."""
    videos = [
        Video(f'{method}/{i}', path, label, method, 'test')
        for label, method in enumerate(['real', 'Deepfakes'])
        for i, path in enumerate(sorted(folder.glob(f'videos/{method}/*')))
    ]
    prepare_videos(
        videos,
        out,
        source='ffpp',
        root=folder / 'videos',
        options=CropOptions(size=64, **options),
    )
    return Target(out.name, out)


@pytest.fixture(scope='module')
def target(tmp_path_factory, talking_head):
    pytest.importorskip('dlib')
    folder = tmp_path_factory.mktemp('target')
    for method in ('real', 'Deepfakes'):
        for i in range(2):
            path = folder / f'videos/{method}/{i}.mp4'
            talking_head(path, 32 + 16 * i)
    return prepare(folder, folder / 'crops')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('net') / 'tiny.pth')


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('robustness')


@pytest.fixture(scope='module')
def sweep(tool, target, checkpoint):
    """Run the tool as the command line does; return its report."""

    def run(work_dir, *flags, checkpoint=checkpoint):
        tool.main(
            [
                *(str(CONFIG), str(checkpoint), '--workers', '1'),
                *('--target', f'{target.name}={target.folder}'),
                *('--work-dir', str(work_dir), *map(str, flags)),
                *('--cfg-options', *OPTIONS),
            ]
        )
        return json.loads((work_dir / 'robustness.json').read_text())

    return run


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    return tmp_path_factory.mktemp('sweep')


@pytest.fixture(scope='module')
def report(sweep, work_dir):
    flags = ['--types', 'CC', 'VC', '--levels', 1, 5]
    return sweep(work_dir, *flags)


def cell_files(work_dir):
    return {
        path.name: path.stat().st_mtime_ns
        for path in (work_dir / 'cells').glob('*.json')
        if not path.name.startswith('scores')
    }


@pytest.mark.slow
def test_the_clean_cell_scores_what_the_prepared_set_does(
    report, target, checkpoint, tmp_path
):
    """It is made anew, from the same squares by the same codec."""
    cfg = tiny_config(tmp_path, checkpoint, target.folder)
    expected = score_target(cfg, target, {})
    assert report['clean']['metrics'] == pytest.approx(expected)
    assert report['clean']['videos'] == 4


@pytest.mark.slow
def test_a_set_of_boxes_scores_the_same_in_its_clean_cell(
    sweep, target, checkpoint, tmp_path
):
    """Boxes go through no image codec, so the cell's crops do not either."""
    boxes = prepare(target.folder.parent, tmp_path / 'boxes', store='boxes')
    flags = ['--target', f'boxes={boxes.folder}', '--types', 'BW']
    clean = sweep(tmp_path / 'run', *flags)['clean']
    cfg = tiny_config(tmp_path / 'test', checkpoint, boxes.folder)
    score_target(cfg, boxes, {})
    scores = [
        json.loads(path.read_text())['clips']
        for path in (
            tmp_path / 'test/scores_boxes.json',
            tmp_path / 'run/cells/scores_clean.json',
        )
    ]
    assert len(clean['metrics']) > 10
    for expected, clip in zip(*scores):
        assert clip == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_the_report_holds_every_cell_and_its_means(report, work_dir, target):
    cells = report['cells']
    assert [(cell['type'], cell['level']) for cell in cells] == [
        *(('CC', 1), ('CC', 5), ('VC', 1), ('VC', 5))
    ]
    aucs = [cell['metrics']['video/auc'] for cell in cells]
    assert report['means']['by_type'] == pytest.approx(
        {'CC': np.mean(aucs[:2]), 'VC': np.mean(aucs[2:])}
    )
    assert report['means']['all'] == pytest.approx(np.mean(aucs))
    manifest = (target.folder / 'manifest.json').read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    assert report['origin']['manifest'] == digest
    assert report['parameters']['size'] == 64
    for cell in [report['clean'], *cells]:
        name = f'{cell["type"]}_{cell["level"]}'.removesuffix('_0')
        path = work_dir / f'cells/scores_{name}.json'
        scores = json.loads(path.read_text())
        assert len(scores['videos']) == 4
        score = [video['score'] for video in scores['videos']]
        label = [video['label'] for video in scores['videos']]
        pairs = [
            (f > r) + 0.5 * (f == r)
            for f, a in zip(score, label)
            for r, b in zip(score, label)
            if a > b
        ]
        assert cell['metrics']['video/auc'] == pytest.approx(np.mean(pairs))


@pytest.mark.slow
def test_the_sweep_ends_with_a_table_and_a_plot(report, work_dir, capsys):
    table = (work_dir / 'robustness.md').read_text()
    assert '| VC compression |' in table
    assert f'{report["clean"]["metrics"]["video/auc"]:.4f}' in table
    assert cv2.imread(str(work_dir / 'robustness.png')).std() > 5


@pytest.mark.slow
def test_crops_are_gone_and_no_cell_is_run_twice(sweep, report, work_dir):
    assert not (work_dir / 'crops').exists()
    before = cell_files(work_dir)
    (work_dir / 'cells/VC_1.json').unlink()
    again = sweep(work_dir, '--types', 'CC', 'VC', '--levels', 1, 5)
    after = cell_files(work_dir)
    assert {n for n in before if after[n] != before[n]} == {'VC_1.json'}
    assert again == report


@pytest.mark.slow
def test_cells_of_another_checkpoint_are_run_again(
    sweep, report, work_dir, tmp_path
):
    copy = tmp_path / 'sweep'
    shutil.copytree(work_dir, copy)
    other = write_checkpoint(tmp_path / 'other.pth', seed=1)
    again = sweep(copy, '--types', 'CC', '--levels', 5, checkpoint=other)
    expected = hashlib.sha256(other.read_bytes()).hexdigest()
    for cell in (again['clean'], *again['cells']):
        assert cell['origin']['checkpoint'] == expected
    key = 'clip/eer_threshold'
    assert again['clean']['metrics'][key] != report['clean']['metrics'][key]


@pytest.mark.slow
def test_a_cell_is_cut_where_the_manifest_says(sweep, target, tmp_path):
    """Nothing is detected again: squares moved in it are moved in the cells.

    CC at level 5 multiplies the full frames by 0.35 and cuts the digits.
    """
    moved = tmp_path / 'moved'
    shutil.copytree(target.folder, moved)
    manifest = json.loads((moved / 'manifest.json').read_text())
    manifest['root'] = str(target.folder.parent / 'videos')
    for video in manifest['videos']:
        for track in video['tracks']:
            track['square'][0] -= 7
    (moved / 'manifest.json').write_text(json.dumps(manifest))
    flags = ['--target', f'moved={moved}', '--keep']
    sweep(tmp_path / 'run', '--types', 'CC', '--levels', 5, *flags)
    clean, dark = (
        next(tmp_path.glob(f'run/crops/*/{name}'))
        for name in ('clean', 'CC_5')
    )
    for folder in (clean, dark):
        cell = json.loads((folder / 'manifest.json').read_text())
        for video, expected in zip(cell['videos'], manifest['videos']):
            squares, moved_squares = (
                [track['square'] for track in v['tracks']]
                for v in (video, expected)
            )
            assert squares == moved_squares
    crops = sorted(clean.glob('frames/**/*.jpg'))
    assert len(crops) == 2 * (16 + 24)
    for path in crops[::8]:
        image = cv2.imread(str(path)).astype(int)
        darker = cv2.imread(str(dark / path.relative_to(clean))).astype(int)
        assert np.abs(darker - image * 35 // 100).mean() < 2
        before = cv2.imread(str(target.folder / path.relative_to(clean)))
        assert np.abs(before - image).mean() > 2


@pytest.mark.slow
def test_blocks_on_small_videos_give_a_line_and_no_number(sweep, tmp_path):
    """DeeperForensics adds min(H, W) // 256 times so many blocks."""
    report = sweep(tmp_path, '--types', 'BW', '--levels', 3)
    (cell,) = report['cells']
    assert cell['metrics'] is None
    assert '4 of 4 test videos have a shorter side below 256' in cell['note']
    assert cell['note'] in (tmp_path / 'robustness.md').read_text()
    assert report['means']['all'] is None


@pytest.mark.slow
def test_videos_that_are_gone_end_the_sweep_in_one_line(
    sweep, target, tmp_path
):
    path = target.folder.parent / 'videos/real/1.mp4'
    path.rename(path.with_suffix('.away'))
    try:
        with pytest.raises(GMLError, match='1 of 4 videos are missing'):
            sweep(tmp_path)
    finally:
        path.with_suffix('.away').rename(path)


@pytest.mark.slow
def test_a_target_without_a_manifest_ends_in_one_line(sweep, target, tmp_path):
    shutil.copy(target.folder / 'test.json', tmp_path)
    with pytest.raises(
        GMLError, match=r'json is missing\. Remedy: prepare the'
    ):
        sweep(tmp_path / 'run', '--target', f'bare={tmp_path}')


@pytest.mark.slow
def test_a_target_without_test_videos_ends_in_one_line(
    sweep, target, tmp_path
):
    shutil.copy(target.folder / 'test.json', tmp_path)
    manifest = json.loads((target.folder / 'manifest.json').read_text())
    for video in manifest['videos']:
        video['split'] = 'val'
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(GMLError, match='has no prepared test video'):
        sweep(tmp_path / 'run', '--target', f'empty={tmp_path}')


@pytest.mark.slow
def test_crops_begun_otherwise_end_the_sweep_in_one_line(
    sweep, target, tmp_path
):
    manifest = (target.folder / 'manifest.json').read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    folder = tmp_path / 'crops' / digest[:12] / 'clean'
    (folder / 'records').mkdir(parents=True)
    parameters = json.loads((target.folder / 'parameters.json').read_text())
    parameters['size'] = 32
    (folder / 'parameters.json').write_text(json.dumps(parameters))
    with pytest.raises(GMLError, match='begun with other parameters'):
        sweep(tmp_path)


def test_sets_of_face_crops_are_named_as_such():
    video = PreparedVideo(
        video_id='a', path='a.mp4', split='test', method='real', label=0
    )
    crops = structs.replace(video, cropped=True)
    assert crops_note(Manifest(videos=[crops, video, video])) == [
        '1 of 3 test videos come as face crops: these were distorted, not '
        'full frames'
    ]
    assert crops_note(Manifest(videos=[video])) == []

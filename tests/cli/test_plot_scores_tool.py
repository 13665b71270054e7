"""From tools/test.py's score files to figures and the table."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import CONFIG, TINY, write_checkpoint, write_prepared

from gml_mmaction.errors import CheckpointError, GMLError
from gml_mmaction.evaluation.calibration import CalibrationError
from gml_mmaction.evaluation.scores import ScoreFileError
from gml_mmaction.io.files import file_sha256

FIGURES = {'roc', 'precision_recall', 'histogram', 'methods'}
QUICK = ['--replicates', '100']


@pytest.fixture(scope='module')
def tools(load_tool):
    """Load a tool that imports its neighbours."""
    return load_tool


@pytest.fixture(scope='module')
def runs(tmp_path_factory, tools):
    """Two detectors tested on five videos; a folder with their results."""
    root = tmp_path_factory.mktemp('runs')
    methods = ('real', 'real', 'real', 'Deepfakes', 'FaceSwap')
    videos = [(f'v{i}', m, ('p',), 1) for i, m in enumerate(methods)]
    data = write_prepared(root / 'data', dict(test=videos))
    options = [
        *(f'{key}={value}' for key, value in TINY.items()),
        *('test_dataloader.num_workers=0', 'test_dataloader.batch_size=5'),
        'test_dataloader.persistent_workers=False',
    ]
    for seed, name in enumerate(['first', 'second']):
        checkpoint = write_checkpoint(root / f'{name}.pth', seed)
        tools('test').main(
            [
                *(str(CONFIG), str(checkpoint), '--target', f'made={data}'),
                *('--work-dir', str(root / name), '--threshold-from', 'none'),
                *('--cfg-options', *options),
            ]
        )
    return root


def files_in(runs):
    return [str(runs / n / 'scores_made.json') for n in ('first', 'second')]


@pytest.mark.slow
def test_a_tested_detectors_numbers_are_told_with_intervals(
    runs, tools, tmp_path, capsys
):
    report = tools('plot').main(
        [*files_in(runs), '--out', str(tmp_path), *QUICK]
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *(f'{figure}.png' for figure in FIGURES),
        *('intervals.json', 'intervals.md'),
    }
    for figure in FIGURES:
        assert cv2.imread(str(tmp_path / f'{figure}.png')).std() > 5
    for name in ('first', 'second'):
        table = json.loads((runs / name / 'cross_table.json').read_text())
        metrics = table['targets'][0]['metrics']
        digest = file_sha256(runs / f'{name}.pth')
        line = f'{name}/made: {name}.pth (sha256 {digest[:12]})'
        assert line in report['notes']
        for row in report['rows']:
            if row['name'] == f'{name}/made':
                suffix = f'/{row["method"]}' if row['method'] else ''
                for number in ('auc', 'ap', 'eer'):
                    expected = metrics[f'video/{number}{suffix}']
                    assert row[number][0] == pytest.approx(expected)
    methods = [row['method'] for row in report['rows']]
    assert methods == [None, 'Deepfakes', 'FaceSwap'] * 2
    assert report['files'] == dict(
        zip(['first/made', 'second/made'], files_in(runs))
    )
    (difference,) = report['differences']
    assert difference['name'] == 'second/made minus first/made'
    assert json.loads((tmp_path / 'intervals.json').read_text()) == json.loads(
        json.dumps(report)
    )
    assert (tmp_path / 'intervals.md').read_text() in capsys.readouterr().out


@pytest.mark.slow
def test_scores_of_one_detector_do_not_calibrate_another(runs, tools, capsys):
    checkpoint = str(runs / 'first.pth')
    own, other = files_in(runs)
    with pytest.raises(ScoreFileError) as caught:
        tools('calibrate').main([checkpoint, other])
    line = str(caught.value)
    assert line.startswith(f'{other}: scores of second.pth (sha256 ')
    assert f'not of {checkpoint} (sha256 ' in line
    assert 'Remedy: gml test with' in line
    with pytest.raises(CalibrationError, match='too few'):
        tools('calibrate').main([checkpoint, own])
    assert 'does not say whose' not in capsys.readouterr().out
    content = json.loads(Path(other).read_text())
    del content['checkpoint']
    older = runs / 'older.json'
    older.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match='too few'):
        tools('calibrate').main([checkpoint, str(older)])
    assert f'{older}: it does not say whose' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize('name', ['best.onnx', 'best.PT2'])
def test_an_exported_detector_is_not_tested_and_a_line_says_so(
    runs, tools, tmp_path, name
):
    path = tmp_path / name
    path.write_bytes(b'a graph')
    targets = ['--target', f'made={runs / "data"}', '--threshold-from', 'none']
    with pytest.raises(CheckpointError) as caught:
        tools('test').main(
            [
                *(str(CONFIG), str(path), *targets),
                *('--work-dir', str(tmp_path / 'out'), '--cfg-options'),
                *(f'{key}={value}' for key, value in TINY.items()),
                *('test_dataloader.num_workers=0',),
                *('test_dataloader.persistent_workers=False',),
            ]
        )
    line = str(caught.value)
    assert line.startswith(f'{path}: an exported detector, for gml predict')
    assert line.endswith('Remedy: the .pth file that it was made of')


def test_the_score_file_stays_and_figures_lie_beside_it(runs, tools):
    path = runs / 'first/scores_made.json'
    before = path.read_bytes()
    flags = ['--level', 'clip', '--format', 'pdf', '--names', 'GML', *QUICK]
    report = tools('plot').main([str(path), *flags])
    assert path.read_bytes() == before
    folder = runs / 'first/scores_made_clip'
    assert {p.stem for p in folder.glob('*.pdf')} == FIGURES
    assert report['level'] == 'clip'
    assert report['rows'][0]['name'] == 'GML'


def test_one_class_gives_a_histogram_and_a_line(runs, tools, tmp_path, capsys):
    content = json.loads((runs / 'first/scores_made.json').read_text())
    content['videos'] = [v for v in content['videos'] if not v['label']]
    path = tmp_path / 'scores.json'
    path.write_text(json.dumps(content))
    tools('plot').main([str(path), '--out', str(tmp_path / 'out')])
    assert [p.name for p in tmp_path.glob('out/*.png')] == ['histogram.png']
    assert 'all 3 videos are real' in capsys.readouterr().out


@pytest.mark.parametrize('content', ['{}', 'none', None])
def test_a_file_without_scores_ends_in_one_line(tools, tmp_path, content):
    path = tmp_path / 'scores.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises((GMLError, OSError)) as error:
        tools('plot').main([str(path)])
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'scores_video').exists()


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        (['--names', 'a', 'b', 'c'], '2 files have 3 --names'),
        (['--names', 'a', 'a'], 'are the same'),
        (['--replicates', '99'], 'at least 100'),
        (['--confidence', '95'], 'between 0 and 1'),
        (['--confidence', 'nan'], 'between 0 and 1'),
        (['--seed', '-1'], '0 or more'),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    runs, tools, capsys, flags, words
):
    with pytest.raises(SystemExit) as error:
        tools('plot').main([*files_in(runs), *flags])
    assert error.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_the_confidence_widens_the_interval(runs, tools, tmp_path):
    widths = []
    for confidence in ('0.5', '0.99'):
        flags = ['--out', str(tmp_path), '--confidence', confidence, *QUICK]
        flags += ['--level', 'clip']
        path = str(runs / 'first/scores_made.json')
        report = tools('plot').main([path, *flags])
        _, low, high = report['rows'][0]['auc']
        widths.append(high - low)
    assert np.diff(widths) > 0


@pytest.mark.slow
def test_methods_in_groups_get_means_by_scenario(tools, tmp_path, capsys):
    """As Celeb-DF++ has them."""
    scores = {'real': 0.2, 'FaceSwap/A': 0.9, 'FaceSwap/B': 0.1, 'Talk/C': 0.2}
    videos = [
        dict(
            video_id=f'{method}/{i}',
            method=method,
            label=int(method != 'real'),
            score=score,
            tracks=[dict(track=0, score=score, clips=1)],
        )
        for method, score in scores.items()
        for i in range(2)
    ]
    path = tmp_path / 'scores_cdfpp.json'
    path.write_text(json.dumps(dict(videos=videos, clips=[])))
    tools('plot').main([str(path), '--out', str(tmp_path / 'out'), *QUICK])
    table = (tmp_path / 'out/scenarios.md').read_text()
    row = next(x for x in table.splitlines() if x.startswith('| cdfpp'))
    cells = [cell.strip() for cell in row.split('|')[2:-1]]
    assert cells == ['50.0', '50.0', '50.0']  # 1 and 0; a tie; their mean
    assert table in capsys.readouterr().out
    assert 'By scenario' not in (tmp_path / 'out/intervals.md').read_text()

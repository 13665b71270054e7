"""The paper's tables by one command, on tiny data and a tiny network."""

import json
import re
import sys

import pytest
import warm
from tiny import write_prepared

from gml_mmaction.errors import CheckpointError, DataError

DATA = ('ffpp', 'dfo', 'dfo_official', 'dfo_sing', 'cdf')
SMALL = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=2',
    *(
        f'{split}_dataloader.{key}={value}'
        for split in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', False))
    ),
    'model.backbone.width=0.0625',
    'model.cls_head.in_channels=128',
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('prepared')
    for seed, name in enumerate(DATA):
        splits = {
            split: [
                (f'{split}/{i}', ('real', 'fake')[i % 2], [split], 1)
                for i in range(4)
            ]
            for split in ('train', 'val', 'test')
        }
        write_prepared(root / name, splits, source=name, seed=seed)
    return root


@pytest.fixture
def tool(monkeypatch, load_tool):
    monkeypatch.setattr(sys, 'executable', warm.python())
    return load_tool('tables')


def command(data, work_dir, *more, tables=(2,), systems=('Xception',)):
    return [
        *('--miniature', '--data', str(data), '--work-dir', str(work_dir)),
        *('--tables', *map(str, tables), '--systems', *systems, *more),
        *('--cfg-options', *SMALL),
    ]


def changed(folder):
    return {
        p: p.stat().st_mtime_ns
        for p in folder.rglob('*')
        if p.suffix in ('.pth', '.log') or p.name == 'cross_table.json'
    }


@pytest.mark.slow
def test_what_is_missing_is_run_once_and_both_tables_are_written(
    tool, data, tmp_path, capsys
):
    assert tool.main(command(data, tmp_path)) == 0
    text = (tmp_path / 'paper_tables.md').read_text()
    content = json.loads((tmp_path / 'paper_tables.json').read_text())
    (row,) = (
        row
        for row in content['table_2']['video']
        if row['system'] == 'Xception'
    )
    line, _, _ = (x for x in text.splitlines() if x.startswith('| Xception '))
    cells = [cell.strip() for cell in line.split('|')]
    for column in row['columns']:
        path = tmp_path / f'runs/xception_{column["source"]}/seed-0/test'
        report = json.loads((path / 'cross_table.json').read_text())
        (target,) = report['targets']
        for number in ('auc', 'acc', 'acc_val'):
            value = target['metrics'][f'video/{number}']
            assert column[number] == value
            assert any(c.startswith(f'{100 * value:.1f} [') for c in cells)
        (training,) = column['runs']
        assert training['threshold'] == report['thresholds']['video']
    assert 'MINIATURE' in text
    assert 'source cdf' in text
    start = 'Started from random (seed 0): Xception (cdf), Xception (ffpp)\n'
    assert start in text
    for row in content['tests']:
        assert row['initial'] == dict(files=[], seed=0)

    before = changed(tmp_path)
    assert tool.main(command(data, tmp_path)) == 0
    assert changed(tmp_path) == before
    # one more target for the same training, and nothing else
    assert tool.main(command(data, tmp_path, tables=(2, 3))) == 0
    after = changed(tmp_path)
    weights = {path for path in before if path.suffix == '.pth'}
    assert all(after[path] == before[path] for path in weights)
    report = tmp_path / 'runs/xception_ffpp/seed-0/test/cross_table.json'
    names = [t['name'] for t in json.loads(report.read_text())['targets']]
    assert names == ['cdf', 'dfo']


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(
    tool, data, tmp_path, capsys
):
    """The frame-wise head has no ad_head to be set, GML's has."""
    systems = ('Xception', 'Xception+AD')
    arguments = command(data, tmp_path, tables=(3,), systems=systems)
    assert tool.main([*arguments, 'model.cls_head.ad_head=None']) == 1
    text = (tmp_path / 'paper_tables.md').read_text()
    failed = [x for x in text.splitlines() if x.startswith('- Failed: ')]
    assert len(failed) == 1
    assert 'xception_ffpp' in failed[0]
    assert (tmp_path / 'runs/xception-ad_ffpp/seed-0/trained.json').is_file()


def test_other_data_than_a_run_was_trained_on_is_refused(tool, data, tmp_path):
    args = tool.parse_args(command(data, tmp_path, tables=(2,)))
    run = tool.plan(args)[0]
    run.folder.mkdir(parents=True)
    origin = dict(run.origin(), manifest='another')
    (run.folder / 'origin.json').write_text(json.dumps(origin))
    with pytest.raises(tool.RunError, match='other settings or data: remove'):
        run.train(None)


def test_a_missing_data_set_is_named_with_the_remedy(tool, tmp_path):
    args = tool.parse_args(command(tmp_path / 'none', tmp_path))
    with pytest.raises(tool.RunError, match=r'ffpp.*prepare'):
        tool.plan(args)[-1].train(None)


def test_weights_that_are_missing_are_said_before_the_first_training(
    tool, data, tmp_path, capsys
):
    arguments = [
        *('--data', str(data), '--work-dir', str(tmp_path / 'work')),
        *('--weights', str(tmp_path), '--tables', '2'),
        *('--systems', 'Xception', 'EfficientNet-B4', 'Two-branch'),
    ]
    with pytest.raises(CheckpointError) as stopped:
        tool.main(arguments)
    lines = [*capsys.readouterr().err.splitlines(), str(stopped.value)]
    files = ('xception-43020ad28', 'densenet121-a639ec97', 'efficientnet-b4-')
    for line, file in zip(lines, files, strict=True):
        assert f'{tmp_path}/{file}' in line
        assert 'Remedy: download https://' in line
    assert not list((tmp_path / 'work').rglob('runs/*'))


def test_weights_belong_to_what_a_run_was_trained_with(tool, data, tmp_path):
    file = tmp_path / 'mine.pth'
    file.write_bytes(b'a')
    named = 'model.backbone.init_cfg'
    options = [f'{named}.type=Pretrained', f'{named}.checkpoint=mine.pth']
    arguments = ['--data', str(data), '--work-dir', str(tmp_path)]
    arguments += ['--systems', 'Xception', '--cfg-options', *options]
    random = tool.plan(tool.parse_args(arguments))[0].origin()
    arguments = ['--weights', str(tmp_path), *arguments]
    first = tool.plan(tool.parse_args(arguments))[0].origin()
    file.write_bytes(b'b')
    second = tool.plan(tool.parse_args(arguments))[0].origin()
    assert 'weights' not in random
    assert first['weights'] != second['weights']


def test_only_writing_shows_what_the_paper_has(tool, tmp_path, capsys):
    assert tool.main(['--only-write', '--work-dir', str(tmp_path)]) == 0
    text = (tmp_path / 'paper_tables.md').read_text()
    assert all(f'**Table {number}**' in text for number in (1, 2, 3))
    assert 'Not run: ' in text
    assert 'MINIATURE' not in text


@pytest.mark.parametrize('more', [[], ['--only-write']])
def test_data_that_are_not_there_are_one_line(tool, tmp_path, more):
    work_dir = tmp_path / 'work'
    with pytest.raises(DataError) as error:
        tool.main(['--data', 'nope', '--work-dir', str(work_dir), *more])
    (line,) = str(error.value).splitlines()
    assert re.search(r'nope holds no prepared data \(cdf, .*Remedy: ', line)
    assert not work_dir.exists()


SCORES = {'a': (0, 0.2), 'b': (1, 0.6), 'c': (0, 0.4), 'd': (1, 0.3)}


def write_run(run, shift=0.0):
    """What a training and its test on cdf leave, as far as tables read it."""
    test = run.folder / 'test'
    test.mkdir(parents=True)
    scores = dict(
        source='cdf',
        thresholds={'video': 0.25, 'clip': 0.25},
        videos=[
            dict(
                video_id=name,
                method='fake' if label else 'real',
                label=label,
                score=score + shift,
                tracks=[dict(track=0, score=score + shift, clips=1)],
            )
            for name, (label, score) in SCORES.items()
        ],
        clips=[],
    )
    target = dict(
        name='cdf',
        folder='cdf',
        source='cdf',
        manifest=run.manifest('cdf'),
        parameters={},
        real_videos=2,
        fake_videos=2,
        metrics={},
        scores_file='scores_cdf.json',
    )
    report = dict(
        config='a',
        checkpoint='b',
        checkpoint_sha256='c',
        notes=['a note of the test'],
        targets=[target],
    )
    files = {
        run.folder / 'origin.json': run.origin(),
        test / 'origin.json': run.test_origin(),
        test / 'scores_cdf.json': scores,
        test / 'cross_table.json': report,
    }
    for path, content in files.items():
        path.write_text(json.dumps(content))


def from_ffpp(tool, arguments):
    args = tool.parse_args(arguments)
    return [run for run in tool.plan(args) if run.source == 'ffpp']


def test_several_seeds_are_a_mean_with_range_and_a_line_each(
    tool, data, tmp_path, capsys
):
    arguments = command(data, tmp_path, '--only-write', '--seeds', '3', '4')
    for run, shift in zip(from_ffpp(tool, arguments), (0.0, 0.2)):
        write_run(run, shift)
    assert tool.main(arguments) == 0
    text = (tmp_path / 'paper_tables.md').read_text()
    lines = [x for x in text.splitlines() if x.startswith('| Xception ')]
    in_table, *each = [
        [cell.strip() for cell in line.split('|')[1:-1]] for line in lines
    ]
    # real 0.2 and 0.4, fake 0.6 and 0.3: three of four pairs in order; at
    # 0.5 only 0.6 is called fake, or 0.4 + 0.2 and 0.6 + 0.2, with the real
    assert in_table[5:] == [
        *('65.5', '75.0 (75.0 to 75.0)'),
        *('62.5 (50.0 to 75.0)', '75.0 (75.0 to 75.0)'),
    ]
    assert [row[:5] for row in each] == [
        ['Xception', 'ffpp', 'cdf', seed, '0.2500'] for seed in '34'
    ]
    assert all(re.fullmatch(r'75.0 \[.*\]', row[-1]) for row in each)
    assert 'seeds 3 4' in text
    assert '95 % percentile intervals' in text
    assert text.count('a note of the test') == 1
    assert 'Not run: xception_cdf' in text
    content = json.loads((tmp_path / 'paper_tables.json').read_text())
    cell = content['table_2']['video'][0]['columns'][1]
    assert [run['seed'] for run in cell['runs']] == [3, 4]
    assert (cell['acc'], cell['acc_val']) == (0.75, 0.625)


def test_a_training_or_test_of_other_settings_is_left_out(
    tool, data, tmp_path, capsys
):
    """Other seeds have folders of their own, see above."""
    arguments = command(data, tmp_path, '--only-write')
    (run,) = from_ffpp(tool, arguments)
    write_run(run)
    for more in ('train_cfg.max_iters=3', 'test_dataloader.batch_size=3'):
        assert tool.main([*arguments, more]) == 0
        text = (tmp_path / 'paper_tables.md').read_text()
        assert 'Left out: ' in text
        assert 'of other settings' in text or 'with other settings' in text
        assert '75.0' not in text
    assert tool.main([*arguments, 'test_dataloader.num_workers=2']) == 0
    text = (tmp_path / 'paper_tables.md').read_text()
    assert 'Left out' not in text
    assert '75.0 [' in text


def test_tables_of_made_up_data_say_so_first(tool, tmp_path, capsys):
    origin = 'made-up videos of one portrait, no real forgery'
    work_dir, data = tmp_path / 'work', tmp_path / 'data'
    for name in ('ffpp', 'cdf'):
        videos = [('a', 'real', ('a',), 1), ('b', 'fake', ('b',), 1)]
        path = write_prepared(data / name, dict(test=videos)) / 'manifest.json'
        manifest = json.loads(path.read_text())
        told = {'origin': {'test': origin}} if name == 'cdf' else {}
        path.write_text(json.dumps(told | manifest))
    arguments = command(data, work_dir, '--only-write')
    write_run(*from_ffpp(tool, arguments))
    assert tool.main(arguments) == 0
    text = (work_dir / 'paper_tables.md').read_text()
    assert text.startswith(f'Data cdf are {origin}.\n')
    content = json.loads((work_dir / 'paper_tables.json').read_text())
    assert next(iter(content.items())) == ('origin', {'cdf': origin})


def test_since_the_paper_is_tested_on_what_is_prepared(tool, data, tmp_path):
    """One row's training is shared with Table 2; nothing is run here."""
    arguments = command(
        data, tmp_path, '--only-write', tables=(2, 'since'), systems=('FTCN',)
    )
    args = tool.parse_args(arguments)
    (run,) = tool.plan(args)
    assert (run.source, run.targets) == ('ffpp', ['cdf'])
    assert run.config.name == 'ftcn_i3d-r50-small_demo.py'
    assert tool.main(arguments) == 0
    text = (tmp_path / 'paper_tables.md').read_text()
    assert '**Since the paper**' in text
    assert '- Not run: ftcn_i3d-r50_ffpp' in text
    content = json.loads((tmp_path / 'paper_tables.json').read_text())
    row = content['table_since']['video'][3]
    assert (row['system'], row['measured_by']) == ('FTCN', 'its paper')
    assert row['columns'][0]['paper'] == 0.869

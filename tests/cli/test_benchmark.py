"""The cost table from the command line."""

import json
import statistics

import pytest
import torch
from mmengine.config import Config
from tiny import REPO

from gml_mmaction.errors import GMLError
from gml_mmaction.models.xception import Xception

SMALL = REPO / 'configs/baselines/xception-small_demo.py'
MOVING = REPO / 'configs/gml_xception-small_demo.py'
FEW = ['--size', '64', '--frames', '4', '--rounds', '1', '--batch', '2']


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('benchmark')


@pytest.fixture(scope='module')
def done(run_warm, tmp_path_factory):
    """One run of the command: what was printed and written."""
    out = tmp_path_factory.mktemp('out')
    files = ['--json', out / 'cost.json', '--markdown', out / 'cost.md']
    command = [REPO / 'tools/benchmark.py', MOVING, SMALL, *FEW, *files]
    printed = run_warm(*map(str, command), '--reference', str(SMALL))
    assert printed.returncode == 0, printed.stderr
    content = json.loads((out / 'cost.json').read_text())
    return printed.stdout, (out / 'cost.md').read_text(), content


def test_the_reference_comes_first_and_once(done):
    *_, content = done
    paths = [row['config'] for row in content['rows']]
    assert paths == [str(SMALL), str(MOVING)]
    reference, moving = content['rows']
    assert reference['forward_ratio'] == reference['train_step_ratio'] == 1
    assert moving['train_step_ratio'] == pytest.approx(
        statistics.median(moving['train_step_s'])
        / statistics.median(reference['train_step_s'])
    )
    for key in ('parameters', 'macs', 'peak_bytes'):
        assert moving[key] > reference[key] > 0


def test_what_is_printed_is_the_markdown_file(done):
    printed, written, content = done
    assert printed == written
    header, rule, reference, moving = written.splitlines()[-4:]
    assert set(rule) <= set('|-: ')
    assert {line.count('|') for line in (header, rule, moving)} == {9}
    cells = [cell.strip() for cell in reference.split('|')[1:-1]]
    row = content['rows'][0]
    assert cells == [
        '`baselines/xception-small_demo`',
        f'{row["parameters"] / 1e6:.2f}',
        f'{row["macs"] / 1e9:.2f}',
        f'{row["forward_median_s"]:.3f}',
        '1.00',
        f'{row["train_step_median_s"]:.3f}',
        '1.00',
        f'{row["peak_bytes"] / 2**20:.0f}',
    ]


def test_the_caption_says_what_was_measured_on_what(done):
    printed, *_ = done
    assert printed.startswith('2 x 3 x 4 x 64 x 64 ')
    assert 'float32' in printed
    assert 'medians of 1 interleaved rounds' in printed
    assert 'to `baselines/xception-small_demo`' in printed
    assert "without the optimiser's state" in printed


def test_without_configs_the_blocks_of_the_paper_are_compared(tool):
    args = tool.parse_args([])
    motion_blocks = [
        Config.fromfile(path).model.backbone.motion_block.type
        for path in args.configs
    ]
    assert motion_blocks == ['CSTM', 'STMBlock', 'MCB', 'MCB']
    plain = Config.fromfile(args.reference).model.backbone
    assert plain == dict(type='Xception')


def test_a_broken_config_ends_in_one_line_that_names_it(tool, tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text("model = dict(type='NoSuchModel', backbone=dict())\n")
    with pytest.raises(GMLError) as stopped:
        tool.main([str(path), '--reference', str(SMALL), *FEW])
    assert f'{path} cannot be measured: ' in str(stopped.value)
    assert 'NoSuchModel' in str(stopped.value)
    assert '\n' not in str(stopped.value)


def test_too_little_memory_is_no_fault_of_the_config(tool, monkeypatch):
    def lack(*_):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')

    monkeypatch.setattr(Xception, 'forward', lack)
    with pytest.raises(GMLError) as stopped:
        tool.main([str(SMALL), '--reference', str(SMALL), *FEW])
    assert str(stopped.value) == (
        f'{SMALL}: the memory does not suffice. Remedy: a smaller --batch, '
        'or fewer configs at a time'
    )


@pytest.mark.parametrize('flag', ['--batch', '--rounds', '--size', '--frames'])
def test_nothing_is_measured_on_nothing(tool, flag, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args([flag, '0'])
    assert f'{flag} must be at least 1' in capsys.readouterr().err


def test_configs_may_be_named(tool):
    args = tool.parse_args(
        ['baselines/xception-small_demo', '--reference', 'gml_xception_ffpp']
    )
    assert [path.resolve() for path in args.configs] == [SMALL.resolve()]
    assert args.reference == REPO / 'configs/gml_xception_ffpp.py'


@pytest.mark.slow
def test_of_several_ways_the_fastest_is_told(tool, capsys):
    result = tool.main(
        [
            *(str(MOVING), '--reference', str(SMALL), *FEW),
            *('--ways', 'as-is', 'definition'),
        ]
    )
    rows = [(row['config'], row['way']) for row in result['all_rows']]
    assert rows == [
        (str(config), way)
        for config in (SMALL, MOVING)
        for way in ('as-is', 'definition')
    ]
    _, moving = result['rows']
    told = f'{moving["forward_way"]} (forward), {moving["train_step_way"]} '
    assert told in capsys.readouterr().out


@pytest.mark.slow
def test_clips_of_each_configs_own_are_a_column(tool, capsys):
    few = ('--rounds', '1', '--reference', str(SMALL))
    tool.main([str(MOVING), '--own-clips', *few])
    printed = ' '.join(capsys.readouterr().out.split())
    assert '1 clips, as long and large as those that each config' in printed
    assert '| `gml_xception-small_demo` | 8 x 64² |' in printed


@pytest.mark.slow
def test_an_estimate_says_that_nothing_was_measured(tool, capsys):
    few = ['--size', '64', '--batch', '2', '--reference', str(SMALL)]
    result = tool.main([str(SMALL), '--estimate', *few])
    printed = capsys.readouterr().out
    assert '**Computed, not measured**' in printed
    (row,) = result['rows']
    step = row['step']
    cells = [cell.strip() for cell in printed.splitlines()[-1].split('|')]
    assert cells[5] == f'{step["bytes"] / 1e9:.1f}'
    assert cells[7] == f'{step["launches"]}'
    assert cells[6] == '1.00'


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        (['--device', 'cuda'], 'PyTorch sees no GPU. Remedy: --device cpu'),
        (['--amp', 'fp16'], 'a CPU computes in bf16. Remedy: --amp bf16'),
    ],
)
def test_what_a_cpu_has_not_is_refused(tool, flags, words, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main(flags)
    assert end.value.code == 2
    assert words in capsys.readouterr().err

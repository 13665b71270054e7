"""From data to tables by the documents, to the letter, on miniatures."""

import json
import re
import shlex

import pytest
from tiny import REPO, TINY

pytest.importorskip('av')

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SMALL = {
    **TINY,
    'model.backbone.middle_blocks': 2,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 2,
    **{f'{loader}.num_workers': 0 for loader in LOADERS},
    **{f'{loader}.persistent_workers': False for loader in LOADERS},
}
OPTIONS = ['--cfg-options', *(f'{k}={v}' for k, v in SMALL.items())]


def commands(document, section):
    """The lines of the bash blocks of a document's section."""
    text = (REPO / document).read_text(encoding='utf-8')
    text = text.split(f'\n## {section}\n')[1].split('\n## ')[0]
    blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
    return [
        line
        for line in ''.join(blocks).splitlines()
        if line and not line.startswith('#')
    ]


@pytest.fixture
def desk(tmp_path, make_ffpp, load_tool, monkeypatch):
    """A folder with the official trees in raw/ and the project's configs."""
    ffpp = make_ffpp(tmp_path / 'raw/FaceForensics++')
    load_tool('demo_trees').main([str(ffpp), str(tmp_path / 'raw')])
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command, load_tool):
    """Run ``gml NAME ...``; a detector is tiny, trained once."""
    gml, name, *arguments = shlex.split(command)
    assert gml == 'gml'
    arguments = [a.replace('iter_N.pth', 'iter_1.pth') for a in arguments]
    if name in ('train', 'test', 'robustness'):
        arguments += OPTIONS
    if name == 'robustness':
        arguments += ['--types', 'CS', 'VC', '--levels', '5']
    return name, load_tool(name).main(arguments)


@pytest.mark.slow(25)
def test_your_data_goes_from_raw_trees_to_the_cross_table(desk, load_tool):
    lines = [
        *commands('README.md', 'Your data'),
        *commands('docs/paper.md', 'The three evaluations'),
        *commands('docs/robustness.md', 'A sweep'),
    ]
    for line in lines:
        name, result = run(line, load_tool)
        if name == 'check':
            assert result == 1, 'a miniature has not the published numbers'
        if name == 'prepare':
            assert result == 0, line
    assert {'check', 'prepare', 'train', 'test', 'robustness'} <= {
        line.split()[1] for line in lines
    }
    table = json.loads(
        (desk / 'work_dirs/gml_xception_ffpp/cross_table.json').read_text()
    )
    rows = {row['name']: row for row in table['targets']}
    assert {
        n: r['real_videos'] + r['fake_videos'] for n, r in rows.items()
    } == {
        'ffpp': 6,
        'dfo': 4,
        'cdf': 4,
    }
    assert all(
        row['metrics']['video/auc'] is not None for row in rows.values()
    )
    assert rows['dfo']['leaked_videos'] == 0, "targets of FF++'s test only"
    sweep = desk.glob('work_dirs/gml_xception_ffpp/**/robustness.json')
    assert len(list(sweep)) == 1

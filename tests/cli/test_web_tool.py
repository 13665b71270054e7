"""The command of the web page, up to where it serves."""

import pytest


@pytest.fixture
def web(load_tool, monkeypatch):

    return load_tool('web')


def test_without_options_only_this_machine_is_served(web):
    args = web.parse_args(['best.pth'])
    assert args.host == '127.0.0.1'
    assert (args.max_mb, args.max_minutes, args.keep_minutes) == (500, 10, 60)


@pytest.mark.parametrize('value', ['0', '-1', 'inf', 'nan'])
def test_a_limit_has_to_be_a_number_above_0(web, value, capsys):
    with pytest.raises(SystemExit):
        web.parse_args(['best.pth', f'--max-mb={value}'])
    assert f'{value} is not' in capsys.readouterr().err


def test_without_nicegui_one_line_says_what_to_install(run_warm, tmp_path):
    from tiny import REPO

    broken = 'raise ModuleNotFoundError("No module named \'nicegui\'")'
    (tmp_path / 'nicegui.py').write_text(broken)
    done = run_warm(str(REPO / 'tools/web.py'), 'best.pth', path=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('web.py: nicegui cannot be imported')
    assert 'Remedy: pip install' in last


def test_a_checkpoint_that_is_missing_gets_one_line(run_warm, tmp_path):
    pytest.importorskip('nicegui')
    from tiny import REPO

    done = run_warm(str(REPO / 'tools/web.py'), str(tmp_path / 'no.pth'))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('web.py: ')
    assert 'no.pth' in last

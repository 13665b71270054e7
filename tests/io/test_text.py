import io
import re
import sys
from pathlib import Path

import pytest

from gml_mmaction.io.text import (
    figure_text,
    one_line,
    printable,
    printable_lines,
    say,
    widen_streams,
)

REPO = Path(__file__).parents[2]
FORGED = 'x\x1b[2J\na.mp4: genuine\r\u202e\udcff'
SHOWN = r'x\x1b[2J\na.mp4: genuine\r\u202e\udcff'


def test_a_text_of_a_file_moves_no_cursor_and_makes_no_line():
    assert printable(FORGED) == SHOWN
    assert printable('Zoë ≥ 0.5') == 'Zoë ≥ 0.5'
    assert printable(Path('a\tb')) == r'a\tb'


def test_a_log_keeps_its_lines_and_tabulators_alone():
    text = 'one\n\ttwo\x1b[8m\r\x85'
    assert printable_lines(text) == '\n\t'.join(['one', r'two\x1b[8m\r\x85'])


def test_an_error_is_one_line_that_shows_control_characters():
    assert one_line(ValueError('a\x1b.mp4:\n  broken')) == r'a\x1b.mp4: broken'
    assert one_line(KeyError('a\nb')) == 'a b'
    assert one_line(ValueError('')) == 'ValueError'


def test_of_an_error_in_a_loaders_process_the_last_line_counts():
    error = OSError(
        'Caught OSError in DataLoader worker process 0.\n'
        'Original Traceback (most recent call last):\n  File "x.py"\n'
        'OSError: a.jpg is damaged\n'
    )
    assert one_line(error) == 'a.jpg is damaged'


def test_what_is_said_is_a_line_each(capsys):
    say(FORGED, 3, '')
    say('wrong', file=sys.stderr)
    assert capsys.readouterr() == (f'{SHOWN}\n3\n\n', 'wrong\n')


def test_a_name_in_a_figure_is_no_formula():
    from matplotlib.figure import Figure

    figure = Figure()
    text = figure.suptitle(figure_text('a$\\frac$\udcff\n.mp4'))
    figure.savefig(io.BytesIO())
    shown, is_formula = text._preprocess_math(text.get_text())
    assert (shown, is_formula) == (r'a$\frac$\udcff\n.mp4', False)


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'utf-8'])
def test_a_stream_of_any_encoding_takes_any_sign(monkeypatch, encoding):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr(sys, 'stdout', streams[0])
    monkeypatch.setattr(sys, 'stderr', streams[1])
    widen_streams()
    for stream in streams:
        print('score ≥ 0.5, Zoë', file=stream, flush=True)
        written = stream.buffer.getvalue().decode(encoding)
        assert ('≥' in written) == (encoding == 'utf-8')
        assert (r'\u2265' in written) == (encoding != 'utf-8')


@pytest.mark.parametrize(
    'path',
    sorted((REPO / 'gml_mmaction').rglob('*.py')),
    ids=lambda path: '.'.join(path.relative_to(REPO).with_suffix('').parts),
)
def test_all_that_is_printed_goes_through_say(path):
    text = path.read_text(encoding='utf-8')
    assert [path.name for _ in re.finditer(r"(?<![\w.'])print\(", text)] == (
        ['text.py'] if path.name == 'text.py' else []
    )


def test_a_path_that_is_not_there_comes_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        (tmp_path / 'nowhere').read_text()
    assert one_line(error.value) == (
        f'{tmp_path}/nowhere: no such file or folder. Remedy: a path that is '
        'there'
    )


def test_a_path_in_the_way_comes_with_the_remedy(tmp_path):
    file = tmp_path / 'file'
    file.touch()
    for use in (file.mkdir, (file / 'below').mkdir, tmp_path.read_text):
        with pytest.raises(OSError, match='Errno') as error:
            use()
        text = one_line(error.value)
        assert text.startswith(f'{error.value.filename}: ')
        assert 'Remedy: ' in text
        assert 'Errno' not in text

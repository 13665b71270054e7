"""A short run of the fuzz, and that it finds what it should.

The long form: PYTHONPATH=.:tests python tests/fuzz/fuzz.py --inputs 10000.
"""

import importlib
import os
import time

import fuzz
import numpy as np
import pytest
import videos
import watch

SECONDS = 30


@pytest.fixture
def guard():
    """One for the whole process: audit hooks stay."""
    if not hasattr(fuzz, 'shared_guard'):
        fuzz.shared_guard = watch.Guard()
    return fuzz.shared_guard


@pytest.mark.slow(30)
def test_damaged_files_give_a_result_or_one_clear_line():
    from corpora import TARGETS

    outcomes, findings = fuzz.fuzz(
        [*TARGETS], 1500, seed=7, seconds=SECONDS, least=3
    )
    assert findings == []
    for name, counts in outcomes.items():
        assert counts.total() >= 3, f'{name}: hardly anything was tried'
    total = sum(outcomes.values(), start=fuzz.Counter())
    assert total['read'] > 20  # damage is not always fatal
    assert total['refused'] > 20


def test_the_same_seed_makes_the_same_damage(tmp_path):
    found = []
    for name in 'ab':
        path = tmp_path / f'{name}.json'
        path.write_text('{"a": [1, 2, {"b": "c"}], "d": null}')
        fuzz.mutate.damage(np.random.default_rng([1, 2, 17]), path)
        found.append(path.read_bytes())
    assert found[0] == found[1] != b'{"a": [1, 2, {"b": "c"}], "d": null}'


@pytest.mark.parametrize(
    ('error', 'why'),
    [
        (ValueError('x.json: broken'), ''),
        (ValueError('broken'), 'names no file'),
        (ValueError('x.json: two\nlines'), 'no line of text'),
        (ValueError('x.json: \x1b[2J'), 'no line of text'),
        (ValueError(''), 'no line of text'),
    ],
)
def test_an_error_is_a_line_that_names_the_file(error, why):
    found = fuzz.unclear(error, ['x.json'])
    assert why in found
    assert bool(why) == bool(found)


@pytest.mark.parametrize(
    ('act', 'event'),
    [
        (lambda out: (out / 'x').write_text('x'), 'open'),
        (lambda out: (out / 'in/../../x').exists() or os.listdir(out), 'list'),
        (lambda out: (out / 'x').mkdir(), 'mkdir'),
        (lambda out: os.rename(out / 'a', out.parent / 'in/a'), 'rename'),
        (lambda out: (out / 'a').unlink(), 'remove'),
        (lambda out: os.system('true'), 'os.system'),
    ],
)
def test_what_leaves_the_folder_is_noted(guard, tmp_path, act, event):
    for name in ('in', 'out'):
        (tmp_path / name).mkdir()
    (tmp_path / 'out/a').touch()
    guard.watch((str(tmp_path / 'in'),), ())
    (tmp_path / 'in/x').write_text('x')
    assert guard.found == []
    act(tmp_path / 'out')
    found = guard.stop()
    assert found
    assert event in found[0]


def test_an_import_that_a_file_may_name_is_noted(guard, tmp_path):
    guard.watch((str(tmp_path),), ())
    with pytest.raises(ImportError):
        importlib.import_module('bait')
    assert guard.stop() == ['import bait']


def test_what_a_decoder_opens_is_noted(guard, tmp_path):
    """Python's audit hook does not see it."""
    path = videos.write(tmp_path / 'secret.ts', videos.numbered(4))
    guard.watch((str(tmp_path),), (), tmp_path)
    assert guard.stop() == []
    guard.watch((str(tmp_path),), (), tmp_path)
    videos.av.open(str(path)).close()
    assert guard.stop() == ["opened 'secret.ts'"]


def test_what_a_decoder_connects_to_is_noted(guard, tmp_path):
    guard.watch((str(tmp_path),), ())
    with pytest.raises(videos.av.FFmpegError):
        videos.av.open(f'http://{watch.ADDRESS}/x.mp4', timeout=0.2)
    assert guard.stop() == [f'a connection to {watch.ADDRESS}']


@pytest.mark.slow
def test_memory_without_bound_is_noted(guard, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, 'MOST_MEMORY', 100 << 10)
    guard.watch((str(tmp_path),), ())
    np.ones(10 << 17)
    assert guard.stop() == []
    guard.watch((str(tmp_path),), ())
    np.ones(400 << 17)  # MB; a host may take some of it back
    assert 'MB of memory' in guard.stop()[0]


class Dies(fuzz.Worker):
    """Does what a number says."""

    def __init__(self):
        pass

    def try_one(self, folder, name, seed, number):
        if number == 1:
            os.abort()
        if number == 2:
            time.sleep(60)
        return 'read', ''


@pytest.mark.slow
def test_a_death_and_a_hang_are_found_and_the_next_input_is_tried():
    with fuzz.Tries(limit=1.0, worker=Dies) as tries:
        found = [tries.one('x', 0, number) for number in range(4)]
    assert found[0] == found[3] == ('read', '')
    assert 'died, exit code -6' in found[1][1]
    assert 'hangs' in found[2][1]

"""What is printed may wait until it is known to be wanted."""

import io
import logging
import os

import pytest

from gml_mmaction.io.held import HeldOutput


def test_a_text_is_held_until_it_is_released_and_later_ones_are_not():
    stream = io.StringIO()
    held = HeldOutput(stream)
    held.write('one ')
    assert stream.getvalue() == ''
    held.release()
    held.write('two')
    assert stream.getvalue() == 'one two'


def test_a_logger_goes_on_writing_to_it():
    stream = io.StringIO()
    held = HeldOutput(stream)
    logger = logging.Logger('held')
    logger.addHandler(logging.StreamHandler(held))
    logger.info('first')
    held.release()
    logger.info('second')
    assert stream.getvalue() == 'first\nsecond\n'


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_another_process_writes_at_once(tmp_path):
    with open(tmp_path / 'out', 'w') as stream:
        held = HeldOutput(stream)
        held.write('of the parent')
        child = os.fork()
        if not child:
            held.write('of the child')
            held.flush()
            os._exit(0)
        os.waitpid(child, 0)
    assert (tmp_path / 'out').read_text() == 'of the child'

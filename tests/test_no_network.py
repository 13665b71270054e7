"""Nothing here asks the network: not import, training, testing, predicting.

A hook of Python's own (``sys.addaudithook``) stops every look-up and every
connection, in worker processes too. It does not see what libraries do without
Python; FFmpeg, the only one here that could, is given files alone (playlists
are refused, see test_video.py).
"""

import pytest
from tiny import CONFIG, TINY, write_detector, write_prepared

HOOK = """
import socket
import sys

ASKS = 'socket.connect socket.bind socket.sendto socket.sendmsg '
ASKS += 'socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr'
ASKS = ASKS.split()


def stop(event, arguments):
    if event in ASKS:
        if getattr(arguments[0], 'family', None) == socket.AF_UNIX:
            return  # processes of one machine, among themselves
        with open({log!r}, 'a') as file:
            file.write(f'{{event}} {{arguments[1:]!r}}\\n')
        raise OSError(f'no network: {{event}}')


sys.addaudithook(stop)
"""
WORK = """
import importlib
import pkgutil
import sys

import gml_mmaction

for module in pkgutil.walk_packages(gml_mmaction.__path__, 'gml_mmaction.'):
    importlib.import_module(module.name)

folder, config, repo, *options = sys.argv[1:]

from gml_mmaction.cli import predict, test, train

common = ['--cfg-options', *options]
data = ['--data', folder + '/data']
train.main([config, '--work-dir', folder + '/run', *data, *common])
test.main(
    [config, folder + '/run/iter_2.pth', '--work-dir', folder + '/run']
    + ['--target', 'x=' + folder + '/data', *common]
)
code = predict.main(
    [folder + '/video.mp4', '--checkpoint', folder + '/best.pth']
    + ['--out', folder + '/out', '--device', 'cpu', '--quiet']
)
print('predicted', code)
"""
CONNECTS = {
    'a look-up': 'import socket; socket.getaddrinfo("localhost", 80)',
    'a connection': 'import socket; '
    'socket.create_connection(("127.0.0.1", 9), 1)',
    'a download': 'import urllib.request; '
    'urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)',
    'a worker process': 'import os, socket\nif not (child := os.fork()):\n'
    '    socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9))\n'
    'os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))',
}


@pytest.fixture
def log(tmp_path):
    """Let run_python(path=tmp_path) find the hook; return what it notes."""
    log = tmp_path / 'asked.txt'
    text = HOOK.format(log=str(log))
    (tmp_path / 'sitecustomize.py').write_text(text)
    return log


@pytest.mark.parametrize('code', CONNECTS.values(), ids=CONNECTS)
def test_the_hook_stops_and_notes_what_asks(run_python, tmp_path, log, code):
    done = run_python('-c', code, path=tmp_path)
    assert done.returncode != 0
    assert 'no network' in done.stderr
    assert log.read_text().startswith('socket.')


@pytest.mark.slow(15)
def test_import_training_testing_and_prediction_ask_for_nothing(
    run_python, tmp_path, log, talking_head
):
    pytest.importorskip('dlib')
    videos = [('r', 'real', ['1'], 1), ('f', 'fake', ['2'], 1)]
    splits = dict(train=videos, val=videos, test=videos)
    for split in splits:
        splits[split] = [(f'{split}/{v[0]}', *v[1:]) for v in videos]
    write_prepared(tmp_path / 'data', splits)
    write_detector(tmp_path / 'best.pth')
    talking_head(tmp_path / 'video.mp4', num_frames=24)
    options = {
        **TINY,
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 2,
        'val_dataloader.num_workers': 1,
        'test_dataloader.num_workers': 1,
    }
    done = run_python(
        *('-c', WORK, str(tmp_path), str(CONFIG), str(CONFIG.parents[1])),
        *(f'{key}={value}' for key, value in options.items()),
        path=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'predicted 0' in done.stdout
    assert (tmp_path / 'out/video/prediction.json').is_file()
    assert not log.exists(), log.read_text()

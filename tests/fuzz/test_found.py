"""What the fuzz found once: each is one clear line now."""

import json
import os
import shutil
import zipfile

import checkpoints
import fuzz
import pytest
import torch
import watch
from corpora import PART, TARGETS
from folders import write_files
from media import pack_zip, picture
from videos import numbered, write

from gml_mmaction.errors import GMLError
from gml_mmaction.host.safe_checkpoints import BrokenCheckpointError
from gml_mmaction.sources import Video, get_source
from gml_mmaction.video import VideoError, open_video
from gml_mmaction.video.folders import noted


def changed(change):
    """Change the tree of a JSON file."""

    def edit(path):
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))

    return edit


def field(*keys, to):
    """Set a field, by its path in the tree."""

    def change(tree):
        *inner, last = keys
        for key in inner:
            tree = tree[key]
        tree[last] = to

    return changed(change)


def content(data):
    return lambda path: path.write_bytes(data)


def renamed(name):
    """Let the first key of an object be another."""

    def change(tree):
        key = next(iter(tree))
        tree[name] = tree.pop(key)

    return changed(change)


ENTRY = 'data_list', 0
FOUND = {
    'a file that is no UTF-8': (
        *('manifest', 'manifest.json', content(b'{"a": "\xff"}')),
        'not text in UTF-8',
    ),
    'brackets without end': (
        *('ffpp', 'splits/val.json', content(b'[' * 10**5)),
        'nested too deeply',
    ),
    'a split file whose ids lead out': (
        *('ffpp', 'splits/val.json', field(0, to=['..', '672'])),
        'expected a list of pairs',
    ),
    'a list of another encoding': (
        *('dfo', 'lists/splits/val.txt', content(b'\xff\xfe')),
        'not text in UTF-8',
    ),
    'metadata that lead out of the data set': (
        *('dfdc', f'{PART}/metadata.json', renamed('../../../x.mp4')),
        'is not a path within',
    ),
    'metadata with an absolute path': (
        *('dfdcp', 'dataset.json', renamed('/tmp/outside/x.mp4')),
        'is not a path within',
    ),
    'an original that is no text': (
        *('dfdc', f'{PART}/metadata.json', field('bb.mp4', 'original', to=7)),
        'is not a path within',
    ),
    'a table with a quote that never ends': (
        *('dfdc', 'test/labels.csv'),
        content(b'filename,label\n"' + b'x' * 200_000),
        'not a CSV file',
    ),
    'crops that lie elsewhere': (
        *('annotation', 'test.json'),
        field(*ENTRY, 'frame_dir', to='frames/../../outside'),
        'a path within its folder',
    ),
    'crops at an absolute path': (
        *('annotation', 'test.json', field(*ENTRY, 'frame_dir', to='/etc')),
        'a path within its folder',
    ),
    'a template that formats an object': (
        *('annotation', 'test.json'),
        field('metainfo', 'filename_tmpl', to='{0.__class__}.jpg'),
        'a name such as',
    ),
    'a template that fills the memory': (
        *('annotation', 'test.json'),
        field('metainfo', 'filename_tmpl', to='{:999999999}.jpg'),
        'a name such as',
    ),
    'a stride that is text': (
        *('annotation', 'test.json', field('metainfo', 'stride', to='2')),
        'a whole number',
    ),
    'a label of another class': (
        *('annotation', 'test.json', field(*ENTRY, 'label', to=2)),
        'expected 0 .real. or 1',
    ),
    'a square without a side': (
        *('boxes', 'test.json', field(*ENTRY, 'square', to=[1, 2])),
        'expected a square',
    ),
    'a box of a file that is no video': (
        *('boxes', 'test.json', field(*ENTRY, 'video', to='../test.json')),
        'are not in',
    ),
    'boxes without a root': (
        *('boxes', 'test.json', changed(lambda t: t['metainfo'].pop('root'))),
        "'root' is missing",
    ),
    'a manifest whose videos are a number': (
        *('manifest', 'manifest.json', field('videos', to=3)),
        'expected a list',
    ),
    'a manifest with a video of no split': (
        *('manifest', 'manifest.json', field('videos', 0, 'split', to=None)),
        "expected 'train' or",
    ),
    'a manifest with an id that leads out': (
        *('manifest', 'manifest.json'),
        field('videos', 0, 'video_id', to='../x'),
        'a path within its folder',
    ),
    'a manifest whose video is an absolute path': (
        *('manifest', 'manifest.json'),
        field('videos', 0, 'path', to='/etc/hostname.mp4'),
        'a relative path',
    ),
    'a manifest whose video is another file': (
        *('manifest', 'manifest.json'),
        field('videos', 0, 'path', to='report.json'),
        'are missing',
    ),
    'a report whose counts are text': (
        *('manifest', 'report.json', field('rows', 1, 'missing', to='x')),
        'a whole number',
    ),
    'a label too large for a number': (
        *('scores', 'scores.json', field('videos', 0, 'label', to=10**30)),
        'not a valid file of scores',
    ),
    'a calibration with a threshold of text': (
        *('calibration', 'a.calibration.json', field('threshold', to='x')),
        'not a valid calibration',
    ),
    'a calibration of no videos': (
        *('calibration', 'a.calibration.json'),
        lambda path: [
            field(f'{kind}_videos', to=0)(path) for kind in ('real', 'fake')
        ],
        'not a valid calibration',
    ),
    'a calibration beyond all numbers': (
        *('calibration', 'a.calibration.json'),
        field('parameters', to=[10**400, 0]),
        'not a valid calibration',
    ),
}


@pytest.mark.parametrize(
    ('name', 'file', 'damage', 'message'), FOUND.values(), ids=FOUND
)
def test_a_damaged_file_is_one_line(tmp_path, name, file, damage, message):
    target = TARGETS[name]
    target.make(tmp_path)
    damage(tmp_path / 'data' / file)
    with pytest.raises(target.errors, match=message) as caught:
        target.read(tmp_path)
    assert fuzz.unclear(caught.value, [os.path.basename(file)]) == ''


def test_a_name_with_a_line_break_is_left_out_of_a_list(tmp_path):
    target = TARGETS['dfdc']
    target.make(tmp_path)
    renamed('a\nb.mp4')(tmp_path / 'data' / PART / 'metadata.json')
    with noted(tmp_path) as notes:
        target.read(tmp_path)
    assert any(r'a\nb.mp4' in note for note in notes)


META = {
    'records that are text': dict(provenance='x'),
    'data that are a list': dict(dataset_meta=[1]),
    'a threshold that is a list': dict(
        provenance=dict(validation=dict(metrics={'video/eer_threshold': []}))
    ),
    'numbers that JSON does not know': dict(
        provenance=dict(training=dict(source='x', levels=[float('nan')]))
    ),
    'a name that MMEngine keeps for itself': dict(cfg='filename = 1'),
    'a list as a key': dict(cfg='x = {[]: 1}'),
    'a loader that is a number': dict(cfg='test_dataloader = 1'),
}


@pytest.mark.slow
@pytest.mark.parametrize('meta', META.values(), ids=META)
def test_a_checkpoint_with_other_records_is_one_line(tmp_path, meta):
    target = TARGETS['checkpoint']
    target.make(tmp_path)
    path = tmp_path / 'data/best.pth'
    loaded = torch.load(path, weights_only=True)
    loaded['meta'] |= meta
    torch.save(loaded, path)
    with pytest.raises(GMLError) as caught:
        target.read(tmp_path)
    assert fuzz.unclear(caught.value, [path.name]) == ''


def test_a_checkpoint_without_one_of_its_tensors_is_one_line(tmp_path):
    target = TARGETS['newest checkpoint']
    target.make(tmp_path)
    path = tmp_path / 'data/iter_4.pth'
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    del members['best/data/3']
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BrokenCheckpointError) as caught:
        target.read(tmp_path)
    assert fuzz.unclear(caught.value, [path.name]) == ''


# place of a byte after the signature of a header, and its value
ZIP = {
    'compression': (b'PK\x03\x04', 30 + len('s/0.png'), 0xFF),
    'unknown method': (b'PK\x01\x02', 10, 99),
    'name': (b'PK\x01\x02', 46, 0xFF),
}


@pytest.mark.parametrize(('header', 'at', 'value'), ZIP.values(), ids=ZIP)
def test_an_archive_of_damaged_bytes_is_unreadable(
    tmp_path, header, at, value
):
    data = bytearray(pack_zip(['s/0.png']))
    start = data.index(header)
    data[start + at] = value
    if header == b'PK\x01\x02':
        data[start + 9] |= 8  # names are UTF-8
    (tmp_path / 'a.zip').write_bytes(data)
    with pytest.raises(VideoError, match='not an archive'):
        open_video(tmp_path / 'a.zip', 's')


def test_a_checkpoint_that_asks_for_all_memory_is_one_line(tmp_path):
    class Asks:
        def __reduce__(self):
            return bytearray, (2**62,)

    torch.save(dict(a=Asks()), tmp_path / 'a.pth')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'a.pth').rename(tmp_path / 'data/iter_1.pth')
    with pytest.raises(BrokenCheckpointError, match='MemoryError'):
        TARGETS['newest checkpoint'].read(tmp_path)


def test_a_newest_checkpoint_with_a_changed_byte_is_passed_over(tmp_path):
    from gml_mmaction.engine import newest_checkpoint

    TARGETS['newest checkpoint'].make(tmp_path)
    path = tmp_path / 'data/iter_4.pth'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert newest_checkpoint(tmp_path / 'data').name == 'iter_2.pth'


@pytest.mark.parametrize(
    'text',
    [
        '#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n',
        '#EXTM3U\n#\0\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n',
        'ffconcat version 1.0\nfile {}\n',
    ],
)
@pytest.mark.parametrize('name', ['a.m3u8', 'a.mp4'])
def test_a_playlist_is_not_followed(tmp_path, name, text):
    """FFmpeg would read the other file, wherever it is."""
    write(tmp_path / 'other/b.ts', numbered(20))
    path = tmp_path / 'in' / name
    path.parent.mkdir()
    path.write_text(text.format('../other/b.ts'))
    with pytest.raises(VideoError, match='a text file, such as a list'):
        open_video(path)


@pytest.mark.parametrize(
    'name', ['../x', '/x', 'a/../b', '', '.', 'a\nb', 'x' * 250, '\ud800']
)
def test_no_video_has_an_id_that_leads_out_of_its_folder(name, tmp_path):
    with pytest.raises(ValueError, match='cannot be a folder of crops'):
        Video(name, tmp_path / 'x.mp4', 0, 'real', 'test')


def test_a_link_that_leads_back_is_not_followed_for_ever(tmp_path):
    files = dict.fromkeys(['real/a.mp4', 'fake/x/b.mp4'], b'')
    write_files(tmp_path, **files)
    for name in 'pq':
        (tmp_path / 'fake/x' / name).symlink_to(tmp_path / 'fake')
    linked = tmp_path / 'fake/linked'
    linked.symlink_to(tmp_path / 'real')
    found = {video.video_id for video in get_source('folder')(tmp_path)}
    assert found == {'real/a', 'fake/x/b'}


def test_a_name_in_an_archive_moves_no_cursor(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('s/\x1b[2J.png', b'x')
    with pytest.raises(VideoError) as caught:
        open_video(tmp_path / 'a.zip', 's')
    assert fuzz.unclear(caught.value, []) == ''


def test_a_link_to_a_device_among_images_is_one_line(tmp_path):
    write_files(tmp_path, **{'1.png': picture(9), '2.png': picture(9)})
    (tmp_path / '3.png').symlink_to('1.png')
    (tmp_path / '4.png').symlink_to('/dev/zero')
    with open_video(tmp_path) as images:
        assert len([*images.frames(stop=3)]) == 3
        with pytest.raises(VideoError, match=r'4\.png: is a device'):
            list(images.frames())


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with a run of the tiny detector, and its data."""
    folder = tmp_path_factory.mktemp('trained')
    checkpoints.make_weights(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / 'run')


def check_one_line(read, run, line):
    """A checkpoint of a run is refused in one line that names it."""
    with pytest.raises(GMLError, match=line) as caught:
        read(run)
    assert fuzz.unclear(caught.value, [checkpoints.FILE]) == ''


RECORDS = {
    'a best score that is none': (
        ('message_hub', 'runtime_info', 'best_score'),
        None,
    ),
    'kept checkpoints that are a number': (
        ('message_hub', 'runtime_info', 'keep_ckpt_ids'),
        7,
    ),
    'kept checkpoints that lead elsewhere': (
        ('message_hub', 'runtime_info', 'keep_ckpt_ids'),
        ['/../../x', 2, 4],
    ),
    'records that are a number': (('message_hub',), 7),
    'iterations that are text': (('meta', 'iter'), '4'),
    'iterations below none': (('meta', 'iter'), -5),
    'a seed that is text': (('meta', 'seed'), 'x'),
    'a config that is a number': (('meta', 'config'), 0.5),
    'a learning rate that is text': (('optimizer', 'param_groups'), 'lr'),
    'a schedule that is a number': (('param_schedulers',), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize(('place', 'value'), RECORDS.values(), ids=RECORDS)
def test_a_training_goes_on_from_no_strange_records(run, place, value):
    path = run / checkpoints.FILE
    content = checkpoints.load(path)
    (*inner, last), tree = place, content
    for key in inner:
        tree = tree[key]
    if value == 'lr':
        tree[last][0]['lr'] = value
    else:
        tree[last] = value
    torch.save(content, path)
    check_one_line(checkpoints.read_run, run, 'a training cannot go on')


def test_a_checkpoint_with_a_changed_byte_is_neither_resumed_nor_tested(run):
    path = run / checkpoints.FILE
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:  # elsewhere there is padding, too
        name = max(archive.infolist(), key=lambda info: info.file_size)
        tensor = archive.read(name)
    data[data.index(tensor) + len(tensor) // 2] ^= 1
    path.write_bytes(data)
    for read in (checkpoints.read_run, checkpoints.read_weights):
        check_one_line(read, run, 'it is damaged')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (lambda weight: torch.zeros(1), '1 of another shape'),
        (lambda weight: weight * float('nan'), 'not finite'),
    ],
    ids=['of fewer dimensions', 'not finite'],
)
def test_weights_that_cannot_be_get_no_score(run, change, line):
    path = run / checkpoints.FILE
    content = checkpoints.load(path)
    name = 'backbone.conv1.weight'
    content['state_dict'][name] = change(content['state_dict'][name])
    torch.save(content, path)
    check_one_line(checkpoints.read_weights, run, line)


@pytest.mark.parametrize('place', [b'IHDR', b'IDAT'])
def test_a_length_in_an_image_is_not_believed(tmp_path, place):
    data = bytearray(picture(9))
    at = data.index(place)
    data[at - 4 : at] = b'\x7f\xff\xff\xff'
    write_files(tmp_path, **{'1.png': bytes(data)})
    before = watch.memory_now()
    with pytest.raises(VideoError, match=r'1\.png is not an image'):
        open_video(tmp_path)
    assert watch.memory_peak() < before + (100 << 10)

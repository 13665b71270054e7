"""One odd name in a tree stops nothing: it is left out, counted and named."""

import json
import os
import tarfile

import pytest

from gml_mmaction.sources.options import list_with_notes

ODD = {
    'no UTF-8': b'\xff',
    'a line break': b'a\nfake/b.mp4: genuine',
    'an escape sequence': b'\x1b[2J',
    'half a pair': '\ud800'.encode(errors='surrogatepass'),
    'a turn of direction': '\u202eb'.encode(),
    'too long': b'n' * 245,
}
C23 = '{}_sequences/{}/c23/videos'
# A file that a source reads, where its own list does not say so.
READ = {
    'folder': 'real/a.mp4 fake/x/b.mp4',
    'uadfv': 'real/0000.mp4 fake/0000_fake.mp4',
    'ffiw': 'source/val/1.mp4 target/val/1.mp4',
    'cdf': 'Celeb-real/id0_0000.mp4 Celeb-synthesis/id0_id1_0000.mp4',
    'dfd': f'{C23.format("original", "actors")}/01__a.mp4',
    'dfdc': 'dfdc_train_part_0/a.mp4',
    'dfdcp': 'method_A/a.mp4',
    'dfo': 'manipulated_videos/end_to_end/000_M101.mp4',
    'df40': 'x/ff/000/0.png',
    'wilddeepfake': 'real_train/1/0.png fake_test/1/0.png',
    'ffpp': f'{C23.format("original", "youtube")}/000.mp4 '
    f'{C23.format("manipulated", "Deepfakes")}/000_001.mp4',
}
LISTS = {
    'cdf': {'List_of_testing_videos.txt': '1 Celeb-real/id0_0000.mp4\n'},
    'dfdc': {'dfdc_train_part_0/metadata.json': '{"a.mp4": {"label":"FAKE"}}'},
    'dfdcp': {
        'dataset.json': '{"method_A/a.mp4": {"label": "fake", "set": "test"}}'
    },
    'ffpp': {
        f'splits/{split}.json': json.dumps([pair])
        for split, pair in (
            ('train', ['002', '003']),
            ('val', ['004', '005']),
            ('test', ['000', '001']),
        )
    },
}
LISTS['dfo'] = LISTS['ffpp']


@pytest.fixture
def tree(touch, tmp_path):
    def make(source):
        touch(*READ[source].split())
        for name, text in LISTS.get(source, {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def add(folder, name):
    """Create a file by the bytes of its name."""
    path = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb'):
        pass


def odd_place(source, name):
    """Where in a tree a video, or the images of one, would have a name."""
    first = READ[source].split()[0].encode()
    folder, file = os.path.split(first)
    if source == 'ffpp':  # its lists name all files: an odd method
        return b'manipulated_sequences/' + name + b'/c23/videos/000_001.mp4'
    if file.endswith(b'.png'):
        return os.path.dirname(folder) + b'/' + name + b'/0.png'
    return folder + b'/' + name + b'.mp4'


@pytest.mark.parametrize('name', ODD.values(), ids=ODD)
@pytest.mark.parametrize('source', READ)
def test_an_odd_name_is_left_out_and_named(tree, source, name):
    root = tree(source)
    options = {'ffpp': root} if source == 'dfo' else {}
    videos, notes = list_with_notes(source, root, options)
    assert videos
    name = name[: name.find(b'/')] if b'/' in name else name
    add(root, odd_place(source, name))
    again, more = list_with_notes(source, root, options)
    assert again == videos
    (added,) = {*more} - {*notes}
    assert added.startswith('1 name not ')
    assert '(to be renamed): ' in added
    assert added.isprintable()
    added.encode('utf-8')


def test_an_odd_entry_of_a_list_is_left_out_and_named(tree):
    root = tree('dfdc')
    path = root / 'dfdc_train_part_0/metadata.json'
    names = ('a.mp4', '\udcff.mp4', 'b\n.mp4')
    path.write_text(json.dumps({name: {'label': 'FAKE'} for name in names}))
    videos, notes = list_with_notes('dfdc', root, {})
    assert [video.path.name for video in videos] == ['a.mp4']
    assert '2 names not in UTF-8' in notes[-1]


def test_an_entry_that_leads_out_of_the_folder_is_refused(tree):
    root = tree('dfdc')
    path = root / 'dfdc_train_part_0/metadata.json'
    path.write_text('{"../a.mp4": {"label": "FAKE"}}')
    with pytest.raises(
        ValueError, match=r"'\.\./a\.mp4' is not a path within"
    ):
        list_with_notes('dfdc', root, {})


def test_an_odd_folder_in_an_archive_is_left_out_and_named(tree, tmp_path):
    root = tree('wilddeepfake')
    with tarfile.open(root / 'real_train/2.tar', 'w') as archive:
        archive.addfile(tarfile.TarInfo('2/a\nb/0.png'))
        archive.addfile(tarfile.TarInfo('2/c/0.png'))
    (root / 'real_train' / os.fsdecode(b'\xff.tar')).touch()
    videos, notes = list_with_notes('wilddeepfake', root, {})
    assert 'real_train/2/c' in [video.video_id for video in videos]
    assert notes[-1].startswith('2 names not in UTF-8')
    assert notes[-1].endswith(r'real_train/2/a\nb, real_train/\udcff.tar')


def test_a_file_of_deeperforensics_with_another_name_is_named(tree, touch):
    root = tree('dfo')
    touch('manipulated_videos/end_to_end/notes.mp4')
    videos, notes = list_with_notes('dfo', root, {'ffpp': root})
    assert len(videos) == 3
    assert notes[-1].startswith('1 name other than <target>_<actor>.mp4')

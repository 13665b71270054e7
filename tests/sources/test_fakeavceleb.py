import pytest

from gml_mmaction.errors import DataError
from gml_mmaction.sources.fakeavceleb import list_videos
from gml_mmaction.sources.options import list_with_notes

HEAD = 'source,target1,target2,method,category,type,race,gender,path,'
WHO = 'Caucasian (American)/men/id00076'
ROWS = (
    ('-,-,real,A', 'RealVideo-RealAudio', '00109.mp4'),
    ('-,-,rtvc,B', 'RealVideo-FakeAudio', '00109_fake.mp4'),
    ('id00476,10,wav2lip,D', 'FakeVideo-FakeAudio', '00109_10_id00476_w.mp4'),
    ('id00476,-,fsgan,C', 'FakeVideo-RealAudio', '00109_id00476_f.mp4'),
    # as the set has it: the same file again, by another method
    ('id00476,-,faceswap,D', 'FakeVideo-FakeAudio', '00109_10_id00476_w.mp4'),
    ('-,-,fsgan,C', 'FakeVideo-RealAudio', '00200_id1_f.mp4'),
)


@pytest.fixture
def root(touch):
    root = touch(*(f'{kind}/{WHO}/{name}' for _, kind, name in ROWS))
    race, gender, source = WHO.split('/')
    lines = [
        f'{source},{more},{kind},{race},{gender},{name},FakeAVCeleb/{kind}/'
        f'{WHO}'
        for more, kind, name in ROWS
    ]
    (root / 'meta_data.csv').write_text('\n'.join([HEAD, *lines]))
    return root


def test_a_forged_face_is_fake_and_all_are_for_testing(root):
    videos = list_videos(root)
    assert [(v.label, v.method, v.split) for v in videos] == [
        (0, 'real', 'test'),
        (1, 'wav2lip', 'test'),
        (1, 'fsgan', 'test'),
        (1, 'fsgan', 'test'),
    ]
    assert all(video.exists for video in videos)
    people = ('fakeavceleb/id00076', 'fakeavceleb/id00476')
    assert videos[0].people == people[:1]
    assert videos[1].people == people


def test_the_original_of_a_fake_begins_its_name(root):
    originals = [v.original for v in list_videos(root)]
    assert originals == ['', *2 * [f'RealVideo-RealAudio/{WHO}/00109'], '']


def test_forged_voices_and_lines_twice_are_left_out_and_counted(root):
    _, notes = list_with_notes('fakeavceleb', root, {})
    assert any('1 video whose voice alone is forged' in n for n in notes)
    assert any('listed before' in note for note in notes)
    assert any('1 reals against 3 fakes' in note for note in notes)


@pytest.mark.parametrize(
    ('table', 'line'),
    [
        ('source,method\n', "no column 'target1'"),
        (f'{HEAD}\na,-,-,x,A,Video,r,g,n.mp4,F/x\n', "type 'Video'"),
        (f'{HEAD}\na,-,-,x,A,Video,r,g,n.mp4,F/../x\n', 'not a path'),
    ],
)
def test_another_list_is_refused(root, table, line):
    (root / 'meta_data.csv').write_text(table)
    with pytest.raises(DataError, match=line):
        list_videos(root)


def test_a_folder_without_its_list_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'meta_data\.csv: no such list'):
        list_videos(tmp_path)

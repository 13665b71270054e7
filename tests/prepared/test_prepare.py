import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec import structs

from gml_mmaction.engine.settings import METAINFO
from gml_mmaction.faces import CropOptions
from gml_mmaction.io.records import as_json, to_record
from gml_mmaction.prepared import records
from gml_mmaction.prepared.manifest import Report, TrackRecord
from gml_mmaction.prepared.prepare import format_report, prepare_videos
from gml_mmaction.prepared.records import (
    PrepareJob,
    prepare_video,
    record_if_done,
)
from gml_mmaction.sources import SPLITS, Video
from gml_mmaction.sources.ffpp import list_videos

pytestmark = pytest.mark.slow


class DeadlyPath(type(Path())):
    """A path that kills the worker process that looks it up."""

    def stat(self, **kwargs):
        if multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().stat(**kwargs)


@pytest.fixture
def videos(ffpp_tree):
    return list_videos(ffpp_tree, methods=['FaceSwap'])


@pytest.fixture
def prepare(ffpp_tree, tmp_path):
    def run(videos, out='out', **options):
        return prepare_videos(
            videos, tmp_path / out, source='ffpp', root=ffpp_tree, **options
        )

    return run


@pytest.fixture(scope='module')
def crops(ffpp_tree, tmp_path_factory):
    """Return 12 videos prepared by one process; do not change it."""
    out = tmp_path_factory.mktemp('crops') / 'out'
    prepare_videos(
        list_videos(ffpp_tree, methods=['FaceSwap']),
        out,
        source='ffpp',
        root=ffpp_tree,
    )
    return out


def read(path):
    return json.loads(path.read_text())


def entries(out):
    return [e for s in SPLITS for e in read(out / f'{s}.json')['data_list']]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def stamps(out):
    """Return when each record was written, by video id."""
    return {
        path.relative_to(out / 'records').as_posix()[:-5]: (
            path.stat().st_mtime_ns
        )
        for path in out.glob('records/**/*.json')
    }


def sicken(videos, tmp_path):
    """Let one of the videos kill whoever reads it."""
    sick = [*videos]
    sick[4] = dataclasses.replace(videos[4], path=DeadlyPath(videos[4].path))
    return sick


def test_a_video_that_kills_its_process_is_counted_and_tried_again(
    videos, prepare, tmp_path, crops
):
    report = prepare(sicken(videos, tmp_path), workers=2)
    (failure,) = report.failures
    assert failure.video_id == videos[4].video_id
    assert failure.reason == 'crashed'
    assert report.total.prepared == 11
    report = prepare(videos)
    assert report.failures == []
    assert report.total.prepared == 12
    assert contents(tmp_path / 'out') == contents(crops)


def test_a_cluster_gives_the_bytes_of_one_process(
    videos, prepare, cluster, crops, tmp_path
):
    prepare(videos, cluster=cluster.scheduler_address)
    assert contents(tmp_path / 'out') == contents(crops)
    assert not (tmp_path / 'out/.partial').exists()


def test_a_worker_of_a_cluster_that_dies_is_counted_and_ends_nothing(
    videos, prepare, cluster, tmp_path
):
    report = prepare(
        sicken(videos, tmp_path), cluster=cluster.scheduler_address
    )
    (failure,) = report.failures
    assert failure.video_id == videos[4].video_id
    assert failure.reason == 'crashed'
    assert report.total.failed == {'crashed': 1}
    assert report.total.prepared == 11


def test_an_error_nobody_foresaw_is_counted_and_the_run_goes_on(
    videos, prepare
):
    report = prepare(videos, max_frames={'val': 'ten'})
    assert {f.split for f in report.failures} == {'val'}
    assert {f.reason for f in report.failures} == {'error'}
    assert 'TypeError' in report.failures[0].detail
    assert report.total.failed == {'error': 4}
    assert report.total.prepared == 8


def test_two_videos_with_one_id_are_refused(videos, prepare):
    with pytest.raises(ValueError, match='two videos share the id youtube'):
        prepare([*videos, videos[0]])


def test_an_id_that_is_a_folder_in_another_is_refused(videos, prepare):
    inner = f'{videos[0].video_id}/0'
    nested = dataclasses.replace(videos[1], video_id=inner)
    with pytest.raises(ValueError, match=f'{inner} of another.*rename'):
        prepare([videos[0], nested])


def full(*_, **__):
    raise OSError(28, 'full')


def test_a_kill_before_the_record_leaves_no_older_one(
    ffpp_tree, videos, tmp_path
):
    """A video that changes, and back again after the kill."""
    job = PrepareJob(
        videos[0],
        out=tmp_path / 'out',
        root=ffpp_tree,
        scratch=tmp_path,
        options=CropOptions(),
    )
    _, record = prepare_video(job)
    before = contents(job.frame_dir)
    assert record_if_done(job) == record
    # crops are made, but the record cannot be written
    other = dataclasses.replace(videos[0], distortions=(('CS', 5),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, 'write_json', full)
        with pytest.raises(OSError, match='full'):
            prepare_video(job._replace(video=other))
    after = contents(job.frame_dir)
    assert after.keys() == before.keys()
    assert after != before
    assert record_if_done(job) is None


@pytest.fixture
def make_unreadable(draw_faces, tmp_path):
    """Return videos that exist, but of which something cannot be read."""

    def folder(name):
        path = tmp_path / 'root' / name
        path.mkdir(parents=True)
        for index in range(20):
            image = draw_faces((30 + index, 20, 120))
            cv2.imwrite(str(path / f'{index:02}.png'), image)
        return path

    dangling, no_file = folder('dangling'), folder('no_file')
    for path in dangling / '12.png', no_file / '12.png':
        path.unlink()
    (dangling / '12.png').symlink_to('nowhere')
    (no_file / '12.png').mkdir()
    return [
        Video(path.name, path, label=1, method='wild', split='test')
        for path in (dangling, no_file, folder('good'))
    ]


def test_an_error_of_reading_is_counted_and_the_run_goes_on(
    make_unreadable, prepare, tmp_path
):
    report = prepare(make_unreadable)
    assert report.total.failed == {'unreadable': 2}
    assert report.total.prepared == 1
    for failure in report.failures:
        assert failure.detail.startswith('12.png: ')
    for video in make_unreadable[:2]:
        path = video.path / '12.png'
        path.unlink() if path.is_symlink() else path.rmdir()
    assert prepare(make_unreadable).total.prepared == 3


def test_what_could_not_be_read_is_tried_again(videos, prepare, tmp_path):
    """Permissions change no time of change."""
    sick = dataclasses.replace(videos[0], path=tmp_path / 'a.mp4')
    sick.path.write_bytes(b'not a video' * 999)
    prepare([sick, videos[1]])
    before = stamps(tmp_path / 'out')
    prepare([sick, videos[1]])
    after = stamps(tmp_path / 'out')
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {sick.video_id}


def test_a_video_that_vanishes_during_the_run_is_counted(
    videos, prepare, tmp_path
):
    path = tmp_path / 'a.mp4'
    shutil.copy(videos[0].path, path)

    def vanish(results, **_):
        path.unlink()
        return results

    vanishing = dataclasses.replace(videos[0], path=path)
    report = prepare([vanishing, videos[1]], progress=vanish)
    assert report.total.failed == {'unreadable': 1}
    assert report.failures[0].detail == 'a.mp4: No such file or directory'
    first, second = read(tmp_path / 'out/manifest.json')['videos']
    assert first['bytes'] is None
    assert second['bytes'] > 0


def test_a_restart_with_other_options_of_the_source_is_refused(
    videos, prepare, tmp_path
):
    chosen = {'compression': 'c23', 'methods': ('FaceSwap',)}
    for _ in range(2):
        where = {'splits': tmp_path}
        prepare(videos[:1], source_options={**chosen, **where})
    manifest = read(tmp_path / 'out/manifest.json')
    assert manifest['source_options'] == {
        'compression': 'c23',
        'methods': ['FaceSwap'],
    }
    chosen['compression'] = 'c40'
    with pytest.raises(
        ValueError, match=r'source_options\.compression was c23, is c40'
    ):
        prepare(videos[:1], source_options=chosen)


def test_lists_of_both_stores_tell_where_a_track_starts(
    videos, prepare, tmp_path
):
    given = TrackRecord(start=4, stop=20, num_frames=8, square=[3, 5, 80])
    for store in ('crops', 'boxes'):
        prepare(
            videos[:1],
            out=store,
            options=CropOptions(store=store),
            tracks={videos[0].video_id: [given]},
        )
        (entry,) = entries(tmp_path / store)
        assert entry['start'] == 4


def test_boxes_tell_where_the_saved_crops_were_cut(
    videos, prepare, crops, tmp_path
):
    report = prepare(videos, options=CropOptions(store='boxes'))
    assert report.total.tracks == report.total.prepared == 12
    assert not (tmp_path / 'out/frames').exists()
    metainfo = read(tmp_path / 'out/test.json')['metainfo']
    assert (metainfo['store'], metainfo['stride']) == ('boxes', 2)
    root = tmp_path / 'out' / metainfo['root']
    by_id = {video.video_id: video for video in videos}
    saved = read(crops / 'manifest.json')['videos']
    saved = {video['video_id']: video['tracks'] for video in saved}
    for entry in entries(tmp_path / 'out'):
        video = by_id[entry['video_id']]
        assert os.path.samefile(root / entry['video'], video.path)
        (track,) = saved[entry['video_id']]
        assert entry['square'] == track['square']
        assert entry['start'] == track['start'] == 0
        assert entry['num_frames'] == track['num_frames'] == 10
        assert entry['label'] == (entry['method'] != 'real')


def test_boxes_once_found_are_not_looked_for_again(videos, prepare, tmp_path):
    options = CropOptions(store='boxes')
    prepare(videos[:2], options=options)
    before = stamps(tmp_path / 'out')
    assert prepare(videos[:3], options=options).total.prepared == 3
    after = stamps(tmp_path / 'out')
    assert len(after) == 3
    assert before.items() < after.items()


def test_distortions_of_single_frames_are_named_in_the_list(
    videos, prepare, tmp_path
):
    noisy = dataclasses.replace(videos[0], distortions=(('GNC', 3), ('CS', 1)))
    for store, named in (('boxes', 'GNC:3 CS:1'), ('crops', None)):
        prepare([noisy], out=store, options=CropOptions(store=store))
        (entry,) = entries(tmp_path / store)
        assert entry.get('distortions') == named
        (video,) = read(tmp_path / store / 'manifest.json')['videos']
        assert video['distortions'] == 'GNC:3 CS:1'


def test_compression_cannot_be_had_from_boxes(videos, prepare, tmp_path):
    sick = dataclasses.replace(videos[0], distortions=(('VC', 2),))
    with pytest.raises(ValueError, match=r"VC:2.*store='crops'"):
        prepare([sick], options=CropOptions(store='boxes'))
    assert not (tmp_path / 'out').exists()


def test_a_video_undergoing_something_else_is_done_again(
    videos, prepare, tmp_path
):
    prepare(videos[:2])
    crop = tmp_path / 'out/frames' / videos[0].video_id / '0/000000.jpg'
    clean, before = crop.read_bytes(), stamps(tmp_path / 'out')
    gray = dataclasses.replace(videos[0], distortions=(('CS', 5),))
    prepare([gray, videos[1]])
    assert crop.read_bytes() != clean
    after = stamps(tmp_path / 'out')
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {videos[0].video_id}


def test_boxes_that_cannot_be_found_are_a_reason_until_they_can(
    ffpp_tree, videos, prepare, tmp_path
):
    target = tmp_path / 'target.mp4'
    fake = dataclasses.replace(videos[2], boxes_from=target)
    report = prepare([fake, videos[0]])
    assert report.total.failed == {'no boxes': 1}
    assert report.total.prepared == 1
    shutil.copy(videos[0].path, target)
    report = prepare([fake, videos[0]])
    assert report.total.prepared == 2
    video, real = read(tmp_path / 'out/manifest.json')['videos']
    assert video['tracks'][0]['square'] == real['tracks'][0]['square']
    there = os.path.relpath(target, ffpp_tree)
    assert video['boxes_from'] == Path(there).as_posix()
    before = stamps(tmp_path / 'out')
    shutil.copy(videos[3].path, target)  # another file: another square
    prepare([fake, videos[0]])
    after = stamps(tmp_path / 'out')
    assert {k for k in after if after[k] != before[k]} == {fake.video_id}


def test_tracks_of_another_run_are_cut_out_as_they_are(
    videos, prepare, tmp_path
):
    given = TrackRecord(start=4, stop=20, num_frames=8, square=[3, 5, 80])
    tracks = {videos[0].video_id: [given]}
    prepare(videos[:2], tracks=tracks)
    first, second = read(tmp_path / 'out/manifest.json')['videos']
    (track,) = first['tracks']
    assert as_json(given).items() <= track.items()
    assert second['tracks'][0]['square'] != given.square
    before = stamps(tmp_path / 'out')
    prepare(videos[:2], tracks=tracks)
    assert stamps(tmp_path / 'out') == before
    given = structs.replace(given, square=[3, 5, 90])
    prepare(videos[:2], tracks={videos[0].video_id: [given]})
    after = stamps(tmp_path / 'out')
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {videos[0].video_id}


def test_folders_and_archives_of_face_images_are_prepared(
    draw_faces, tmp_path
):
    folder = tmp_path / 'root/fake/7'
    folder.mkdir(parents=True)
    for index in range(9):
        image = draw_faces((30 + index, 20, 120))
        cv2.imwrite(str(folder / f'{index}.png'), image)
    shutil.make_archive(
        tmp_path / 'root/a', 'gztar', tmp_path / 'root', 'fake/7'
    )
    settings = dict(label=1, method='wild', split='test', cropped=True)
    videos = [
        Video('folder', folder, **settings),
        Video(
            'archive',
            tmp_path / 'root/a.tar.gz',
            member='fake/7',
            **settings,
        ),
        Video('gone', tmp_path / 'root/fake/8', **settings),
    ]
    out = tmp_path / 'out'

    def prepare():
        return prepare_videos(
            videos,
            out,
            source='wild',
            root=tmp_path / 'root',
            options=CropOptions(stride=1, image='png', size=64),
        )

    report = prepare()
    assert report.missing == ['gone']
    assert report.total.frames == 2 * 9
    assert read(out / 'test.json')['metainfo']['filename_tmpl'] == '{:06}.png'
    shown = [
        [path.read_bytes() for path in sorted(out.glob(f'frames/{name}/0/*'))]
        for name in ('folder', 'archive')
    ]
    assert len(set(shown[0])) == 9
    assert shown[0] == shown[1]
    before = stamps(out)
    (folder / '8.png').unlink()
    prepare()
    after = stamps(out)
    assert {name for name in after if after[name] != before[name]} == {
        'folder'
    }
    assert read(out / 'test.json')['data_list'][0]['num_frames'] == 8


def test_the_root_is_named_as_seen_from_the_folder_that_was_written(
    videos, tmp_path, ffpp_tree
):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'disk')
    out = tmp_path / 'link/out'
    prepare_videos(videos[:1], out, source='ffpp', root=ffpp_tree)
    metainfo = read(out / 'train.json')['metainfo']
    assert os.path.samefile(out / metainfo['root'], ffpp_tree)
    manifest = read(out / 'manifest.json')
    assert manifest['root'] == metainfo['root']
    path = out / manifest['root'] / manifest['videos'][0]['path']
    assert os.path.samefile(path, videos[0].path)


def test_all_that_annotations_say_of_a_set_may_differ_in_joined_sets(crops):
    for split in SPLITS:
        metainfo = read(crops / f'{split}.json')['metainfo']
        assert set(metainfo) - {'classes'} <= set(METAINFO)


def test_annotations_carry_the_hash_of_the_manifest(crops):
    manifest = (crops / 'manifest.json').read_bytes()
    for split in SPLITS:
        metainfo = read(crops / f'{split}.json')['metainfo']
        assert metainfo.pop('root') == read(crops / 'manifest.json')['root']
        assert metainfo == {
            'source': 'ffpp',
            'store': 'crops',
            'size': 224,
            'stride': 2,
            'filename_tmpl': '{:06}.jpg',
            'classes': ['real', 'fake'],
            'manifest': hashlib.sha256(manifest).hexdigest(),
            'rates': {'low': 12.5, 'median': 12.5, 'high': 12.5},
        }


def test_notes_are_counted_by_kind(videos, prepare, ffpp_tree, tmp_path):
    broken = []
    for video, share in zip(videos[:2], (0.7, 0.8), strict=True):
        path = tmp_path / video.path.name
        data = bytearray(video.path.read_bytes())
        start = data.index(b'mdat') + 4
        end = data.index(b'moov') - 4
        cut = start + int(share * (end - start))
        data[cut:end] = bytes(end - cut)
        path.write_bytes(data)
        broken.append(dataclasses.replace(video, path=path))
    options = CropOptions(min_frames=2)
    report = prepare([*broken, videos[2]], options=options)
    assert report.total.prepared == 3
    assert report.total.notes == {'the file is broken from frame N': 2}
    assert report.total.frames < 3 * 10
    assert format_report(report).endswith(
        'note "the file is broken from frame N": 2 videos'
    )


@pytest.fixture
def begin_with_version(videos, prepare, tmp_path):
    """Prepare a video, by another version of a package, as the files say."""

    def run(name, version):
        prepare(videos[:1])
        path = tmp_path / 'out/parameters.json'
        parameters = json.loads(path.read_text())
        parameters['versions'][name] = version
        path.write_text(json.dumps(parameters))

    return run


@pytest.mark.parametrize('name', ['dlib', 'av'])
def test_another_detector_or_decoder_is_refused(
    videos, prepare, begin_with_version, name
):
    begin_with_version(name, '0.1')
    with pytest.raises(ValueError, match=rf'versions\.{name} was 0\.1, is'):
        prepare(videos[:1])


def test_a_restart_with_another_numpy_goes_on_and_says_so(
    videos, prepare, begin_with_version, tmp_path
):
    begin_with_version('numpy', '0.1')
    for _ in range(2):
        assert prepare(videos[:2]).total.prepared == 2
        manifest = json.loads((tmp_path / 'out/manifest.json').read_text())
        assert manifest['versions']['numpy'] == f'0.1, {np.__version__}'
        assert manifest['versions']['opencv'] == cv2.__version__


def test_another_selection_in_the_same_folder_reuses_the_crops(
    ffpp_tree, videos, prepare, tmp_path
):
    prepare(videos)
    crop = tmp_path / 'out/frames' / videos[0].video_id / '0/000000.jpg'
    before = crop.stat().st_mtime_ns
    report = prepare(list_videos(ffpp_tree, methods=['Deepfakes']))
    assert crop.stat().st_mtime_ns == before
    assert {row.method for row in report.rows} == {'real', 'Deepfakes'}
    entries = json.loads((tmp_path / 'out/val.json').read_text())['data_list']
    assert {entry['method'] for entry in entries} == {'real', 'Deepfakes'}
    by_id = {entry['video_id']: entry for entry in entries}
    for entry in entries:
        if entry['label']:  # the sources say what it was made of
            assert by_id[entry['original']]['method'] == 'real'
        else:
            assert 'original' not in entry


def test_a_folder_that_cannot_be_written_ends_the_run(
    videos, prepare, tmp_path
):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/frames').write_text('a file in the way')
    with pytest.raises(OSError, match='frames'):
        prepare(videos)


KILLED_TWENTY_TIMES = Path(__file__).parent / 'kill_at_random.py'


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='no /proc')
def test_a_run_killed_twenty_times_ends_with_the_bytes_of_an_unbroken_one(
    ffpp_tree, tmp_path
):
    """SIGKILL to the process, or to it and its workers, at random moments."""
    script = [str(KILLED_TWENTY_TIMES), str(ffpp_tree), str(tmp_path)]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, *script],
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    assert told['kills'] >= 20
    assert told['kills_before_the_end'] >= 15
    assert told['processes_left'] == 0
    unbroken = contents(tmp_path / 'unbroken')
    assert sum(name.endswith('.jpg') for name in unbroken) == 60
    assert contents(tmp_path / 'killed') == unbroken
    assert sorted(p.name for p in (tmp_path / 'killed').iterdir()) == [
        'frames',
        'manifest.json',
        'parameters.json',
        'records',
        'report.json',
        'test.json',
        'train.json',
        'val.json',
    ]


def test_the_table_shows_each_reason_in_a_column():
    row = {
        'split': 'train',
        'method': 'real',
        'expected': 10,
        'missing': 3,
        'found': 7,
        'prepared': 5,
        'failed': {'no face': 2},
        'tracks': 6,
        'frames': 1234,
        'notes': {'the file is broken from frame N': 1},
    }
    total = {**row, 'split': 'total', 'method': ''}
    report = to_record({'rows': [row], 'total': total}, Report)
    lines = format_report(report).splitlines()
    assert len({len(line) for line in lines[:3]}) == 1
    assert [' '.join(line.split()) for line in lines] == [
        'split method expected missing found prepared no face tracks frames',
        'train real 10 3 7 5 2 6 1234',
        'total 10 3 7 5 2 6 1234',
        'note "the file is broken from frame N": 1 video',
    ]


def test_an_emptied_crop_is_made_again(videos, prepare, tmp_path, crops):
    prepare(videos)
    path = next((tmp_path / 'out/frames').rglob('000003.jpg'))
    path.write_bytes(b'')
    prepare(videos)
    assert contents(tmp_path / 'out') == contents(crops)


def test_a_folder_in_which_nothing_was_done_takes_other_parameters(
    videos, prepare, tmp_path
):
    with pytest.raises(ValueError, match='workers is 0'):
        prepare(videos, workers=0)
    report = prepare(videos, options=CropOptions(store='boxes'))
    assert report.total.prepared == 12

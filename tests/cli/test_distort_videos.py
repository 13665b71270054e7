import functools
import json
import multiprocessing
import os
import random
import shutil
import time

import numpy as np
import pytest

pytest.importorskip('av')

from videos import decode, truncate, write

from gml_mmaction.io.lock import hold
from gml_mmaction.sources.origin import ORIGIN, write_origin
from gml_mmaction.video import open_video
from gml_mmaction.video.distort_files import (
    DistortJob,
    distort_video,
    find_in_meta,
    find_videos,
)
from gml_mmaction.video.distortions import (
    LEVELS,
    VARIANTS,
    distort_frames,
    read_meta,
    seed_of,
    write_meta,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def main(run_command):
    return functools.partial(run_command, 'distort')


def scene(num_frames, *, width=320, height=256, seed=0):
    """Return frames of smooth color that moves."""
    rng = np.random.default_rng(seed)
    fx, fy, phase = rng.uniform(0.02, 0.06, (3, 3))
    y, x = np.mgrid[:height, :width][..., None]
    return [
        np.uint8(128 + 100 * np.sin(fx * (x + 3 * i) + fy * y + 50 * phase))
        for i in range(num_frames)
    ]


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Return a folder of three videos, one in a sub-folder; leave it so."""
    folder = tmp_path_factory.mktemp('videos')
    write(folder / '000.mp4', scene(8, seed=1))
    write(folder / 'sub/001.avi', scene(8, seed=2), codec='mpeg4')
    write(folder / 'sub/002_M101.mkv', scene(8, seed=3))
    return folder


def job(source, target, *distortions, name='a', **options):
    return DistortJob(source, target, name, distortions, **options)


def read(path):
    with open_video(path) as video:
        return np.array(list(video.frames()))


def psnr(a, b):
    error = np.mean((np.float64(a) - np.float64(b)) ** 2)
    return 10 * np.log10(255**2 / error)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_names_and_folders_are_kept_and_the_meta_file_tells(
    main, videos, tmp_path
):
    """`<path> <type>:<level> ...`: README of DeeperForensics-1.0, Lists."""
    arguments = [videos, tmp_path, '--type', 'BW', '--level', 2]
    assert main([*map(str, arguments), '--workers', '2']) == 0
    assert set(contents(tmp_path)) == {
        '000.mp4',
        'sub/001.mp4',
        'sub/002_M101.mp4',
        'meta.txt',
    }
    assert (tmp_path / 'meta.txt').read_text() == (
        '000.mp4 BW:2\nsub/001.mp4 BW:2\nsub/002_M101.mp4 BW:2\n'
    )


@pytest.mark.parametrize('kind', [kind for kind in LEVELS if kind != 'VC'])
def test_the_file_has_the_distorted_frames(videos, tmp_path, kind):
    source, target = videos / 'sub/001.avi', tmp_path / 'a.mp4'
    outcome = distort_video(job(source, target, (kind, 3), seed=5))
    assert outcome.reason == 'written'
    expected = distort_frames(
        read(source), [(kind, 3)], seed=seed_of('a', 5), fps=25
    )
    expected = np.array(list(expected))
    written = read(target)
    assert written.shape == expected.shape
    # 4:2:0 halves the chroma of noise; luma is what survives
    luma = [frames @ [0.299, 0.587, 0.114] for frames in (written, expected)]
    assert psnr(*luma) > 38


@pytest.mark.parametrize('level', [1, 3, 5])
def test_noise_survives_the_encoding(videos, tmp_path, level):
    source, target = videos / '000.mp4', tmp_path / 'a.mp4'
    distort_video(job(source, target, ('GNC', level)))
    frames = distort_frames(
        read(source), [('GNC', level)], seed=seed_of('a'), fps=25
    )
    luma = [
        (np.array(list(noisy)) - np.float64(read(source)))
        @ [0.299, 0.587, 0.114]
        for noisy in (frames, read(target))
    ]
    assert luma[1].std() / luma[0].std() == pytest.approx(1, abs=0.04)


def test_a_last_vc_is_the_encoding_of_the_file(videos, tmp_path):
    source = videos / '000.mp4'
    for level in (1, 5):
        distort_video(job(source, tmp_path / f'{level}.mp4', ('VC', level)))
        (tmp_path / f'by_hand_{level}.mp4').write_bytes(
            write(
                tmp_path / 'x.mp4',
                read(source),
                options={
                    'crf': str(LEVELS['VC'][level - 1]),
                    'threads': '1',
                    'x264-params': 'cpu-independent=1',
                },
            ).read_bytes()
        )
        by_hand = read(tmp_path / f'by_hand_{level}.mp4')
        assert np.array_equal(read(tmp_path / f'{level}.mp4'), by_hand)
    sizes = [(tmp_path / f'{level}.mp4').stat().st_size for level in (1, 5)]
    assert sizes[1] < sizes[0]


def test_frame_rate_and_odd_sizes_are_kept(tmp_path):
    frames = scene(6, width=321, height=257)
    source = tmp_path / 'odd.mkv'
    write(source, frames, pix_fmt='yuv444p', fps='30000/1001')
    assert distort_video(job(source, tmp_path / 'a.mp4', ('CC', 1))).has_file
    with open_video(tmp_path / 'a.mp4') as video:
        assert (video.width, video.height) == (321, 257)
        assert video.fps == pytest.approx(30000 / 1001, abs=1e-3)
        assert video.num_frames == 6


def test_what_a_meta_file_says_is_repeated_to_the_byte(main, videos, tmp_path):
    first, second = tmp_path / 'first', tmp_path / 'second'
    common = ['--seed', '3', '--workers', '1']
    arguments = [str(videos), str(first), '--variant', 'mix_2']
    assert main([*arguments, *common]) == 0
    drawn = read_meta(first / 'meta.txt')
    assert len(set(drawn.values())) == 3
    arguments = [str(videos), str(second), '--meta', str(first / 'meta.txt')]
    assert main([*arguments, *common]) == 0
    assert contents(second) == contents(first)


def test_seeds_and_names_change_what_chance_does(videos, tmp_path):
    source = videos / '000.mp4'
    files = []
    for seed, name in ((0, 'a'), (0, 'a'), (1, 'a'), (0, 'b')):
        target = tmp_path / f'{len(files)}.mp4'
        noisy = job(source, target, ('GNC', 2), name=name, seed=seed)
        distort_video(noisy)
        files.append(decode(target))
    assert np.array_equal(files[0], files[1])
    assert not np.array_equal(files[0], files[2])
    assert not np.array_equal(files[0], files[3])


def test_a_finished_file_is_left_and_any_other_is_made_again(videos, tmp_path):
    source, target = videos / '000.mp4', tmp_path / 'a.mp4'
    work = job(source, target, ('BW', 3))
    assert distort_video(work).reason == 'written'
    whole, written_at = target.read_bytes(), target.stat().st_mtime_ns
    assert distort_video(work).reason == 'there already'
    assert target.stat().st_mtime_ns == written_at

    for other in (
        work._replace(distortions=(('BW', 4),)),
        work._replace(seed=1),
        work._replace(crf=20),
    ):
        assert distort_video(other).reason == 'written'
        assert target.read_bytes() != whole
    target.write_bytes(b'no video')
    assert distort_video(work).reason == 'written'
    assert target.read_bytes() == whole


def test_killed_and_restarted_it_ends_as_if_unbroken(main, tmp_path):
    for index in range(4):
        frames = scene(12, width=96, height=64, seed=index)
        write(tmp_path / f'videos/{index}.mp4', frames)
    options = ['--type', 'CC', '--level', '4', '--workers', '1']
    command = [str(tmp_path / 'videos'), str(tmp_path / 'out'), *options]
    found = find_videos([tmp_path / 'videos'], tmp_path / 'out')
    jobs = [
        job(source, tmp_path / f'out/{name}.mp4', ('CC', 4), name=name)
        for name, source in found.items()
    ]
    rng = random.Random(0)
    for count in (1, 3):
        # what a worker does; a fork has imported everything already
        process = multiprocessing.get_context('fork').Process(
            target=lambda: list(map(distort_video, jobs))
        )
        process.start()
        done = []
        while len(done) < count and process.is_alive():
            time.sleep(0.002)
            done = sorted((tmp_path / 'out').rglob('[0-9].mp4'))
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.join()
        assert done
        for path in done:
            assert len(decode(path)) == 12
    assert main(command) == 0
    assert main([command[0], str(tmp_path / 'unbroken'), *options]) == 0
    broken = contents(tmp_path / 'out')
    assert contents(tmp_path / 'unbroken') == broken
    assert len(broken) == 5


def test_broken_and_unfit_inputs_are_counted_and_the_rest_goes_on(
    main, videos, tmp_path, capsys
):
    folder = tmp_path / 'videos'
    write(folder / 'good.mp4', scene(5))
    write(folder / 'small.mp4', scene(5, width=200, height=200))
    (folder / 'empty.mp4').touch()
    (folder / 'text.mp4').write_text('no video')
    arguments = [str(folder), str(tmp_path / 'out'), '--type', 'BW']
    assert main([*arguments, '--level', '1', '--workers', '1']) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert printed.count(f'{folder}') == 3
    assert 'small.mp4: not distorted (distortion BW does nothing' in printed
    for words in (
        ['written', '1'],
        ['empty', '1'],
        ['unreadable', '1'],
        ['not', 'distorted', '1'],
        ['total', '4'],
    ):
        assert words in lines
    assert set(contents(tmp_path / 'out')) == {'good.mp4', 'meta.txt'}
    assert set(read_meta(tmp_path / 'out/meta.txt')) == {'good.mp4'}


def test_of_a_broken_tail_the_readable_frames_are_written(tmp_path):
    source = write(tmp_path / 'broken.avi', scene(40), codec='mpeg4')
    truncate(source, 0.5)
    outcome = distort_video(job(source, tmp_path / 'a.mp4', ('CS', 5)))
    with open_video(source) as video:
        readable = len(list(video.frames()))
        broken_at = video.broken_at
    assert 0 < readable < 40
    assert len(decode(tmp_path / 'a.mp4')) == readable
    assert outcome.reason == (
        'written' if broken_at is None else 'broken tail'
    )


def test_a_meta_file_without_a_line_for_a_video_is_told(
    main, videos, tmp_path, capsys
):
    write_meta(tmp_path / 'meta.txt', {'000.mp4': (('CC', 1),)})
    arguments = [str(videos), str(tmp_path / 'out'), '--workers', '1']
    assert main([*arguments, '--meta', str(tmp_path / 'meta.txt')]) == 0
    printed = capsys.readouterr().out
    assert printed.count('the meta file has no line for') == 2
    assert set(contents(tmp_path / 'out')) == {'000.mp4', 'meta.txt'}


def test_a_second_run_into_a_folder_adds_to_its_meta_file(
    main, videos, tmp_path
):
    for path, kind in ((videos / '000.mp4', 'CC'), (videos / 'sub', 'CS')):
        arguments = [str(path), str(tmp_path), '--type', kind, '--level', '1']
        assert main([*arguments, '--workers', '1']) == 0
    assert read_meta(tmp_path / 'meta.txt') == {
        '000.mp4': (('CC', 1),),
        '001.mp4': (('CS', 1),),
        '002_M101.mp4': (('CS', 1),),
    }


def test_a_real_is_distorted_as_the_fake_of_the_same_target():
    """The first three digits name the target: DeeperForensics-1.0, issue 4."""
    meta = {
        'end_to_end_level_5/000_M101.mp4': (('BW', 5),),
        'end_to_end_level_5/100_W000.mp4': (('CS', 5),),
        'end_to_end/000_M101.mp4': (),
    }
    assert find_in_meta(meta, '000') == (('BW', 5),)
    assert find_in_meta(meta, 'c23/videos/000') == (('BW', 5),)
    assert find_in_meta(meta, '000_M101') == (('BW', 5),)
    with pytest.raises(ValueError, match='no line for 001'):
        find_in_meta(meta, '001')


def test_the_longest_match_in_a_meta_file_wins():
    meta = {
        r'level_5\000_M101.mp4': (('BW', 5),),
        'level_4/000_M101.mp4': (('BW', 4),),
        'level_4/v1.5': (('GB', 4),),
    }
    assert find_in_meta(meta, 'level_5/000_M101') == (('BW', 5),)
    assert find_in_meta(meta, 'v1.5') == (('GB', 4),)
    for name in ('000_M101', 'level_3/000_M101', '000'):
        with pytest.raises(ValueError, match='several lines'):
            find_in_meta(meta, name)


def test_a_video_is_never_replaced_by_its_distorted_self(videos):
    with pytest.raises(ValueError, match='write to another folder'):
        find_videos([videos / '000.mp4'], videos)
    with pytest.raises(ValueError, match='write to another folder'):
        find_videos([videos], videos / 'out')


def test_two_videos_of_one_name_are_refused(tmp_path):
    for name in ('a.mp4', 'a.avi'):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r'a\.avi and .*a\.mp4 would both'):
        find_videos([tmp_path], tmp_path.parent / 'out')


def test_odd_names_are_counted_and_left_out(main, tmp_path, capsys):
    source = write(tmp_path / 'in/a.mp4', scene(3))
    odd = [tmp_path / os.fsdecode(n) for n in (b'\xff.mp4', b'a\x1b[2J.mp4')]
    for path in (*odd, tmp_path / 'in' / odd[0].name):
        shutil.copy(source, path)
    arguments = [*map(str, odd), str(source.parent), str(tmp_path / 'out')]
    chosen = ['--type', 'CS', '--level', '1', '--workers', '1']
    assert main([*arguments, *chosen]) == 0
    output = capsys.readouterr().out
    assert '3 names not in UTF-8' in output
    assert [line.split() for line in output.splitlines()[1:3]] == [
        ['written', '1'],
        ['total', '1'],
    ]
    assert (tmp_path / 'out/meta.txt').read_text() == 'a.mp4 CS:1\n'


def test_a_folder_that_is_being_written_is_left_alone(main, tmp_path, capsys):
    source = write(tmp_path / 'in/a.mp4', scene(3))
    arguments = [str(source), str(tmp_path / 'out'), '--type', 'CS']
    with hold(tmp_path / 'out', 'distortion'):
        assert main([*arguments, '--level', '1']) == 1
        assert len(list((tmp_path / 'out').iterdir())) == 1
    assert 'another distortion is running there' in capsys.readouterr().err


def test_an_input_without_videos_is_named(main, tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    arguments = [str(tmp_path / 'in'), str(tmp_path / 'out')]
    assert main([*arguments, '--type', 'CS', '--level', '1']) == 1
    assert 'in: no video, or no valid file name' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments',
    [
        ['--type', 'CS'],
        ['--level', '1'],
        ['--type', 'CS', '--level', '6'],
        ['--type', 'CS', '--level', '1', '--variant', VARIANTS[0]],
        [],
    ],
)
def test_half_a_choice_is_refused(main, arguments):
    assert main(['in', 'out', *arguments]) == 2


def test_made_up_videos_stay_made_up(main, videos, tmp_path, capsys):
    tree, out = tmp_path / 'tree', tmp_path / 'out'
    shutil.copytree(videos, tree)
    origin = 'made-up videos of one portrait'
    write_origin(tree, {'train': origin, 'test': origin})
    arguments = [tree / 'sub', out, '--type', 'BW', '--level', 2]
    assert main([*map(str, arguments), '--workers', '1']) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f'{tree / "sub"}: {origin}'
    assert (out / ORIGIN).read_bytes() == (tree / ORIGIN).read_bytes()


def test_of_several_made_up_trees_all_stay_made_up(main, videos, tmp_path):
    words = {'a': 'made-up videos of a', 'b': 'made-up videos of b'}
    trees = {}
    for name in (*words, 'real'):
        trees[name] = write(tmp_path / name / f'{name}.mp4', scene(2)).parent
    for name, text in words.items():
        write_origin(trees[name], {'test': text})
    chosen = ['--type', 'CS', '--level', '1', '--workers', '1']

    def distort(out, *names):
        inputs = [str(trees[name]) for name in names]
        assert main([*inputs, str(tmp_path / out), *chosen]) == 0
        return json.loads((tmp_path / out / ORIGIN).read_text())['origin']

    both = 'made-up videos of a, and made-up videos of b'
    assert distort('out', 'a', 'b') == {'test': both}
    assert distort('out', 'a', 'b') == {'test': both}
    assert distort('two', 'a') == {'test': words['a']}
    assert distort('two', 'b') == {'test': both}
    assert distort('part', 'a', 'real') == {'test': f'in part {words["a"]}'}

"""Facts about batches of a real and the fakes made of it."""

import json
from collections import Counter
from itertools import chain, islice

import pytest
from mmaction.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import ConcatDataset

from gml_mmaction.datasets.samplers import seeded
from gml_mmaction.errors import SettingError

METHODS = ('Deepfakes', 'Face2Face', 'NeuralTextures')


def annotation(videos):
    """Of boxes, which are read only when a clip is decoded."""
    entries = [
        dict(
            video_id=name,
            track=track,
            num_frames=frames,
            label=int(method != 'real'),
            method=method,
            start=0,
            video='v.mp4',
            square=[0, 0, 90],
            **({'original': original} if original else {}),
        )
        for name, track, frames, method, original in videos
    ]
    metainfo = dict(source='ffpp', store='boxes', root='.', stride=1)
    return json.dumps(dict(metainfo=metainfo, data_list=entries))


@pytest.fixture
def build(tmp_path):
    def built(videos, **changes):
        (tmp_path / 'v.mp4').write_bytes(b'\0')
        (tmp_path / 'train.json').write_text(annotation(videos))
        return DATASETS.build(
            dict(
                type='FaceClipDataset',
                ann_file='train.json',
                data_root=str(tmp_path),
                **changes,
            )
        )

    return built


@pytest.fixture
def ffpp(build):
    """Four videos, one of them in two tracks, a fake of each by method."""
    videos = [(f'real/{n}', 0, 30 + n, 'real', '') for n in range(4)]
    videos.append(('real/3', 1, 30, 'real', ''))
    videos += [
        (f'{method}/{n}', 0, 30 + n, method, f'real/{n}')
        for method in METHODS
        for n in range(4)
    ]
    return build(videos)


def sampler_of(dataset, **changes):
    sampler = dict(type='PairSampler', dataset=dataset, seed=3)
    return DATA_SAMPLERS.build(sampler | changes)


def rows(dataset, draws):
    infos = [dataset.get_data_info(int(draw)) for draw in draws]
    return [(i['label'], i['pair'], i['track'], i['method']) for i in infos]


def groups(dataset, count, **changes):
    draws = [*islice(sampler_of(dataset, **changes), count)]
    size = 1 + changes.get('fakes', 1)
    found = rows(dataset, draws)
    return [found[i : i + size] for i in range(0, count, size)], draws


@pytest.mark.parametrize('fakes', [1, 2, 5])
def test_each_real_is_followed_by_fakes_of_the_same_video(ffpp, fakes):
    found, draws = groups(ffpp, 12 * (1 + fakes), fakes=fakes)
    for group in found:
        assert [label for label, *_ in group] == [0] + fakes * [1]
        assert len({pair for _, pair, *_ in group}) == 1
    numbers = [draw.number for draw in draws]
    assert numbers == [n for n in range(12) for _ in range(1 + fakes)]


def test_a_round_has_each_real_track_once_in_an_order_of_its_own(ffpp):
    found, _ = groups(ffpp, 2 * 5 * 20)
    reals = [group[0][1:3] for group in found]
    rounds = [reals[i : i + 5] for i in range(0, 100, 5)]
    assert all(sorted(one) == sorted(rounds[0]) for one in rounds)
    assert len(set(rounds[0])) == 5
    assert len({tuple(one) for one in rounds}) > 10
    fixed, _ = groups(ffpp, 20, shuffle=False)
    assert [group[0] for group in fixed[:5]] == [
        group[0] for group in fixed[5:]
    ]


def test_the_fakes_of_a_video_take_turns(ffpp):
    """Twelve visits of a track: four of each of three methods."""
    found, _ = groups(ffpp, 2 * 5 * 12)
    counts = Counter((fake[1], fake[3]) for _, fake in found)
    for n in range(4):
        each = 4 if n < 3 else 8  # the video of two tracks
        assert [counts[f'real/{n}', m] for m in METHODS] == 3 * [each]


def test_a_real_and_its_fake_begin_at_the_same_frame(ffpp):
    """They are one draw; so mirroring and colours are alike, too."""
    draws = [*islice(sampler_of(ffpp), 40)]
    starts = set()
    for real, fake in zip(draws[::2], draws[1::2]):
        firsts = []
        for draw in (real, fake):
            with seeded(draw.seed, draw.number):
                firsts.append(ffpp.get_data_info(draw)['frame_inds'][0])
        equally_long = ffpp.get_data_info(real)['track'] == 0
        assert firsts[0] == firsts[1] or not equally_long
        starts.add(firsts[0])
    assert len(starts) > 5


def test_the_processes_of_a_run_share_whole_groups(ffpp):
    def draws(rank, world):
        sampler = sampler_of(ffpp, fakes=2)
        sampler.rank, sampler.world_size = rank, world
        drawn = islice(sampler._indices_of_rank(), 60 // world)
        return [(int(d), d.number) for d in drawn]

    alone = draws(0, 1)
    shares = [draws(rank, 2) for rank in (0, 1)]
    for rank, share in enumerate(shares):
        numbers = [number for _, number in share]
        assert numbers == [n for n in range(rank, 20, 2) for _ in range(3)]
    drawn = [*chain(*shares)]
    assert sorted(drawn, key=lambda draw: draw[1]) == alone


def test_a_sampler_that_goes_on_has_the_rest_of_the_draws(ffpp):
    """As the one of a run that was stopped in the middle of a round."""
    whole = [(int(d), d.number) for d in islice(sampler_of(ffpp), 40)]
    resumed = iter(sampler_of(ffpp))
    for _ in range(14):
        next(resumed)
    rest = [(int(d), d.number) for d in islice(resumed, 26)]
    assert rest == whole[14:]
    other = [int(d) for d in islice(sampler_of(ffpp, seed=4), 40)]
    assert other != [index for index, _ in whole]


def test_pairs_of_joined_sets_are_of_one_of_them(ffpp):
    """Even if the sets have names of videos in common."""
    joined = ConcatDataset([ffpp, ffpp])
    draws = [*map(int, islice(sampler_of(joined), 40))]
    for real, fake in zip(draws[::2], draws[1::2]):
        (one, other) = rows(joined, (real, fake))
        assert (one[0], other[0], one[1]) == (0, 1, other[1])
        assert (real < len(ffpp)) == (fake < len(ffpp))
    assert {draw < len(ffpp) for draw in draws} == {True, False}


def test_what_has_no_partner_is_left_out(build):
    dataset = build(
        [
            ('real/0', 0, 30, 'real', ''),
            ('real/1', 0, 30, 'real', ''),
            ('Deepfakes/1', 0, 30, 'Deepfakes', 'real/1'),
            ('Deepfakes/2', 0, 30, 'Deepfakes', 'real/2'),
            ('lost', 0, 30, 'Deepfakes', ''),
        ]
    )
    assert {*map(int, islice(sampler_of(dataset), 20))} == {1, 2}


@pytest.mark.parametrize('original', ['', 'real/9'])
def test_a_set_without_pairs_is_refused_with_the_remedy(build, original):
    """An annotation of older versions names no originals."""
    dataset = build(
        [
            ('real/0', 0, 30, 'real', ''),
            ('Deepfakes/0', 0, 30, 'Deepfakes', original),
        ]
    )
    with pytest.raises(SettingError) as caught:
        next(iter(sampler_of(dataset)))
    line = str(caught.value)
    assert line.startswith('train_dataloader.sampler.type=PairSampler: ')
    assert 'Remedy: run gml prepare again' in line
    assert '\n' not in line
    assert len(dataset) == 2  # other samplers take it


def test_a_group_of_no_fakes_is_refused(ffpp):
    with pytest.raises(SettingError, match=r'sampler\.fakes=0.*1 or more'):
        sampler_of(ffpp, fakes=0)

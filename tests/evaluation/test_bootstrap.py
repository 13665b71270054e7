"""Facts about intervals; references are scikit-learn, SciPy and counting."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from gml_mmaction.evaluation import ForgeryMetric, equal_error_rate
from gml_mmaction.evaluation import bootstrap as module
from gml_mmaction.evaluation.bootstrap import (
    GRID,
    Resampling,
    assess,
    bootstrap,
    headline,
    paired_difference,
    why_unpaired,
)
from gml_mmaction.evaluation.level_scores import (
    Scores,
    default_names,
    read_scores,
)
from gml_mmaction.evaluation.score_report import score_report, score_table
from gml_mmaction.evaluation.scores import ScoreFileError


def draw_scores(
    reals=40, fakes=50, *, seed=0, gap=1.2, clips=1, digits=6, methods=('a',)
):
    """Make a set up; few ``digits`` give ties. Clips of a video are kin."""
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1], [reals, fakes])
    centre = rng.normal(gap * label)[:, None]
    scores = stats.norm.cdf(
        0.5 * (centre + 0.3 * rng.normal(size=(len(label), clips)))
    )
    names = [methods[i % len(methods)] for i in range(fakes)]
    return Scores(
        name='net',
        level='clip' if clips > 1 else 'video',
        labels=np.repeat(label, clips),
        scores=scores.round(digits).ravel(),
        videos=np.repeat([f'v{i:03}' for i in range(len(label))], clips),
        methods=np.repeat(['real'] * reals + names, clips),
    )


def replicate_rows(scores, resampling):
    """Labels and scores of each replicate, rows written out as drawn."""
    videos, first, place = np.unique(
        scores.videos, return_index=True, return_inverse=True
    )
    drawn = module._draw(scores.labels[first], resampling)
    assert drawn.shape == (resampling.replicates, len(videos))
    for counts in drawn:
        rows = np.repeat(np.arange(len(place)), counts[place])
        yield scores.labels[rows], scores.scores[rows]


@pytest.mark.parametrize('digits', [1, 6])
@pytest.mark.parametrize('clips', [1, 4])
def test_intervals_are_quantiles_of_scikit_learns_numbers(clips, digits):
    scores = draw_scores(clips=clips, digits=digits)
    resampling = Resampling(replicates=60, confidence=0.8)
    result = bootstrap(scores, resampling)
    values = [
        (
            roc_auc_score(*rows),
            average_precision_score(*rows),
            equal_error_rate(*rows)[0],
        )
        for rows in replicate_rows(scores, resampling)
    ]
    expected = np.quantile(values, [0.1, 0.9], axis=0).T
    for estimate, limits in zip(result.estimates.values(), expected):
        assert estimate[1:] == pytest.approx(limits)
    whole = (scores.labels, scores.scores)
    assert result.estimates['auc'].value == roc_auc_score(*whole)
    assert result.estimates['ap'].value == average_precision_score(*whole)
    assert result.estimates['eer'].value == equal_error_rate(*whole)[0]


@pytest.mark.parametrize('digits', [1, 6])
@pytest.mark.parametrize('clips', [1, 4])
def test_a_tables_numbers_have_the_intervals_of_replicates_written_out(
    clips, digits
):
    scores = draw_scores(clips=clips, digits=digits)._replace(threshold=0.6)
    resampling = Resampling(replicates=60, confidence=0.8)
    result = headline(scores, resampling)
    for name, number in (
        ('auc', roc_auc_score),
        ('acc', lambda label, score: np.mean((score >= 0.5) == label)),
        ('acc_val', lambda label, score: np.mean((score >= 0.6) == label)),
    ):
        values = [number(*r) for r in replicate_rows(scores, resampling)]
        assert result[name].value == number(scores.labels, scores.scores)
        assert result[name][1:] == pytest.approx(
            np.quantile(values, [0.1, 0.9])
        )


def test_a_tables_numbers_are_left_out_where_they_have_no_meaning():
    scores = draw_scores()
    assert headline(scores, Resampling(60))['acc_val'] is None
    fakes = scores.labels == 1
    alone = scores._replace(
        labels=scores.labels[fakes],
        scores=scores.scores[fakes],
        videos=scores.videos[fakes],
    )
    result = headline(alone, Resampling(60))
    assert result['auc'] is None
    assert result['acc'].low < result['acc'].value < result['acc'].high
    worst = scores._replace(scores=1.0 - scores.labels)
    assert headline(worst, Resampling(60))['auc'] == (0.0, None, None)


@pytest.mark.parametrize('digits', [1, 6])
def test_the_roc_band_lies_between_scikit_learns_curves(digits):
    scores = draw_scores(reals=100, digits=digits)  # 0.29 * 100 < 29
    # quartiles of three are the means of neighbours: every one counts
    resampling = Resampling(replicates=3, confidence=0.5)
    curves = []
    for rows in replicate_rows(scores, resampling):
        alarms, hits, _ = roc_curve(*rows, drop_intermediate=False)
        curve = []
        for rate in GRID:
            i = np.flatnonzero(alarms <= rate + 1e-9)[-1]
            j = min(i + 1, len(alarms) - 1)
            step = max(alarms[j] - alarms[i], 1e-12)
            part = (rate - alarms[i]) / step
            curve.append(hits[i] + max(part, 0) * (hits[j] - hits[i]))
        curves.append(curve)
    expected = np.quantile(curves, [0.25, 0.75], axis=0)
    result = bootstrap(scores, resampling)
    assert result.hits == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('digits', [1, 6])
def test_the_precision_is_that_of_the_strictest_threshold_of_a_recall(digits):
    scores = draw_scores(digits=digits)
    resampling = Resampling(replicates=40, confidence=0.8)
    curves = []
    for labels, values in replicate_rows(scores, resampling):
        thresholds = np.unique(values)[::-1]
        called = values >= thresholds[:, None]
        recall = (called & (labels == 1)).sum(1) / labels.sum()
        precision = (called & (labels == 1)).sum(1) / called.sum(1)
        found = (recall > 0) & (recall >= GRID[:, None] - 1e-9)
        curves.append(precision[np.argmax(found, axis=1)])
    expected = np.quantile(curves, [0.1, 0.9], axis=0)
    result = bootstrap(scores, resampling)
    assert result.precision == pytest.approx(expected)


def test_intervals_agree_with_scipys_bootstrap_of_two_samples():
    scores = draw_scores(60, 80)

    def auc(reals, fakes, axis):
        higher = fakes[..., None, :] > reals[..., :, None]
        return higher.mean(axis=(-2, -1))

    reference = stats.bootstrap(
        [scores.scores[scores.labels == label] for label in (0, 1)],
        auc,
        n_resamples=4000,
        batch=200,
        method='percentile',
        rng=np.random.default_rng(1),
    ).confidence_interval
    estimate = bootstrap(scores, Resampling(4000)).estimates['auc']
    assert estimate.high - estimate.low > 0.1
    assert estimate[1:] == pytest.approx([*reference], abs=0.006)


def test_the_interval_of_copies_of_a_clip_is_that_of_the_video():
    one = draw_scores()
    copies = one._replace(
        **{
            key: np.repeat(getattr(one, key), 7)
            for key in ('labels', 'scores', 'videos', 'methods')
        }
    )
    resampling = Resampling(200)
    expected = bootstrap(one, resampling)
    result = bootstrap(copies, resampling)
    for name, estimate in expected.estimates.items():
        assert result.estimates[name] == pytest.approx(estimate)
    assert result.aucs == pytest.approx(expected.aucs)


def test_every_replicate_has_as_many_reals_and_fakes_as_the_set():
    labels = draw_scores(3, 50).labels
    drawn = module._draw(labels, Resampling(500))
    assert set(drawn[:, labels == 0].sum(1)) == {3}
    assert set(drawn[:, labels == 1].sum(1)) == {50}
    assert drawn.std() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize('clips', [1, 5])
def test_a_known_auc_lies_in_95_of_100_intervals(clips):
    """Of 160 sets; the share varies by 0.017 from one such test to another.

    Scores are monotone in normal numbers of variance 1 + 0.09, a fake's
    higher by 1.2. Clips drawn as if independent would reach far fewer.
    """
    truth = stats.norm.cdf(1.2 / np.sqrt(2 * 1.09))
    inside = 0
    for seed in range(160):
        scores = draw_scores(60, 60, seed=seed, clips=clips)
        result = bootstrap(scores, Resampling(200, seed=seed))
        _, low, high = result.estimates['auc']
        inside += low <= truth <= high
    assert 0.90 <= inside / 160 <= 0.99


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    scores = draw_scores(clips=3)
    first = bootstrap(scores, Resampling(150)).estimates
    other = bootstrap(scores, Resampling(150, seed=1)).estimates
    monkeypatch.setattr(module, 'BLOCK', 1000)
    assert bootstrap(scores, Resampling(150)).estimates == first
    assert other['auc'].low != first['auc'].low


def test_a_methods_interval_is_that_of_its_fakes_and_all_reals():
    scores = draw_scores(methods=('a', 'b'))
    resampling = Resampling(100)
    assessment = assess(scores, resampling)
    kept = (scores.labels == 0) | (scores.methods == 'b')
    alone = draw_scores()._replace(
        labels=scores.labels[kept],
        scores=scores.scores[kept],
        videos=scores.videos[kept],
        methods=scores.methods[kept],
    )
    expected = bootstrap(alone, resampling).estimates
    assert list(assessment.methods) == ['a', 'b']
    assert assessment.methods['b'].estimates == expected
    assert expected != assessment.overall.estimates


def test_a_single_method_is_not_told_twice():
    assert assess(draw_scores(), Resampling(100)).methods == {}


@pytest.mark.slow
def test_the_paired_difference_agrees_with_scipys_paired_bootstrap():
    first = draw_scores(60, 80)
    rng = np.random.default_rng(5)
    other = first._replace(
        scores=np.clip(first.scores + 0.1 * rng.normal(size=140) - 0.02, 0, 1)
    )

    def difference(reals, fakes):
        rows = np.r_[reals, fakes]
        labels = first.labels[rows]
        return np.subtract(
            *(roc_auc_score(labels, s.scores[rows]) for s in (other, first))
        )

    reference = stats.bootstrap(
        (np.arange(60), np.arange(60, 140)),
        difference,
        vectorized=False,
        n_resamples=1000,
        method='percentile',
        rng=rng,
    ).confidence_interval
    resampling = Resampling(2000)
    pair = [assess(scores, resampling) for scores in (first, other)]
    estimate = paired_difference(*pair)
    assert estimate[1:] == pytest.approx([*reference], abs=0.006)
    assert estimate.value == pytest.approx(
        roc_auc_score(other.labels, other.scores)
        - roc_auc_score(first.labels, first.scores)
    )
    widths = [
        low_high[1] - low_high[0]
        for low_high in (estimate[1:], pair[0].overall.estimates['auc'][1:])
    ]
    assert widths[0] < 0.7 * widths[1]


def test_only_the_same_videos_are_compared():
    one = draw_scores()._replace(manifest='abc')
    assert why_unpaired(one, one._replace(name='other')) == ''
    assert 'manifest' in why_unpaired(one, one._replace(manifest='xyz'))
    fewer = draw_scores(40, 47)._replace(manifest='abc')
    assert why_unpaired(one, fewer).startswith('3 videos')
    others = one._replace(videos=np.char.add(one.videos, 'x'))
    assert why_unpaired(one, others) == 'they are of different videos'
    report = score_report(
        [assess(scores, Resampling(100)) for scores in (one, fewer)]
    )
    assert report['differences'] == []
    assert any('no paired difference' in note for note in report['notes'])


def test_separated_classes_have_no_interval_but_a_bound():
    scores = draw_scores(12, 15)
    scores = scores._replace(scores=0.2 + 0.6 * scores.labels)
    report = score_report([assess(scores, Resampling(100))])
    assert report['rows'][0]['auc'] == (1.0, None, None)
    assert '1.0000 [no interval]' in score_table(report)
    (note,) = (line for line in report['notes'] if 'disjoint' in line)
    # twelve fair pairs in order: P = bound ** 12 = 0.025
    bound = float(re.search(r'by (0\.\d+) from below', note)[1])
    assert bound**12 == pytest.approx(0.025, rel=0.02)


@pytest.mark.parametrize(('reals', 'warned'), [(29, True), (30, False)])
def test_few_videos_of_a_class_are_warned_of(reals, warned):
    report = score_report([assess(draw_scores(reals, 40), Resampling(100))])
    assert warned == any('fewer than 30' in note for note in report['notes'])
    assert report['rows'][0]['real_videos'] == reals


def test_few_fakes_of_one_method_are_warned_of():
    scores = draw_scores(40, 50, methods=('a', 'a', 'b'))
    report = score_report([assess(scores, Resampling(100))])
    (note,) = report['notes']
    assert 'b 40 + 16' in note
    assert 'a 40' not in note


def test_one_class_leaves_empty_numbers_and_a_line():
    report = score_report([assess(draw_scores(0, 9), Resampling(100))])
    assert report['notes'] == [
        'net: all 9 videos are fake; AUC, AP and EER need both classes'
    ]
    assert report['rows'][0]['auc'] is None
    assert '| - |' in re.sub(' +', ' ', score_table(report))


def test_the_table_has_a_row_a_method_and_a_table_of_differences():
    scores = draw_scores(methods=('a', 'b'))._replace(name='first')
    other = scores._replace(name='second', scores=1 - scores.scores)
    report = score_report(
        [assess(item, Resampling(100)) for item in (scores, other)]
    )
    text = score_table(report)
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('| ')
    ]
    assert [row[:4] for row in rows[2:8]] == [
        [name, fakes, '40', count]
        for name in ('first', 'second')
        for fakes, count in (('all', '50'), ('a', '25'), ('b', '25'))
    ]
    estimate = report['rows'][0]['auc']
    assert rows[2][4] == '{:.4f} [{:.4f}, {:.4f}]'.format(*estimate)
    assert rows[-1][0] == 'second minus first'
    assert rows[-1][1].startswith(f'{1 - 2 * estimate.value:.4f} [')
    assert '95 % percentile intervals, 100 bootstrap replicates' in text


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    rows = []
    for v in range(30):
        label = v % 3 > 0
        for clip in range(3):
            score = float(np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1))
            rows.append(
                dict(
                    video_id=f'v{v}',
                    clip_index=clip,
                    method=('real', 'a', 'b')[v % 3],
                    gt_label=torch.tensor([int(label)]),
                    pred_score=torch.tensor([1 - score, score]),
                    frame_scores=torch.rand(4),
                )
            )
    return rows


def write_file(path, samples):
    metric = ForgeryMetric(thresholds=dict(video=0.4), scores_file=path)
    metric.dataset_meta = dict(source='ffpp', manifest='abc')
    metric.process(None, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('level', ['video', 'clip', 'frame'])
def test_numbers_of_a_score_file_are_those_of_the_metric(
    tmp_path, samples, level
):
    metrics = write_file(tmp_path / 'scores_ffpp.json', samples)
    scores = read_scores(tmp_path / 'scores_ffpp.json', level)
    assert (scores.name, scores.source) == ('scores_ffpp', 'ffpp')
    assert scores.manifest == 'abc'
    assert scores.threshold == (0.4 if level == 'video' else None)
    assert (scores.count(0), scores.count(1)) == (10, 20)
    assessment = assess(scores, Resampling(100))
    results = {'': assessment.overall}
    results |= {f'/{k}': v for k, v in assessment.methods.items()}
    assert set(results) == {'', '/a', '/b'}
    for suffix, result in results.items():
        for name, estimate in result.estimates.items():
            expected = metrics[f'{level}/{name}{suffix}']
            assert estimate.value == pytest.approx(expected)


def break_file(path, samples, kind):
    if kind == 'missing key':
        path.write_text('{"videos": [{"score": 0.5}]}')
        return
    if kind == 'no JSON':
        path.write_text('nothing')
        return
    if kind == 'a list':
        path.write_text('[1, 2]')
        return
    write_file(path, samples)
    content = json.loads(path.read_text())
    video = content['videos'][0]
    if kind == 'empty':
        content['videos'] = []
    elif kind == 'both':
        content['videos'].append(dict(video, label=1 - video['label']))
    else:
        video.update(kind)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        ('no JSON', 'not a valid file of scores'),
        ('a list', 'not a valid file of scores'),
        ('missing key', 'not a valid file of scores'),
        (dict(score='high'), 'not a valid file of scores'),
        ('empty', 'no scores of a video'),
        ('both', 'both real and fake'),
        (dict(score=float('nan')), 'not JSON'),
        (dict(score=None), "videos[0]: 'score' is null, expected a number"),
        (dict(score=1.5), "'score' is out of bounds, expected a number <= 1"),
        (dict(label=2), "'label' is 2, expected 0 (real) or 1 (fake)"),
    ],
)
def test_a_useless_file_is_named_in_one_line(tmp_path, samples, kind, words):
    path = tmp_path / 'scores.json'
    break_file(path, samples, kind)
    with pytest.raises(ScoreFileError) as error:
        read_scores(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)


def test_a_detector_of_clips_has_no_scores_of_frames(tmp_path, samples):
    for sample in samples:
        del sample['frame_scores']
    write_file(tmp_path / 'scores.json', samples)
    with pytest.raises(ScoreFileError, match='Remedy: another of video, clip'):
        read_scores(tmp_path / 'scores.json', 'frame')


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['runs/gml/scores_cdf.json'], ['cdf']),
        (['runs/gml/scores.json'], ['scores']),
        (['gml/scores_cdf.json', 'gml/scores_dfo.json'], ['cdf', 'dfo']),
        (
            ['runs/gml/scores_cdf.json', 'runs/i3d/scores_cdf.json'],
            ['gml/cdf', 'i3d/cdf'],
        ),
    ],
)
def test_files_are_called_by_what_tells_them_apart(paths, names):
    assert default_names(paths) == names

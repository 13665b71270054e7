"""What a detector from genuine videos alone is, and how far to trust it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gml_mmaction.errors import DataError
from gml_mmaction.evaluation.bootstrap import FEW, Resampling, headline
from gml_mmaction.evaluation.controls import untrained_span
from gml_mmaction.evaluation.level_scores import Scores, read_scores
from gml_mmaction.io.text import counted, markdown_table, printable
from gml_mmaction.prepared.manifest import Manifest, read_manifest, read_report

from .detector import Detector

__all__ = ['describe_genuine', 'format_genuine']

RESAMPLING = Resampling()


def describe_genuine(
    detector: Detector, crops: Path, scores_file: Path
) -> dict[str, Any]:
    """Collect the report, fit for JSON.

    Intervals of AUC are of a bootstrap over people, as pseudo-fakes of one
    person are not independent; where people are unknown, over genuine videos.

    Args:
        detector: Trained on pseudo-fakes.
        crops: The prepared videos.
        scores_file: Of its validation set, with the untrained networks.

    Returns:
        ``data``: by split, number of ``videos``, ``people`` (None if unknown)
        and of ``left_out`` videos by reason. ``scores``: by family, ``''``
        for all, ``auc`` (value, low, high), number of ``fakes``, of those that
        score ``higher`` than the genuine clips of their pairs (None if the
        file names none), of people or videos ``drawn``, and the AUCs of
        ``untrained`` networks. ``detector``: its facts; and ``crop_size``.

    Raises:
        DataError: The videos' manifest is missing.
    """
    manifest = read_manifest(crops)
    if manifest is None:
        raise DataError(
            f'{crops}/manifest.json is missing. Remedy: run gml prepare again'
        )
    scores = read_scores(scores_file)
    return dict(
        detector=detector.facts,
        crop_size=detector.crop_options.size,
        data={
            split: _describe_split(manifest, crops, split)
            for split in ('train', 'val')
        },
        scores={
            family: _describe_scores(scores, family, manifest)
            for family in ('', *map(str, scores.forgeries()))
        },
    )


def _describe_split(
    manifest: Manifest, crops: Path, split: str
) -> dict[str, Any]:
    videos = [v for v in manifest.prepared(split) if not v.label]
    people = {person for video in videos for person in video.people or ()}
    report = read_report(crops)
    left_out: dict[str, int] = {}
    for row in report.rows if report else ():
        for reason, count in row.failed.items() if row.split == split else ():
            left_out[reason] = left_out.get(reason, 0) + count
    return dict(
        videos=len(videos), people=len(people) or None, left_out=left_out
    )


def _describe_scores(
    scores: Scores, family: str, manifest: Manifest
) -> dict[str, Any]:
    own = scores.against_reals(family) if family else scores
    pairs = scores.pairs.get(family) or scores.pairs.get('')
    if family:  # a genuine video is in a pair for each family
        kept = np.char.endswith(own.videos, f'~{family}') | (own.labels == 1)
        arrays = ('labels', 'scores', 'videos', 'methods')
        own = own._replace(**{k: getattr(own, k)[kept] for k in arrays})
    clusters = _clusters(own, manifest)
    estimate = headline(own._replace(videos=clusters), RESAMPLING)['auc']
    return dict(
        auc=estimate and [*estimate],
        fakes=int(own.labels.sum()),
        higher=pairs and pairs.higher,
        drawn=len({*clusters[own.labels == 1]}),
        untrained=[*scores.untrained.get(family, ())],
    )


def _clusters(scores: Scores, manifest: Manifest) -> np.ndarray:
    """Who is seen in a clip, and its label, as names; else its video."""
    people = {
        video.video_id: ' '.join(video.people or [video.video_id])
        for video in manifest.prepared('val')
    }
    return np.array(
        [
            f'{label} {people[_genuine(name, method if label else "")]}'
            for name, method, label in zip(
                scores.videos, scores.methods, scores.labels
            )
        ]
    )


def _genuine(name: str, family: str) -> str:
    """The video of which ``VIDEO+FAMILY`` or ``VIDEO~FAMILY`` was made."""
    if family:
        return name.removesuffix(f'+{family}')
    return name.rpartition('~')[0]


def format_genuine(report: dict[str, Any], checkpoint: Path) -> str:
    """Lay the report out as Markdown.

    Args:
        report: Of :func:`describe_genuine`; with ``seconds`` of each part.
        checkpoint: The detector's file.
    """
    facts = report['detector']
    start, *_ = facts['words']
    lines = [
        *('# A detector from genuine videos', '', start, ''),
        *('```bash', f'gml predict VIDEO --checkpoint {checkpoint}', '```'),
        *('', '## Videos', ''),
        *markdown_table(_data_rows(report['data'])),
        *('', '## Pseudo-fakes of people who were not trained on', ''),
        *markdown_table(_score_rows(report['scores'])),
        *('', '`fakes.png` beside this file shows some.'),
        *('', '## What limits it', ''),
        *(f'- {line}' for line in _limits(report)),
        *('', '## Time', ''),
        *markdown_table(
            [
                ['', 'seconds'],
                *([k, f'{v:.0f}'] for k, v in report['seconds'].items()),
            ]
        ),
    ]
    return '\n'.join(map(printable, lines)) + '\n'


def _data_rows(data: dict[str, dict]) -> list[list[str]]:
    rows = [['', 'genuine videos', 'people', 'left out']]
    for split, name in (('train', 'training'), ('val', 'validation')):
        own = data[split]
        reasons = [f'{n} {reason}' for reason, n in own['left_out'].items()]
        who = 'unknown' if own['people'] is None else str(own['people'])
        rows.append([name, str(own['videos']), who, ', '.join(reasons) or '-'])
    return rows


def _score_rows(scores: dict[str, dict]) -> list[list[str]]:
    header = ['', 'pseudo-fakes', 'video AUC [95 %]', 'untrained networks']
    header.append('above its genuine clip')
    rows = [header]
    for family, own in scores.items():
        rows.append(
            [
                family or 'all',
                str(own['fakes']),
                _auc(own['auc']),
                untrained_span(own['untrained'], '{:.3f}'.format),
                '-'
                if own['higher'] is None
                else f'{own["higher"]} of {own["fakes"]}',
            ]
        )
    return rows


def _auc(estimate: Sequence | None) -> str:
    if estimate is None:
        return '-'
    value, low, high = estimate
    if low is None:
        return f'{value:.3f} [no interval]'
    return f'{value:.3f} [{low:.3f}, {high:.3f}]'


def _limits(report: dict[str, Any]) -> list[str]:
    facts, data = report['detector'], report['data']
    overall = report['scores']['']
    threshold = facts['threshold']
    lines = [
        'No forgery of anybody else was seen, neither in training nor here. '
        'What it finds of real forgeries is unknown until it is tested on '
        'them: gml test --target. One with 0.935 here had 0.579 on public '
        'forgeries (docs/genuine.md).',
        'The validation chose the checkpoint and the threshold, so its AUC is '
        'somewhat too good.',
        'Each folder of videos, and each video beside it, counts as a person: '
        'one who is in two of them may be in training and in validation.',
        f'Threshold {threshold["value"]:.4f}: {threshold["origin"]}.',
        f'{counted(data["train"]["videos"], "video")} in training, crops of '
        f'{report["crop_size"]} pixels, {facts["iterations"]} iterations: '
        'more people, larger crops and a longer training may change much.',
    ]
    if overall['drawn'] < FEW:
        who = 'videos' if data['val']['people'] is None else 'people'
        lines.append(
            f'Intervals draw {who}, of which the validation has '
            f'{overall["drawn"]}: below {FEW} they tend to be too narrow.'
        )
    null = overall['untrained']
    if overall['auc'] and overall['auc'][0] <= 0.5:
        lines.append('The detector does no better than a coin: do not use it.')
    if null and set(null) == {0.5}:
        lines.append(
            'Untrained networks of this config score all videos alike, so '
            'they do not tell what chance gives here.'
        )
    elif null and overall['auc'] and overall['auc'][0] <= max(null):
        lines.append(
            'An untrained network reaches as much: of learning there is no '
            'sign.'
        )
    return lines

"""One detector tested on several data sets, with one table at the end.

Every set is a folder that ``gml prepare`` wrote and gets its own MMEngine
runner. The threshold of ACC may come from the validation set of the training
data, so that no test set influences it.

Paper: says neither the threshold of its ACC nor where it comes from; ACC is
given at 0.5 and at the threshold of the validation set's equal error rate.
"""

import copy
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner.checkpoint import CheckpointLoader

from gml_mmaction.datasets import FaceClipDataset
from gml_mmaction.errors import GMLError, SettingError
from gml_mmaction.evaluation.controls import control_columns
from gml_mmaction.evaluation.forgery_metric import LEVELS
from gml_mmaction.evaluation.pairs import pairs_of
from gml_mmaction.evaluation.scores import read_scores_file
from gml_mmaction.io.files import file_sha256, write_json, write_text
from gml_mmaction.io.records import UNSET, as_json, to_record
from gml_mmaction.io.text import markdown_table, printable
from gml_mmaction.prepared.manifest import Manifest, read_manifest, read_report

from .initial_weights import Initial
from .provenance import initial_of, training_of
from .runner import build_runner
from .settings import PREPARED, inner_datasets, set_metric
from .untrained import add_untrained

__all__ = [
    'Target',
    'TargetError',
    'cross_table',
    'cross_test',
    'find_target',
    'leaked_videos',
    'score_target',
    'start_words',
    'target_config',
    'target_facts',
    'unscored_videos',
    'untrained_networks',
    'val_thresholds',
]

VALIDATION = 'val'  # the run that finds the threshold


class TargetError(GMLError, ValueError):
    """A target that does not name a prepared test set."""


class Target(NamedTuple):
    """A data set to test on.

    Attributes:
        name: For file names and the table.
        folder: Holds ``test.json`` and ``manifest.json``.
    """

    name: str
    folder: Path


def find_target(text: str, data: str | Path = 'data') -> Target:
    """Read ``'cdf'``, which is ``data/cdf``, or ``'dfo=FOLDER'``.

    Raises:
        TargetError: The name cannot be part of a file name, or ``test.json``
            is missing; the message names the test sets under ``data``.
    """
    name, given, place = text.partition('=')
    if not re.fullmatch(r'[\w.+-]*\w', name) or name == VALIDATION:
        raise TargetError(
            f'target {text!r}: not a valid name. Remedy: NAME or '
            "NAME=FOLDER with a NAME of letters, digits and '_.+-', other "
            f'than {VALIDATION!r}'
        )
    folder = Path(place) if given else Path(data, name)
    if not (folder / 'test.json').is_file():
        known = sorted(p.parent.name for p in Path(data).glob('*/test.json'))
        raise TargetError(
            f'target {text!r}: {folder}/test.json is missing. Remedy: one '
            f'of those in {data}/ ({", ".join(known) or "none"}), '
            'NAME=FOLDER, or prepare it with gml prepare'
        )
    return Target(name, folder)


def cross_test(
    cfg: Config,
    targets: Sequence[Target],
    *,
    val_threshold: bool = True,
    untrained: int = 0,
) -> dict[str, Any]:
    """Test on all targets and write everything to the work directory.

    Writes ``scores_<target>.json`` (see
    :class:`~gml_mmaction.evaluation.ForgeryMetric`), ``cross_table.md`` and
    ``cross_table.json``; a folder for each target holds its log. If training
    or test videos are synthetic, that comes first (``origin``).

    Args:
        cfg: Config of the detector with ``load_from`` and ``work_dir``; not
            changed.
        targets: Names must differ.
        val_threshold: Run the validation set of the config's own data first,
            all clips, and report ACC at its EER threshold beside 0.5.
        untrained: Networks of random weights that take the same tests, see
            :mod:`.untrained`.

    Returns:
        The content of ``cross_table.json``; with a launcher, in the main
        process only, and ``{}`` in the others.

    Raises:
        TargetError: Two targets share a name.
        SettingError: The config's ``test_evaluator`` has no ForgeryMetric.
        FileNotFoundError: Crops or videos of a set are missing.
    """
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise TargetError(
                f'two targets are called {name}. Remedy: NAME=FOLDER with '
                'two names'
            )
    notes = []
    thresholds: dict[str, float] = {}
    if val_threshold:
        thresholds, note = val_thresholds(cfg)
        notes += note
    metrics = [score_target(cfg, target, thresholds) for target in targets]
    for target in targets if untrained else ():
        own = target_config(cfg, target, thresholds)
        add_untrained(own, _scores_path(cfg, target.name), untrained)
    if not is_main_process():
        return {}
    training = _train_folders(cfg)
    rows = []
    for target, values in zip(targets, metrics):
        rows.append(_row(cfg, target, values, training))
        notes += _unscored_note(rows[-1])
        notes += _leak_note(rows[-1], training)
    path = str(cfg.load_from)
    loaded = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    origins = _origins(training_of(loaded, path).get('origin'), targets)
    initial = initial_of(loaded)
    report = dict(
        **({'origin': origins} if origins else {}),
        config=str(cfg.filename),
        checkpoint=str(cfg.load_from),
        checkpoint_sha256=file_sha256(cfg.load_from),
        initial=initial and as_json(initial),
        thresholds=_origin(cfg, thresholds) if thresholds else None,
        notes=list(dict.fromkeys(notes)),
        targets=rows,
    )
    write_json(Path(cfg.work_dir, 'cross_table.json'), report)
    write_text(Path(cfg.work_dir, 'cross_table.md'), cross_table(report))
    return report


def _origins(trained: str | None, targets: Sequence[Target]) -> list[str]:
    """Say of detector and targets what their videos are, if synthetic."""
    lines = [f'detector: trained on {trained}'] if trained else []
    for target in targets:
        manifest = read_manifest(target.folder)
        words = manifest and (manifest.origin or {}).get('test')
        lines += [f'{target.name}: {words}'] if words else []
    return [printable(line) for line in lines]


def val_thresholds(cfg: Config) -> tuple[dict[str, float], list[str]]:
    """EER thresholds of the validation set, by level, over all its clips.

    Returns:
        ``{'video': t, 'clip': t}`` and no line, or nothing and a line that
        says why: the set is missing, or has only one class.
    """
    parts = _validation_sets(cfg)
    paths = [
        Path(p.get('data_root') or '', p.get('ann_file') or '') for p in parts
    ]
    for path in paths:
        if not path.is_file():
            name = 'its annotation' if path == Path() else path
            return {}, [f'no threshold of a validation set: {name} is missing']
    cfg = _own_run(cfg, VALIDATION)
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    cfg.test_dataloader.persistent_workers = False
    for part in inner_datasets(cfg.test_dataloader.dataset):
        if part.type in PREPARED:
            part.num_clips = None
        part.test_mode = True
    metrics = build_runner(cfg).test()
    thresholds = {k: metrics[f'{k}/eer_threshold'] for k in LEVELS}
    if None in thresholds.values():
        return {}, [
            f'no threshold of a validation set: {_joined(paths)} has one class'
        ]
    return thresholds, []


def score_target(
    cfg: Config, target: Target, thresholds: Mapping[str, float]
) -> dict[str, float | None]:
    """Test the detector on one target; returns the metrics.

    The scores go to ``scores_<target>.json`` in the work directory, logs to
    ``<target>/``.

    Args:
        cfg: See :func:`cross_test`.
        target: What to test on.
        thresholds: See ``ForgeryMetric``.

    Raises:
        SettingError: As :func:`cross_test`.
        FileNotFoundError: As :func:`cross_test`.
    """
    return build_runner(target_config(cfg, target, thresholds)).test()


def target_config(
    cfg: Config, target: Target, thresholds: Mapping[str, float]
) -> Config:
    """The config of the test on one target; see :func:`score_target`."""
    cfg = _own_run(cfg, target.name, thresholds)
    cfg.test_dataloader.persistent_workers = False  # or they outlive the run
    dataset = _template(cfg)
    cfg.test_dataloader.dataset = dataset
    own = Path(dataset.get('data_root') or '').resolve()
    if own != target.folder.resolve():
        dataset.pop('video_root', None)  # of the config's own videos
    dataset.update(data_root=str(target.folder), ann_file='test.json')
    return cfg


def _template(cfg: Config) -> Any:
    """The config of a data set that reads a target, without wrappers.

    Raises:
        TargetError: Its type does not read prepared data.
    """
    dataset = inner_datasets(cfg.test_dataloader.dataset)[0]
    kind = dataset.get('type')
    if kind not in (FaceClipDataset.__name__, FaceClipDataset):
        raise TargetError(
            f'test_dataloader.dataset.type={kind!r} does not read prepared '
            f'data. Remedy: {FaceClipDataset.__name__}, or no --target'
        )
    return dataset


def _validation_sets(cfg: Config) -> list[Any]:
    dataset = (cfg.get('val_dataloader') or {}).get('dataset') or {}
    return inner_datasets(dataset)


def _own_run(
    cfg: Config, name: str, thresholds: Mapping[str, float] | None = None
) -> Config:
    """Copy a config for one of several runs in the same process.

    MMEngine keeps visualizers by their name and returns an old one if two
    runs share it; so a run has none that it was given.
    """
    settings = dict(
        scores_file=str(_scores_path(cfg, name)),
        checkpoint=cfg.get('load_from'),
        thresholds=thresholds,
    )
    cfg = copy.deepcopy(cfg)
    if not set_metric(cfg, **settings):
        raise SettingError(
            f'{cfg.filename}: test_evaluator has no ForgeryMetric. Remedy: '
            "add dict(type='ForgeryMetric')"
        )
    cfg.work_dir = str(Path(cfg.work_dir, name))
    if cfg.get('visualizer'):
        cfg.visualizer.pop('name', None)
    return cfg


def leaked_videos(test: Manifest, *trains: Manifest) -> int | None:
    """Number of prepared test videos with people of the training split.

    Args:
        test: Manifest of the test set.
        *trains: Manifests of the training sets; may be the same one.

    Returns:
        None if one of them does not say who is seen.
    """
    seen = {
        person
        for train in trains
        for video in train.prepared('train')
        for person in video.people or ()
    }
    people = [video.people or () for video in test.prepared('test')]
    if not seen or (people and not any(people)):
        return None
    return sum(not seen.isdisjoint(group) for group in people)


def unscored_videos(folder: Path) -> dict[str, int]:
    """Number of test videos without crops, by the reason or ``'missing'``.

    No score includes them. Without ``report.json`` nothing is known.
    """
    report = read_report(folder)
    counts: Counter[str] = Counter()
    for row in report.rows if report else ():
        if row.split == 'test':
            counts.update(row.failed)
            counts['missing'] += row.missing
    return dict(+counts)


def _leak_note(row: dict, training: Sequence[Path]) -> list[str]:
    name, leaked = row['name'], row['leaked_videos']
    if leaked is None:
        return [
            'not compared with the people of the training set: '
            + _lost(row, training)
        ]
    if not leaked:
        return []
    return [
        f'{leaked} of {row["test_videos"]} test videos of {name} show people '
        'of the training set'
    ]


def _lost(row: dict, training: Sequence[Path]) -> str:
    """Say what is missing from a comparison."""
    if not row['parameters']:
        return f'{row["folder"]}/manifest.json is missing'
    if not training:
        return 'the config has no data_root for its training data'
    for folder in training:
        if not (folder / 'manifest.json').is_file():
            return f'{folder}/manifest.json is missing'
    return f'{row["source"]} or {_joined(training)} does not say who is seen'


def _unscored_note(row: dict) -> list[str]:
    unscored = row['unscored_videos']
    if not unscored:
        return []
    reasons = ', '.join(f'{reason} {n}' for reason, n in unscored.items())
    count = sum(unscored.values())
    return [
        f'{count} of {row["test_videos"] + count} test videos of '
        f'{row["name"]} have no crops and no score: {reasons}'
    ]


def _row(
    cfg: Config, target: Target, metrics: dict, training: Sequence[Path]
) -> dict[str, Any]:
    """Collect what the table and its file say of a target."""
    path = _scores_path(cfg, target.name)
    scores = read_scores_file(path)
    labels = [video.label for video in scores.videos]
    test = read_manifest(target.folder)
    trains = [read_manifest(folder) for folder in training]
    known = [train for train in trains if train]
    both = test and known and len(known) == len(trains)
    return dict(
        name=target.name,
        folder=target.folder.as_posix(),
        source=scores.source,
        manifest=scores.manifest,
        real_videos=labels.count(0),
        fake_videos=labels.count(1),
        test_videos=len(test.prepared('test')) if test else len(labels),
        unscored_videos=unscored_videos(target.folder),
        leaked_videos=leaked_videos(test, *known) if test and both else None,
        scores_file=path.name,
        metrics=metrics,
        untrained=None if scores.untrained is UNSET else scores.untrained,
        parameters=test.parameters if test else {},
    )


def _origin(cfg: Config, thresholds: Mapping[str, float]) -> dict[str, Any]:
    path = _scores_path(cfg, VALIDATION)
    scores = read_scores_file(path)
    parts = _validation_sets(cfg)
    return dict(
        thresholds,
        rule='equal error rate',
        folder=_joined(part.get('data_root') or '.' for part in parts),
        ann_file=_joined(part.get('ann_file') for part in parts),
        source=scores.source,
        manifest=scores.manifest,
        videos=len(scores.videos),
        clips=len(scores.clips),
        scores_file=path.name,
    )


def _joined(values: Iterable[Any]) -> str:
    return ' + '.join(dict.fromkeys(map(str, values)))


def _scores_path(cfg: Config, name: str) -> Path:
    return Path(cfg.work_dir, f'scores_{name}.json')


def _train_folders(cfg: Config) -> list[Path]:
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    folders = [part.get('data_root') for part in inner_datasets(dataset)]
    return [Path(folder) for folder in dict.fromkeys(folders) if folder]


def cross_table(report: Mapping) -> str:
    """Lay the report of :func:`cross_test` out as Markdown.

    A row is a target; every score column names its level. Frames have columns
    if the detector scores them.
    """
    columns = {
        'video AUC': 'video/auc',
        'clip AUC': 'clip/auc',
        'frame AUC': 'frame/auc',
        'video EER': 'video/eer',
        'video ACC at 0.5': 'video/acc',
    }
    thresholds = report['thresholds']
    if thresholds:
        column = f'video ACC at {thresholds["video"]:.4f} (val)'
        columns[column] = 'video/acc_val'
    if not any('frame/auc' in row['metrics'] for row in report['targets']):
        del columns['frame AUC']
    controls = _controls(report['targets'])
    rows = [['target', 'real videos', 'fake videos', *columns, *controls]]
    for number, target in enumerate(report['targets']):
        scores = (target['metrics'][key] for key in columns.values())
        rows.append(
            [
                target['name'],
                str(target['real_videos']),
                str(target['fake_videos']),
                *('-' if s is None else f'{s:.4f}' for s in scores),
                *(cells[number] for cells in controls.values()),
            ]
        )
    lines = [*markdown_table(rows), '', *_facts(report)]
    return '\n'.join(lines) + '\n'


def untrained_networks(target: Mapping) -> int:
    """How many networks of random weights took a report's test."""
    return max(map(len, (target.get('untrained') or {}).values()), default=0)


def _controls(targets: Sequence[Mapping]) -> dict[str, list[str]]:
    null = [target.get('untrained') or {} for target in targets]
    pairs = [pairs_of(target['metrics']) for target in targets]
    return control_columns(
        'video',
        [metrics.get('video/auc', ()) for metrics in null],
        [own and own.words for own in pairs],
        [
            [share * own.fakes for share in metrics.get('pair/higher', ())]
            if own
            else ()
            for metrics, own in zip(null, pairs)
        ],
    )


def _facts(report: Mapping) -> list[str]:
    """Say where the table's numbers come from, one line each."""
    digest = (report['checkpoint_sha256'] or 'unknown')[:12]
    lines = [
        *report.get('origin', ()),
        f'{report["config"]}, {report["checkpoint"]} (sha256 {digest})',
        f'started from: {start_words(report)}',
    ]
    if report['thresholds']:
        lines.append(
            'val: equal error rate of {videos} videos, {folder}/{ann_file}; '
            'threshold of clips {clip:.4f}'.format(**report['thresholds'])
        )
    lines += map(target_facts, report['targets'])
    networks = max(map(untrained_networks, report['targets']), default=0)
    if networks:
        lines.append(
            f'untrained: lowest and highest of {networks} networks of random '
            'weights in the same test; a value among them is no sign of '
            'learning'
        )
    return [f'- {printable(line)}' for line in [*lines, *report['notes']]]


def start_words(report: Mapping) -> str:
    """Say in one line how the network of a report was initialised."""
    initial = report.get('initial')
    if initial is None:
        return 'the checkpoint does not say'
    return to_record(initial, Initial).words


def target_facts(target: Mapping) -> str:
    """Say in one line how a report's target was listed and prepared."""
    chosen = target['parameters'].get('source_options') or {}
    facts = [
        f'{key} {" ".join(value) if isinstance(value, list) else value}'
        for key, value in chosen.items()
        if value is not None
    ]
    manifest = f'manifest {(target["manifest"] or "unknown")[:12]}'
    source = f'{target["name"]}: source {target["source"]}'
    return ', '.join([source, *facts, manifest, target['folder']])

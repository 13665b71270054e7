"""Check which parts of a data set are there, before hours are spent on it.

:func:`check_source` compares a source's list with the disk, with the
published numbers and with itself: files that are missing or empty, videos
in two splits, people in two splits or in another set's training. Nothing is
decoded unless asked for.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from gml_mmaction.io.text import counted, printable

from . import SPLITS, Video, get_source
from .options import list_with_notes, source_counts

__all__ = ['TrainedOn', 'check_source', 'format_check']

Key = TypeVar('Key')
_NAMED = 3  # examples in a line


class TrainedOn(NamedTuple):
    """Another data set, whose training split a test must not meet."""

    source: str
    root: Path
    options: dict


def check_source(
    source: str,
    root: str | Path,
    options: Mapping | None = None,
    *,
    against: Iterable[TrainedOn] = (),
    decode: int = 0,
) -> dict:
    """Check what a source lists.

    Args:
        source: Its name.
        root: The data set's folder.
        options: Of the source.
        against: Sets that a model was trained on. People of their training
            split in this one's test are a problem.
        decode: So many videos of each split and method, the first that are
            there, are opened and their first frame decoded; their frames
            a second are among the notes.

    Returns:
        For JSON: ``source``; ``rows``, one a split and method (``listed``,
        ``present``, ``missing``, ``empty``, ``published`` or None);
        ``notes``, facts to know, people in several splits among them (the
        official split of Celeb-DF has some), and ``problems``, one line
        each: none if all is there, as published and without a leak.

    Raises:
        ValueError: No such source, or it cannot list its videos.
    """
    root, options = Path(root), dict(options or {})
    videos, notes = list_with_notes(source, root, options)
    states = _states(videos)
    rows = _count(videos, states, source_counts(source, options))
    problems = [
        *_file_problems(videos, states, root),
        *_count_problems(rows),
        *_double_problems(videos),
    ]
    notes += _people_notes(videos)
    for other in against:
        shared, line = _shared_people(videos, other)
        (problems if shared else notes).append(line)
    if decode:
        broken, rates = _decode(videos, states, decode)
        problems += broken
        notes += rates
    return {
        'source': source,
        'rows': rows,
        'notes': notes,
        'problems': problems,
    }


def format_check(report: dict) -> str:
    """Lay out a report of :func:`check_source` as text."""
    head = ('split', 'method', 'listed', 'present', 'missing', 'empty')
    table = [[*head, 'published', '']]
    for row in report['rows']:
        cells = [row[key] for key in head]
        known = row['published']
        cells += ['?' if known is None else known, _verdict(row)]
        table.append([printable(cell) for cell in cells])
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = [
        '  '.join(
            cell.ljust(width) if at in (0, 1, 7) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in table
    ]
    lines += [f'note: {printable(line)}' for line in report['notes']]
    lines += [f'PROBLEM: {printable(line)}' for line in report['problems']]
    lines.append('there are problems' if report['problems'] else 'all there')
    return '\n'.join(lines)


def _states(videos: Sequence[Video]) -> list[str]:
    @cache  # an archive holds many videos
    def state(path: Path) -> str:
        if not path.exists():
            return 'missing'
        filled = any(path.iterdir()) if path.is_dir() else path.stat().st_size
        return 'present' if filled else 'empty'

    return [state(video.path) for video in videos]


def _count(
    videos: Sequence[Video],
    states: Sequence[str],
    published: Mapping[tuple[str, str], int],
) -> list[dict]:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for video, state in zip(videos, states, strict=True):
        counts[video.split, video.method].update(['listed', state])
    methods = dict.fromkeys(method for _, method in [*counts, *published])
    return [
        {
            'split': split,
            'method': method,
            **{
                key: counts[split, method][key]
                for key in ('listed', 'present', 'missing', 'empty')
            },
            'published': published.get((split, method)),
        }
        for split in SPLITS
        for method in methods
        if (split, method) in counts or (split, method) in published
    ]


def _verdict(row: dict) -> str:
    if not row['listed']:
        return 'not listed'
    if row['missing'] or row['empty']:
        return 'incomplete'
    if row['published'] is None:
        return ''
    return 'equal' if row['listed'] == row['published'] else 'differs'


def _file_problems(
    videos: Sequence[Video], states: Sequence[str], root: Path
) -> list[str]:
    by_state = defaultdict(list)
    for video, state in zip(videos, states, strict=True):
        by_state[state].append(_short(video.path, root))
    own = {video.path for video in videos}
    borrowed = {v.boxes_from for v in videos if v.boxes_from} - own
    absent = sorted(str(path) for path in borrowed if not path.exists())
    return _named_lines(
        {
            ('missing video', ''): by_state['missing'],
            ('empty video', ''): by_state['empty'],
            ('missing video', ' in which faces would be found'): absent,
        }
    )


def _named_lines(found: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    return [
        f'{counted(len(names), noun)}{rest}: {_some(names)}'
        for (noun, rest), names in found.items()
        if names
    ]


def _count_problems(rows: Sequence[dict]) -> list[str]:
    problems = []
    for what, fake in (('real', False), ('fake', True)):
        if not any(
            r['listed'] and (r['method'] != 'real') == fake for r in rows
        ):
            problems.append(f'no {what} videos are listed')
    return problems + [
        f'{row["split"]} {row["method"]}: '
        f'{counted(row["listed"], "video")} listed, {row["published"]} '
        'published'
        for row in rows
        if row['listed'] and row['published'] not in (None, row['listed'])
    ]


def _double_problems(videos: Sequence[Video]) -> list[str]:
    ids = Counter(video.video_id for video in videos)
    splits = _splits_by(videos, lambda video: [(video.path, video.member)])
    twice = [name for name, count in ids.items() if count > 1]
    both = [path.name for (path, _), found in splits.items() if len(found) > 1]
    return _named_lines(
        {
            ('video id', ' of several videos'): twice,
            ('file', ' in two splits'): both,
        }
    )


def _people_notes(videos: Sequence[Video]) -> list[str]:
    splits = _splits_by(videos, lambda video: video.people)
    if not splits:
        return ['who is seen is unknown: leaks of people cannot be found']
    shared = defaultdict(list)
    for person, found in splits.items():
        if len(found) > 1:
            shared[' and '.join(s for s in SPLITS if s in found)].append(
                person
            )
    if not shared:
        number = '1 person' if len(splits) == 1 else f'{len(splits)} people'
        return [f'{number}, nobody in two splits']
    return [
        f'{len(people)} of {len(splits)} people are in {where}: '
        f'{_some(people)}'
        for where, people in shared.items()
    ]


def _shared_people(
    videos: Sequence[Video], other: TrainedOn
) -> tuple[set[str], str]:
    theirs = get_source(other.source)(other.root, **other.options)
    trained = {p for v in theirs if v.split == 'train' for p in v.people}
    tested = {p for v in videos if v.split == 'test' for p in v.people}
    shared = tested & trained
    line = (
        f'{len(shared)} of {len(tested)} people in the test are in the '
        f'training split of {other.source}'
    )
    return shared, f'{line}: {_some(sorted(shared))}' if shared else line


def _splits_by(
    videos: Sequence[Video], keys: Callable[[Video], Iterable[Key]]
) -> dict[Key, set[str]]:
    splits: dict[Key, set[str]] = defaultdict(set)
    for video in videos:
        for key in keys(video):
            splits[key].add(video.split)
    return splits


def _decode(
    videos: Sequence[Video], states: Sequence[str], count: int
) -> tuple[list[str], list[str]]:
    # slow to load, and needed here only
    from gml_mmaction.video import VideoError, open_video, rates_of

    tried: Counter[tuple[str, str]] = Counter()
    problems = []
    rates = defaultdict(list)
    for video, state in zip(videos, states, strict=True):
        group = video.split, video.method
        if state != 'present' or tried[group] == count:
            continue
        tried[group] += 1
        try:
            with open_video(video.path, video.member) as reader:
                next(iter(reader.frames(stop=1)))
                rates[video.method].append(reader.fps)
        except VideoError as error:
            problems.append(f'{video.video_id} cannot be decoded: {error}')
    spreads = {method: rates_of(found) for method, found in rates.items()}
    texts = [f'{method} {rate}' for method, rate in spreads.items() if rate]
    notes = [f'frames a second: {", ".join(texts)}'] if texts else []
    return problems, notes


def _short(path: Path, root: Path) -> str:
    inside = path.is_relative_to(root)
    return (path.relative_to(root) if inside else path).as_posix()


def _some(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > _NAMED else ''
    return ', '.join(names[:_NAMED]) + more

"""DF40's processed download: face crops of fakes, by 31 methods.

    ROOT/<method>/ff/<...>/<sequence>/NNN.png      from FaceForensics++
    ROOT/<method>/cdf/<...>/<sequence>/NNN.png     from Celeb-DF
    REALS/<...>/<sequence>/NNN.png                 a folder given by --reals

The download is linked at github.com/YZY-stack/DF40. A sequence is any folder
with images in it, named as the video, ``071_054`` or ``id0_id1_0000``;
folders ``masks`` and ``landmarks`` are none. Its other nine methods are not
laid out by ``ff`` and ``cdf``, and are not read.

The reals do not come with it: they are those of FaceForensics++ and Celeb-DF,
cropped in the same way, for which the README has links of their own. Without
them there is no AUC; with crops made in another way it would tell the crops
apart.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gml_mmaction.errors import DataError, SettingError
from gml_mmaction.video.folders import (
    check_folder,
    image_folders,
    is_well_named,
    video_id,
)

from . import Video, register_source

__all__ = ['DOMAINS', 'list_videos']

DOMAINS = ('ff', 'cdf')
_PEOPLE = {'ffpp': re.compile(r'\d{3}'), 'cdf': re.compile(r'id\d+')}
_NAMES = {
    'ffpp': re.compile(r'\d{3}(_\d{3})?'),
    'cdf': re.compile(r'(id\d+_){1,2}\d+'),
}


def _notes(videos: Sequence[Video]) -> list[str]:
    notes = [
        'all videos are listed for testing: do not give the download of '
        'training data',
        'up to 32 images a video, which are not consecutive frames; '
        'methods that make single images have no motion',
    ]
    if all(video.label for video in videos):
        notes.append(
            'no real videos, so no AUC: give their folder with --reals'
        )
    return notes


@register_source('df40', notes=_notes)
def list_videos(
    root: str | Path,
    *,
    domains: Sequence[str] = DOMAINS,
    methods: Sequence[str] | None = None,
    reals: str | Path | None = None,
) -> list[Video]:
    """List the sequences that are there; DF40's own lists are not read.

    Args:
        root: Folder of the methods' folders, ``DF40`` of the testing data.
        domains: Of which source of videos the fakes are, ``ff`` or ``cdf``;
            by default both.
        methods: Folders to list; by default all that have a domain's folder.
        reals: Folder of the reals' crops, DF40's download of those of
            FaceForensics++ or Celeb-DF. All below it is listed for testing:
            leave only videos of the test splits in it. None by default.

    Returns:
        Reals, then the fakes of each method, all cropped and for testing.
        People are those of the set that the videos are from, ``ffpp/071`` or
        ``cdf/id3``, by the names of the sequences.

    Raises:
        DataError: No such folder; unknown domain or method; nothing found.
    """
    root = check_folder(root)
    for domain in domains:
        if domain not in DOMAINS:
            raise SettingError(
                f'unknown domain {domain!r}. Remedy: {" or ".join(DOMAINS)}'
            )
    videos = []
    if reals is not None:
        folder = check_folder(reals)
        videos += [
            _video(f'real/{video_id(path, root=folder)}', path, 'real')
            for path in image_folders(folder)
        ]
    for method in _choose_methods(root, domains, methods):
        for domain in domains:
            for path in image_folders(root / method / domain):
                name = video_id(path, root=root)
                videos.append(_video(name, path, method))
    return videos


def _choose_methods(
    root: Path, domains: Sequence[str], methods: Sequence[str] | None
) -> list[str]:
    found = {
        path.parent.name
        for domain in domains
        for path in root.glob(f'*/{domain}')
        if is_well_named(path.relative_to(root), root)
    }
    if not found:
        raise DataError(
            f'{root}: no such data set. Remedy: a folder with '
            f'<method>/{" or <method>/".join(domains)}'
        )
    for name in methods or ():
        if name not in found:
            raise SettingError(
                f'unknown method {name!r}. Remedy: one of '
                f'{", ".join(sorted(found))}'
            )
    return list(dict.fromkeys(methods or sorted(found)))


def _video(name: str, path: Path, method: str) -> Video:
    people = [
        f'{source}/{person}'
        for source, pattern in _NAMES.items()
        if pattern.fullmatch(path.name)
        for person in dict.fromkeys(_PEOPLE[source].findall(path.name))
    ]
    return Video(
        video_id=name,
        path=path,
        label=int(method != 'real'),
        method=method,
        split='test',
        people=tuple(people),
        cropped=True,
    )

"""Miniature DeeperForensics and Celeb-DF trees, made of a FaceForensics++ one.

They have the official names and lists, so that every command can be tried
before a download is there: the videos are those of the given tree (for
instance of :func:`~.demo.make_demo`), copied under the other sets' names.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gml_mmaction.sources import SPLITS, Video
from gml_mmaction.sources.dfo import CLEAN, META, SETTINGS
from gml_mmaction.sources.ffpp import list_videos
from gml_mmaction.sources.origin import copy_origins
from gml_mmaction.video import VideoReader
from gml_mmaction.video.distortions import (
    Distortion,
    distort_frames,
    random_distortions,
    seed_of,
    write_meta,
)
from gml_mmaction.video.writer import write_h264

__all__ = ['make_celeb_df_tree', 'make_dfo_tree']


def make_dfo_tree(
    ffpp: str | Path,
    out: str | Path,
    *,
    method: str = 'Deepfakes',
    variants: Sequence[str] = (*SETTINGS['std'], *SETTINGS['sing']),
    seed: int = 0,
) -> None:
    """Write ``out`` in DeeperForensics-1.0's tree.

    A fake ``a_b`` becomes ``a_<actor>`` in each variant. The split lists
    follow FaceForensics++'s, but for one fake whose target is trained on
    there and which is in ``test.txt``: the official lists divide by
    actor, so that this happens.

    Args:
        ffpp: FaceForensics++ tree with c23 videos of ``method``.
        out: The folder to write.
        method: Which fakes to take.
        variants: Folders of ``manipulated_videos``, by default those of the
            paper's evaluations, std and std/sing; the distorted ones do
            without blocks ('BW'), which need frames of 256 pixels.
        seed: Of the distortions.
    """
    out = Path(out)
    fakes = _of_method(ffpp, method)
    copy_origins([ffpp], out)
    names = {
        video: f'{_target(video)}_{"MW"[i % 2]}{i:03d}'
        for i, video in enumerate(fakes)
    }
    _write_splits(out / 'lists' / 'splits', names)
    for variant in variants:
        meta = {}
        for video, name in names.items():
            path = Path(variant, f'{name}.mp4')
            meta[path.as_posix()] = _draw(variant, name, seed)
            _write_distorted(
                video.path,
                out / 'manipulated_videos' / path,
                meta[path.as_posix()],
                seed=seed_of(name, seed),
            )
        if any(meta.values()):
            path = out / 'lists' / META.format(variant)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_meta(path, meta)


def make_celeb_df_tree(
    ffpp: str | Path, out: str | Path, *, method: str = 'Deepfakes'
) -> None:
    """Write ``out`` in Celeb-DF v2's tree.

    Each id becomes a celebrity; the last real test video comes from YouTube
    and has no identity. The list of testing videos, in which 1 is real, is
    FaceForensics++'s test split.

    Args:
        ffpp: FaceForensics++ tree with c23 videos of ``method``.
        out: The folder to write.
        method: Which fakes to take.
    """
    out = Path(out)
    reals = _of_method(ffpp, 'real')
    copy_origins([ffpp], out)
    names = {v: f'Celeb-real/id{int(_target(v))}_0000.mp4' for v in reals}
    names[reals[-1]] = 'YouTube-real/00000.mp4'
    for video in _of_method(ffpp, method):
        original, swapped = video.path.stem.split('_')
        name = f'id{int(original)}_id{int(swapped)}_0000.mp4'
        names[video] = f'Celeb-synthesis/{name}'
    for video, name in names.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, out / name)
    lines = [
        f'{1 - video.label} {name}\n'
        for video, name in names.items()
        if video.split == 'test'
    ]
    listing = out / 'List_of_testing_videos.txt'
    listing.write_text(''.join(lines), encoding='utf-8')


def _of_method(ffpp: str | Path, method: str) -> list[Video]:
    methods = [] if method == 'real' else [method]
    videos = list_videos(ffpp, methods=methods)
    return [video for video in videos if video.method == method]


def _target(video: Video) -> str:
    return video.path.stem.split('_')[0]


def _write_splits(folder: Path, names: dict[Video, str]) -> None:
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for video, name in names.items():
        lists[video.split].append(f'{name}.mp4')
    lists['test'].append(lists['train'].pop())
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in lists.items():
        (folder / f'{split}.txt').write_text(
            '\n'.join(lines) + '\n', encoding='utf-8'
        )


def _draw(variant: str, name: str, seed: int) -> tuple[Distortion, ...]:
    """Draw a variant's distortions again until none needs large frames."""
    if variant in CLEAN:
        return ()
    kind = variant.removeprefix('end_to_end_').removesuffix('_distortions')
    generator = np.random.default_rng([seed, seed_of(name)])
    while True:
        drawn = random_distortions(kind, generator)
        if 'BW' not in dict(drawn):
            return drawn


def _write_distorted(
    path: Path, copy: Path, distortions: Sequence[Distortion], *, seed: int
) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if not distortions:
        shutil.copy(path, copy)
        return
    with VideoReader(path) as reader:
        frames = distort_frames(
            reader.frames(), distortions, seed=seed, fps=reader.fps
        )
        write_h264(str(copy), frames, fps=reader.fps, crf=18)

"""Annotations of prepared data, checked before they are used.

Crops are below the folder of the annotation; a name that points outside it is
refused. Videos, from which crops are cut on the fly, may be anywhere: where
the annotation's ``root`` and their names say, as preparation found them (the
reals of DeeperForensics are in another tree). They are only read, and only if
they have the suffix of a video or an archive, or are folders of images. Links
in a folder are followed, as its owner made them.
"""

import operator
import os
import re
from typing import Annotated, TypeVar

from msgspec import Meta

from gml_mmaction.errors import DataError
from gml_mmaction.io.records import (
    UNSET,
    Count,
    Label,
    Place,
    Record,
    Relative,
    Text,
    UnsetType,
    read_record,
)
from gml_mmaction.io.rules import Rule, is_place, line
from gml_mmaction.video import Rates
from gml_mmaction.video.distortions import parse_distortions

from .manifest import SquareRecord

__all__ = [
    'Annotation',
    'BoxAnnotation',
    'BoxEntry',
    'CropAnnotation',
    'CropEntry',
    'DataError',
    'Entry',
    'Metainfo',
    'read_annotation',
]

Words = Annotated[str, line(1000)]
Template = Annotated[
    str,
    Rule(
        "a name such as '{:06}.jpg'",
        lambda v: bool(re.fullmatch(r'[\w-]*\{:(0?\d)?d?\}\.\w+', v)),
    ),
]
Frames = Annotated[
    list[Annotated[int, Meta(ge=0, le=2_000_000_000)]],
    Rule(
        'a list of frames, ascending',
        lambda v: all(map(operator.lt, v, v[1:])),
    ),
]
Member = Annotated[
    str, Rule('a path in an archive', lambda v: v in ('', '.') or is_place(v))
]


class Metainfo(Record, frozen=True, kw_only=True):
    """What is common to all entries of an annotation.

    Attributes:
        origin: What the videos are, if they are synthetic.
        rates: The spread of the crops' frames a second.
        source: Name of the data set.
        store: ``'crops'``, images, or ``'boxes'``, places in the videos.
        size: Side of a crop in pixels.
        stride: Between saved frames, in source frames.
        filename_tmpl: Name of the n-th crop of a track.
        classes: Names of the labels.
        manifest: SHA-256 of the manifest.
        root: Folder of the videos, relative to the annotation's folder.
    """

    origin: Words | UnsetType = UNSET
    rates: Rates | UnsetType = UNSET
    source: Words | UnsetType = UNSET
    store: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    stride: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    filename_tmpl: Template | UnsetType = UNSET
    classes: list[str] | UnsetType = UNSET
    manifest: str | UnsetType = UNSET
    root: Text | UnsetType = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.store == 'boxes' and self.root is UNSET:
            raise ValueError("'root' is missing")


class Entry(Record, frozen=True, kw_only=True):
    """One track: one face, followed through a video or a part of it.

    Attributes:
        video_id: Of the video.
        track: Its number in the video.
        start: Its first frame in the video.
        num_frames: Number of its frames.
        label: 0 = real, 1 = fake.
        method: How the video was made.
        original: Id of the genuine video that it was made of; unset if that
            is not known, for genuine ones, and in older annotations.
        frames: Their indices in the video, if they were taken by time.
        landmarks: An array of the points of each crop, ``(num_frames, points,
            2)``, x and y in sides of the crop.
    """

    video_id: Text
    track: Count | UnsetType = UNSET
    start: Count | UnsetType = UNSET
    num_frames: Annotated[int, Meta(ge=0, le=2_000_000)]
    label: Label
    method: Text
    original: Text | UnsetType = UNSET
    frames: Frames | UnsetType = UNSET
    landmarks: Place | UnsetType = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames and len(self.frames) != self.num_frames:
            raise ValueError(
                f"'frames' are not the {self.num_frames} of the track"
            )


class CropEntry(Entry, frozen=True, kw_only=True):
    """A track whose crops are images in ``frame_dir``.

    Attributes:
        frame_dir: Their folder.
    """

    frame_dir: Place


class BoxEntry(Entry, frozen=True, kw_only=True):
    """A track whose crops are cut out of the video.

    Attributes:
        video: The file, relative to the root.
        member: Of an archive.
        square: Left, top, side in pixels; None: the whole image.
        distortions: Applied to the full frames, before the crop.
    """

    video: Relative
    member: Member | UnsetType = UNSET
    square: SquareRecord
    distortions: Text | UnsetType = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_distortions(self.distortions or '')


class _Head(Record, frozen=True):
    metainfo: Metainfo


class CropAnnotation(_Head, frozen=True):
    """An annotation file in MMEngine's format, of crops."""

    data_list: list[CropEntry]


class BoxAnnotation(_Head, frozen=True):
    """An annotation file in MMEngine's format, of places in videos."""

    data_list: list[BoxEntry]


Annotation = CropAnnotation | BoxAnnotation
T = TypeVar('T')


def read_annotation(path: str | os.PathLike) -> Annotation:
    """Read an annotation.

    Raises:
        DataError: It was not written by ``gml prepare``, or names a file that
            it must not; the message says which entry.
        OSError: It cannot be read.
    """

    def read(kind: type[T]) -> T:
        return read_record(
            path,
            kind,
            what='annotation of gml prepare',
            remedy='run gml prepare again',
            error=DataError,
        )

    if read(_Head).metainfo.store == 'boxes':
        return read(BoxAnnotation)
    return read(CropAnnotation)

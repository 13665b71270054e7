"""``manifest.json`` and ``report.json`` of prepared data, as records.

They may come from somebody else, together with the crops, so they are checked
when read. Fields are in the order in which they are written.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from gml_mmaction.faces.options import CropOptions
from gml_mmaction.faces.square import Square, padding
from gml_mmaction.faces.track import Track
from gml_mmaction.io.records import (
    UNSET,
    Count,
    Label,
    Number,
    Place,
    Record,
    Relative,
    Share,
    Text,
    UnsetType,
    as_json,
    read_record,
)
from gml_mmaction.io.rules import Rule, one_of
from gml_mmaction.video import Rates
from gml_mmaction.video.distortions import parse_distortions

__all__ = [
    'Failure',
    'Manifest',
    'Outcome',
    'Parameters',
    'PreparedVideo',
    'Report',
    'Row',
    'SquareRecord',
    'TrackRecord',
    'read_manifest',
    'read_report',
]

AGAIN = 'run gml prepare again'
T = TypeVar('T')
PIXELS = 2**15  # the largest coordinate in a frame that is accepted

Split = Annotated[str, one_of('train', 'val', 'test')]
Rate = Annotated[
    int | float | None,
    Rule(
        'a number, 0 or more, or null',
        lambda v: v is None or 0 <= v <= 2**63,
    ),
]
SquareRecord = Annotated[
    list[int] | None,  # null: images that are crops already
    Rule(
        'a square [left, top, side], or null',
        lambda v: (
            v is None
            or (
                len(v) == 3
                and all(-PIXELS <= one <= PIXELS for one in v)
                and v[2] > 0
            )
        ),
    ),
]


BoxRecord = Annotated[list[int], msgspec.Meta(min_length=4, max_length=4)]


class TrackRecord(Record, frozen=True, kw_only=True):
    """One face in one place of one shot.

    Attributes:
        start: The source frame where it begins.
        stop: The first source frame after it.
        num_frames: How many frames were saved.
        face_box: The face in frame ``start``: left, top, width, height; None
            if nothing was detected.
        face_score: dlib's confidence, likewise.
        n_faces: Number of faces in that frame, likewise.
        square: What was cut out: left, top, side, in source pixels; None: the
            whole image.
        padding: How far it is outside the frame: left, top, right, bottom.
        seen: Share of the track in which the face was seen.
        frames: Source frames that were saved, if they were taken by time.
    """

    start: Count
    stop: Count
    num_frames: Count
    face_box: BoxRecord | UnsetType | None = UNSET
    face_score: Number | UnsetType | None = UNSET
    n_faces: Count | UnsetType | None = UNSET
    square: SquareRecord
    padding: list[int] | UnsetType = UNSET
    seen: Share | UnsetType | None = UNSET
    frames: list[Count] | UnsetType = UNSET

    @classmethod
    def of(
        cls,
        track: Track,
        *,
        num_frames: int,
        width: int,
        height: int,
        start: int | None = None,
        stop: int | None = None,
        frames: list[int] | UnsetType = UNSET,
    ) -> 'TrackRecord':
        """Describe a track that has ended.

        Args:
            track: In positions of the taken frames.
            num_frames: How many were saved.
            width: Of the video's frames.
            height: Likewise.
            start: Its first frame in the video, if not its position.
            stop: The first frame after it, likewise.
            frames: See :class:`TrackRecord`.
        """
        assert track.stop is not None  # it has ended
        pad = (0, 0, 0, 0)
        if track.square:
            pad = padding(track.square, width=width, height=height)
        return cls(
            start=track.start if start is None else start,
            stop=track.stop if stop is None else stop,
            num_frames=num_frames,
            face_box=track.box and list(track.box),
            face_score=track.score and round(track.score, 6),
            n_faces=track.n_faces,
            square=track.square and list(track.square),
            padding=list(pad),
            seen=track.seen and round(track.seen, 4),
            frames=frames,
        )

    @property
    def track(self) -> Track:
        """The same as a track, to be cut out again."""
        x, y, w, h = self.face_box or (0, 0, 0, 0)
        return Track(
            self.start,
            Square(*self.square) if self.square else None,
            stop=self.stop,
            box=(x, y, w, h) if self.face_box else None,
            score=None if self.face_score is UNSET else self.face_score,
            n_faces=None if self.n_faces is UNSET else self.n_faces,
            seen=None if self.seen is UNSET else self.seen,
        )


class Outcome(Record, frozen=True, kw_only=True):
    """The result for a video: its tracks, or why there are none.

    Attributes:
        reason: Why there are no crops, see
            :class:`~gml_mmaction.video.VideoError`; unset if there are.
        detail: More about the reason, likewise.
        fps: Of the file, like ``width``, ``height`` and ``total_frames``.
        width: In pixels.
        height: In pixels.
        total_frames: Of the file.
        stride: Between the frames that were saved.
        rate: Saved frames a second; None if unknown.
        notes: What was odd, one line each.
        tracks: The faces that were cut out.
    """

    reason: Text | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    fps: Rate | UnsetType = UNSET
    width: Count | UnsetType = UNSET
    height: Count | UnsetType = UNSET
    total_frames: Count | UnsetType = UNSET
    stride: Count | UnsetType = UNSET
    rate: Rate | UnsetType = UNSET
    notes: list[str] | UnsetType = UNSET
    tracks: list[TrackRecord] | UnsetType = UNSET

    @property
    def is_prepared(self) -> bool:
        """Whether the video was prepared."""
        return not self.reason


# Keyword-only fields come last: those of the outcome follow these.
class PreparedVideo(Outcome, frozen=True):
    """One video of a manifest.

    Attributes:
        video_id: Its id, a path below ``frames``.
        path: Of the file, relative to the manifest's ``root``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        method: How it was made; ``'real'``.
        label: 0 = real, 1 = fake.
        people: Who is seen, if known.
        boxes_from: The file in which faces were searched, if another.
        mask: The mask that chose the face, if any.
        member: Folder in an archive.
        cropped: Whether it came as face crops.
        distortions: Those that were applied, as in ``'GB:3 JPEG:1'``.
        tracks_given: SHA-256 of tracks that were given, not searched.
        bytes: Size of the file.
    """

    video_id: Place
    path: Relative
    split: Split
    method: Text
    label: Label
    people: list[Text] | UnsetType = UNSET
    boxes_from: str | UnsetType = UNSET
    mask: str | UnsetType = UNSET
    member: Text | UnsetType = UNSET
    cropped: bool | UnsetType = UNSET
    distortions: Text | UnsetType = UNSET
    tracks_given: str | UnsetType = UNSET
    bytes: int | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_distortions(self.distortions or '')


class Parameters(
    Record, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """What all videos of a prepared set have in common.

    Attributes:
        origin: By split, what the videos are, if they are synthetic.
        source: Name of the data set.
        source_options: Those with which its videos were listed.
        max_frames: By split, the most source frames of a video.
        rules: How faces were found, in words.
        versions: Of packages, by name.

    The others are those of :class:`~gml_mmaction.faces.options.CropOptions`.
    """

    origin: dict[str, Text] | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    source_options: dict[str, Any] | UnsetType = UNSET
    size: Count | UnsetType = UNSET
    stride: Count | UnsetType = UNSET
    rate: Rate | UnsetType = UNSET
    store: Text | UnsetType = UNSET
    image: Text | UnsetType = UNSET
    quality: Count | UnsetType = UNSET
    min_frames: Count | UnsetType = UNSET
    tracks: Text | UnsetType = UNSET
    upsample: Count | UnsetType = UNSET
    search_stride: Count | UnsetType = UNSET
    check_stride: Count | UnsetType = UNSET
    lost: Count | UnsetType = UNSET
    landmarks: Text | UnsetType = UNSET
    max_frames: dict[str, Count | None] | UnsetType = UNSET
    rules: dict[str, Any] | UnsetType = UNSET
    versions: dict[str, str] | UnsetType = UNSET

    @property
    def crop_options(self) -> CropOptions:
        """How the videos became crops; unset fields have their defaults.

        Raises:
            ValueError: A value is out of its range.
        """
        names = [field.name for field in dataclasses.fields(CropOptions)]
        known = {name: getattr(self, name) for name in names}
        return CropOptions(
            **{name: value for name, value in known.items() if value != UNSET}
        )


class Manifest(
    Parameters, frozen=True, kw_only=True, forbid_unknown_fields=False
):
    """``manifest.json``: what was done to every video.

    Attributes:
        root: Folder of the videos, relative to the manifest's folder.
        videos: Those that were found, in the order of the source.
    """

    root: Text | UnsetType = UNSET
    videos: list[PreparedVideo]

    @property
    def parameters(self) -> dict[str, Any]:
        """All but the videos, fit for JSON."""
        return as_json(msgspec.structs.replace(self, videos=UNSET))

    def prepared(self, split: str) -> list[PreparedVideo]:
        """The videos of a split that were prepared."""
        return [v for v in self.videos if v.split == split and v.is_prepared]


class Row(Record, frozen=True, kw_only=True):
    """Numbers of videos of a split and a method, or of several.

    Attributes:
        split: As in a manifest.
        method: Likewise.
        expected: All that the source names.
        missing: Those without a file.
        found: Those with a file.
        prepared: Those that were prepared.
        failed: Those found but not prepared, by reason.
        tracks: Of the prepared ones.
        frames: Of these tracks.
        rates: The spread of their frames a second; None if unknown.
        notes: Number of videos by kind of note in the manifest.
    """

    split: Text
    method: Text = ''
    expected: Count = 0
    missing: Count
    found: Count = 0
    prepared: Count = 0
    failed: dict[str, Count]
    tracks: Count = 0
    frames: Count = 0
    rates: Rates | None = None
    notes: dict[str, Count] = {}


class Failure(Record, frozen=True, kw_only=True):
    """A video without crops, and why; see :class:`Outcome`."""

    video_id: str
    split: str
    reason: str
    detail: str


class Report(Record, frozen=True, kw_only=True):
    """``report.json``: numbers that add up to the input.

    Attributes:
        rows: By split and method.
        total: Their sum.
        failures: Videos that were found and not prepared.
        missing: Ids of those without a file.
        notes: The source's notes on the videos.
    """

    rows: list[Row]
    total: Row = msgspec.field(
        default_factory=lambda: Row(split='total', missing=0, failed={})
    )
    failures: list[Failure] = []
    missing: list[str] = []
    notes: list[str] = []


def read_manifest(folder: str | Path) -> Manifest | None:
    """Read ``manifest.json`` of a prepared folder; None if there is none.

    Args:
        folder: The folder; for ``''``, a config without a data set, the
            result is None.

    Raises:
        FileError: It was not written by ``gml prepare``.
        OSError: It cannot be read.
    """
    return _read(folder, 'manifest', Manifest)


def read_report(folder: str | Path) -> Report | None:
    """Read ``report.json`` likewise.

    Raises:
        FileError: It was not written by ``gml prepare``.
        OSError: It cannot be read.
    """
    return _read(folder, 'report', Report)


def _read(folder: str | Path, name: str, kind: type[T]) -> T | None:
    path = Path(folder, f'{name}.json')
    if folder == '' or not path.is_file():
        return None
    return read_record(path, kind, what=f'{name} of gml prepare', remedy=AGAIN)

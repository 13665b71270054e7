"""How a video becomes face crops: the choices of a whole data set."""

from dataclasses import asdict, dataclass
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.video import MAX_RATE

from .landmarks import LANDMARKS

__all__ = ['CropOptions']


@dataclass(frozen=True)
class CropOptions:
    """How a video becomes crops; the same for a whole data set.

    Attributes:
        size: Side of a saved crop in pixels (paper: 224).
        stride: Every ``stride``-th frame is saved (paper: 2).
        rate: Frames a second, saved by time instead, see
            :mod:`~gml_mmaction.video.sampling`. Each then counts as
            ``stride`` source frames in the options below.
        store: ``'crops'``: images are written. ``'boxes'``: no images are
            written; the same record says how to cut the same crops out of
            the video.
        image: ``'jpg'``, or ``'png'`` without loss.
        quality: Of JPEG files, 1 to 100.
        min_frames: A track with fewer saved frames is too short (paper: a
            clip has 8).
        tracks: ``'one'``: one face per video. ``'all'``: every face of every
            shot.
        upsample: How often a frame may be doubled to find smaller faces. It
            is doubled if all faces are wanted, if a mask chooses, or if no
            face of 80 pixels or more is found without doubling.
        search_stride: A face is searched for in every ``search_stride``-th
            source frame (among those saved) until one is found.
        check_stride: Likewise, how often it is searched for in its square.
        landmarks: ``'5'`` or ``'68'``: these points of the face are saved
            with each crop (:mod:`.landmarks`). ``'none'``.
        lost: If the face of a track was not seen for so many source frames,
            the track ends where it was last seen.

    Raises:
        SettingError: A value is out of its range.

    Paper: names size and stride; clips have 8 frames. JPEG quality 95 and
    everything else are ours.
    """

    size: int = 224
    stride: int = 2
    rate: float | None = None
    store: str = 'crops'
    image: str = 'jpg'
    quality: int = 95
    min_frames: int = 8
    tracks: str = 'one'
    upsample: int = 1
    search_stride: int = 10
    check_stride: int = 50
    lost: int = 100
    landmarks: str = 'none'

    def __post_init__(self) -> None:
        for name, low, high in (
            ('size', 1, 4096),
            ('stride', 1, 1000),
            ('quality', 1, 100),
            ('min_frames', 1, 10**6),
            ('upsample', 0, 4),
            ('search_stride', 1, 10**6),
            ('check_stride', 1, 10**6),
            ('lost', 1, 10**6),
        ):
            if not low <= getattr(self, name) <= high:
                raise SettingError(
                    f'{name} is {getattr(self, name)}; '
                    f'it must be {low} to {high}'
                )
        if self.rate is not None and not 0.1 <= self.rate <= MAX_RATE:
            raise SettingError(
                f'rate is {self.rate}; it must be 0.1 to {MAX_RATE:g}'
            )
        for name, known in (
            ('store', ('crops', 'boxes')),
            ('image', ('jpg', 'png')),
            ('tracks', ('one', 'all')),
            ('landmarks', LANDMARKS),
        ):
            if getattr(self, name) not in known:
                raise SettingError(
                    f'{name} is {getattr(self, name)!r}; '
                    f'it must be {" or ".join(map(repr, known))}'
                )

    @property
    def recorded(self) -> dict[str, Any]:
        """All by name, without landmarks where there are none.

        So older sets, which do not name them, are continued.
        """
        values = asdict(self)
        if self.landmarks == 'none':
            del values['landmarks']
        return values

    @property
    def filename_tmpl(self) -> str:
        """Template for the name of the n-th crop of a track."""
        return f'{{:06}}.{self.image}'

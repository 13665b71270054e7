"""Figures of the paper, for videos of one's own, and of Grad-CAM.

A row is a moment of a video, real or fake, a column what is seen there. All
maps of a column have one colour scale, from 0 to their largest value, so that
real and fake compare.

Images are RGB, uint8, ``(H, W, 3)``; maps are ``(h, w)``, 0 or above.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gml_mmaction.explain.flow import GAIN, draw_flow, optical_flow
from gml_mmaction.faces import crop, detect_faces, square_around
from gml_mmaction.io.text import counted, figure_text
from gml_mmaction.video import Frames, Taken, VideoError, open_video

from .palette import FAKE, REAL

__all__ = ['FaceClip', 'draw_cam', 'draw_fig1', 'draw_fig3', 'face_clip']

SEARCH_STRIDE = 10  # frames; as in preparing data
ZOOM = 3  # of arrows' pictures
LABELS = {
    0: ('real\n', REAL),
    1: ('fake\n', FAKE),
    None: ('', 'black'),
}
TITLES = {
    'cstm': 'CSTM\n$|F^S|$',
    'motion': 'motion\n$|F^M|$',
    'consistency': 'consistency\n$|F^{MM}|$',
    'clue': 'forgery clue\n$|F^*|$',
}
CELL = 1.7  # inches


@dataclass(frozen=True)
class FaceClip:
    """Face crops of a video, of the same place in every frame.

    Attributes:
        name: Of the file.
        label: 0 real, 1 fake, None unknown.
        crops: ``(S, S, 3)`` RGB uint8 each.
        frames: Numbers of their frames in the video.
        seconds: Their times; None where unknown.
    """

    name: str
    label: int | None
    crops: Sequence[np.ndarray]
    frames: Sequence[int]
    seconds: Sequence[float | None]

    def caption(self, i: int) -> str:
        """Video and moment of a crop, a line each."""
        seconds = self.seconds[i]
        when = f'frame {self.frames[i]}'
        if seconds is not None:
            when = f'{seconds:.2f} s'
        name = self.name if len(self.name) <= 16 else self.name[:15] + '…'
        return f'{figure_text(name)}\n{when}'


def face_clip(
    path: str | Path,
    label: int | None,
    *,
    take: Callable[[Frames], Taken],
    size: int = 224,
    num_frames: int = 8,
    start: float = 0.0,
) -> FaceClip:
    """Cut the largest face out of a video, from where it is seen first.

    The square is that of the first frame with a face, as in prepared data.

    Args:
        path: A video, or a folder or archive of images.
        label: 0 real, 1 fake, None unknown.
        size: Side of the crops in pixels.
        take: Which frames of the video are taken, such as
            :meth:`gml_mmaction.apis.Detector.take`.
        num_frames: Crops that are wanted.
        start: Seconds from which on a face is looked for; frames where the
            video has no rate.

    Raises:
        VideoError: The video cannot be read, has no face, or ends too soon.
        FileNotFoundError: The file does not exist.
    """
    try:
        with open_video(path) as video:
            taken = take(video)
            first = bisect_left(taken.indices, video.index_at(start))
            step = max(1, SEARCH_STRIDE // taken.stride)
            for begin in range(first, len(taken.indices), step):
                faces = detect_faces(
                    video.frames_at([taken.indices[begin]])[0]
                )
                if faces:
                    break
            else:
                raise VideoError('no face', f'none from {start:g} s on')
            frames = taken.indices[begin : begin + num_frames]
            if len(frames) < num_frames:
                raise VideoError(
                    'too short',
                    f'{counted(num_frames, "frame")} are needed from frame '
                    f'{frames[0]} on, there are {len(frames)}',
                )
            square = square_around(faces[0].box)
            crops = [crop(f, square, size) for f in video.frames_at(frames)]
            seconds = [video.seconds_at(frame) for frame in frames]
    except VideoError as error:
        raise VideoError(error.reason, f'{path}: {error.detail}') from error
    return FaceClip(Path(path).name, label, crops, frames, seconds)


def draw_fig1(
    clips: Sequence[FaceClip],
    out: str | Path,
    *,
    moments: Sequence[int],
    spacing: int = 20,
) -> Path:
    """Draw optical flow and how it changes, as Fig. 1 does.

    Paper: the first and third column are the flow of a fake and a real face;
    the second and fourth show "motion inconsistency", with no word on how.
    We show how far the flow of a pixel differs from the one before it,
    ``|w_t - w_{t-1}|``, which is what Eq. 2 does to features.

    Args:
        clips: Of consecutive frames, above all moments by one or more.
        out: The image to write.
        moments: Indices t of crops that are shown, 1 or above.
        spacing: Pixels of the crop from one arrow to the next.

    Returns:
        ``out``.
    """
    captions, arrows, changes = [], [], []
    for clip in clips:
        flows = {t: _flow(clip, t) for m in moments for t in (m - 1, m)}
        for t in moments:
            now, later = clip.crops[t : t + 2]
            captions.append((clip.label, clip.caption(t)))
            arrows.append(draw_flow(now, later, spacing=spacing, zoom=ZOOM))
            change = flows[t] - flows[t - 1]
            changes.append(np.hypot(change[..., 0], change[..., 1]))
    columns = {
        f'optical flow\n(arrows {GAIN:g} times as long)': arrows,
        'change of the flow\nin pixels': changes,
    }
    return _draw_grid(captions, columns, out)


def draw_fig3(
    clips: Sequence[FaceClip],
    scores: Sequence[float],
    maps: Mapping[str, np.ndarray],
    out: str | Path,
    *,
    moments: Sequence[int],
) -> Path:
    """Draw what a network sees, beside the image, as Fig. 3 does.

    Args:
        clips: N of them, T crops each.
        scores: P(fake) of each.
        maps: ``(N, T, h, w)`` by name, as
            :func:`~gml_mmaction.explain.feature_maps.feature_maps`
            gives them.
        out: The image to write.
        moments: Indices of the crops that are shown, 0 to T - 1.

    Returns:
        ``out``.
    """
    columns = {'image': _at(moments, [clip.crops for clip in clips])}
    for name, values in maps.items():
        columns[TITLES[name]] = _at(moments, values)
    return _draw_grid(_captions(clips, scores, moments), columns, out)


def draw_cam(
    clips: Sequence[FaceClip],
    scores: Sequence[float],
    blended: Iterable[np.ndarray],
    maps: Iterable[np.ndarray],
    out: str | Path,
    *,
    moments: Sequence[int],
) -> Path:
    """Draw Grad-CAM of fake beside the image.

    Over the image a map is shown as a share of its clip's maximum, which may
    be next to nothing; by itself it has the scale of all clips.

    Args:
        clips: N of them, T crops each.
        scores: P(fake) of each.
        blended: ``(N, T, H, W, 3)``, RGB in [0, 1]: images under their maps.
        maps: ``(N, T, h, w)``, 0 or above.
        out: The image to write.
        moments: Indices of the crops that are shown, 0 to T - 1.

    Returns:
        ``out``.
    """
    columns = {
        'image': _at(moments, [clip.crops for clip in clips]),
        "share of\nthe clip's maximum": _at(moments, blended),
        'Grad-CAM\nof fake': _at(moments, maps),
    }
    return _draw_grid(_captions(clips, scores, moments), columns, out)


def _at(
    moments: Sequence[int], clips: Iterable[Sequence[np.ndarray] | np.ndarray]
) -> list[np.ndarray]:
    return [clip[t] for clip in clips for t in moments]


def _captions(
    clips: Sequence[FaceClip], scores: Sequence[float], moments: Sequence[int]
) -> list[tuple[int | None, str]]:
    return [
        (clip.label, f'{clip.caption(t)}\nclip score {score:.3f}')
        for clip, score in zip(clips, scores, strict=True)
        for t in moments
    ]


def _flow(clip: FaceClip, t: int) -> np.ndarray:
    return optical_flow(*clip.crops[t : t + 2])


def _draw_grid(
    captions: Sequence[tuple[int | None, str]],
    columns: Mapping[str, Sequence[np.ndarray]],
    out: str | Path,
) -> Path:
    """Write a row for each caption, a column of images or maps for each name.

    Args:
        captions: Label and text.
        columns: As many pictures each.
        out: The image to write.
    """
    size = (CELL * (len(columns) + 0.8), CELL * (len(captions) + 0.5))
    figure = Figure(figsize=size, layout='compressed')
    axes = figure.subplots(len(captions), len(columns), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, (label, text) in zip(axes[:, 0], captions, strict=True):
        word, colour = LABELS[label]
        axis.set_ylabel(
            f'{word}{text}', color=colour, rotation=0, fontsize='small'
        )
        axis.yaxis.label.set(ha='right', va='center')
    for column, (name, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(name, fontsize='medium')
        _fill(figure, column, pictures)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    return out


def _fill(
    figure: Figure, column: Sequence[Axes], pictures: Sequence[np.ndarray]
) -> None:
    """Show pictures of one column, maps with one colour scale and its bar."""
    if pictures[0].ndim == 3:
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture)
        return
    highest = max(float(picture.max()) for picture in pictures)
    for axis, picture in zip(column, pictures, strict=True):
        image = axis.imshow(
            picture,
            cmap='inferno',
            vmin=0,
            vmax=highest or 1,
            interpolation='bilinear',
        )
    bar = figure.colorbar(
        image,
        ax=list(column),
        location='bottom',
        aspect=15,
        ticks=MaxNLocator(3),
    )
    bar.ax.tick_params(labelsize='x-small')
    bar.ax.xaxis.get_offset_text().set_fontsize('x-small')

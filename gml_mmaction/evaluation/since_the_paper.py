"""Video detectors since the paper: their configs and published numbers.

Theirs are trained on FaceForensics++ (c23). What is not known, such as the
level of the paper's own numbers, is said so. Ours stay empty until they are
measured.
"""

from typing import NamedTuple

__all__ = ['CONTROLS', 'PUBLISHED', 'SYSTEMS', 'Published']

# Row label -> config: configs/<value>_ffpp.py, and <value>-small_demo.py.
SYSTEMS = {
    'FTCN': 'video/ftcn_i3d-r50',
    'AltFreezing': 'video/altfreezing_i3d-r50',
    'TALL': 'video/tall_swin-b',
    'ISTVT': 'video/istvt_xception',
    'TimeSformer': 'video/timesformer_vit-b',
    'Video Swin': 'video/videoswin-t',
    'VideoMAE (ViT-S)': 'video/videomae_vit-s',
    'X3D': 'video/x3d_m',
    'CSN': 'video/csn_r50',
    'TSM': 'video/tsm_r50',
    'R(2+1)D': 'video/r2plus1d_r34',
}
# Without any sense of time: what a video detector has to be better than.
CONTROLS = {
    'Xception, clip (control)': 'ablation/xception-clip',
    'TSN (control)': 'baselines/tsn_r50',
}


class Published(NamedTuple):
    """A published number.

    Attributes:
        system: A key of :data:`SYSTEMS`, or GML.
        target: Data set that it was tested on: Celeb-DF v2, DFDC.
        auc: Per cent.
        level: ``'video'``, or ``'unstated'``.
        measured_by: Whose paper has it.
    """

    system: str
    target: str
    auc: float
    level: str
    measured_by: str


PUBLISHED = (
    Published('GML', 'Celeb-DF v2', 75.3, 'unstated', 'its authors'),
    Published('FTCN', 'Celeb-DF v2', 86.9, 'video', 'its authors'),
    Published('FTCN', 'DFDC', 74.0, 'video', 'its authors'),
    Published('AltFreezing', 'Celeb-DF v2', 89.5, 'video', 'its authors'),
    Published('TALL', 'Celeb-DF v2', 90.8, 'video', 'its authors'),
    Published('TALL', 'DFDC', 76.8, 'video', 'its authors'),
)

"""A verdict on your own video, from a checkpoint and a file.

``load_detector`` reads a checkpoint, ``analyse`` follows and scores the faces
of one video, and ``ForgeryInferencer`` does both for many, like MMAction2's
inferencers. Not imported with the package: it needs OpenCV, and dlib and PyAV
when a video is opened.
"""

from gml_mmaction.errors import DetectorError

from .analysis import Analysis, analyse
from .detector import Detector
from .detector_facts import Threshold
from .inferencer import ForgeryInferencer
from .inputs import list_inputs
from .loading import load_detector

__all__ = [
    'Analysis',
    'Detector',
    'DetectorError',
    'ForgeryInferencer',
    'Threshold',
    'analyse',
    'list_inputs',
    'load_detector',
]

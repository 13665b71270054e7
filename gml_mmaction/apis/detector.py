"""A detector: a network, and the clips of face crops that it scores."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel

from gml_mmaction.engine.reference import Look, look_of
from gml_mmaction.engine.settings import tested_set
from gml_mmaction.errors import DetectorError, GMLError
from gml_mmaction.explain.cam import LayerError, cam_maps
from gml_mmaction.explain.feature_maps import clue_maps, has_clue
from gml_mmaction.explain.shortage import telling_shortage
from gml_mmaction.io.text import counted, one_line
from gml_mmaction.video import Frames, Taken, at_rate, every

from .detector_facts import DetectorFacts
from .detector_records import ANOTHER

__all__ = ['Detector']

HEATS = ('auto', 'clue', 'cam', 'none')


@dataclass(kw_only=True)
class Detector(DetectorFacts):
    """A network that is ready to score clips, and what is known of it.

    Attributes:
        model: In evaluation mode, on its device.
    """

    model: BaseModel

    def __post_init__(self) -> None:
        self._proven = False  # a clip went through the network
        pipeline = tested_set(self.cfg).pipeline
        self._pack = Compose([TRANSFORMS.build(step) for step in pipeline[1:]])

    def take(self, reader: Frames) -> Taken:
        """Choose the frames of a video to score, by time."""
        stride = self.crop_options.stride
        if self.rates is None:
            return every(reader, stride)
        return at_rate(reader, self.rates, stride)

    def encode(self, crop: np.ndarray) -> np.ndarray:
        """Change a crop as saving changed the training crops.

        Args:
            crop: (S, S, 3), RGB, uint8.
        """
        if (
            self.crop_options.store != 'crops'
            or self.crop_options.image != 'jpg'
        ):
            return crop
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.crop_options.quality]
        bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode('.jpg', bgr, quality)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)

    def pack(self, clips: Sequence[Sequence[np.ndarray]]) -> dict:
        """Put clips through the config's test pipeline and collate them.

        Args:
            clips: Each ``clip_len`` crops (S, S, 3), RGB, uint8.

        Returns:
            What the model's ``test_step`` takes.
        """
        return pseudo_collate([self._pack(self._item(clip)) for clip in clips])

    def score(
        self, clips: Sequence[Sequence[np.ndarray]], heat: str = 'none'
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Score clips, and say where in them.

        Args:
            clips: As in :meth:`pack`.
            heat: ``'clue'``: mean over channels of the forgery clues ``|F*|``
                of the AD block (Sec. 2.3). ``'cam'``: Grad-CAM of the class
                fake. ``'auto'``: the clue where the network has an AD block,
                else the other, if it gives a map. ``'none'``: nothing.

        Returns:
            P(fake), ``(N,)``, and maps ``(N, T, h, w)``, not negative, or
            None.

        Raises:
            DetectorError: ``'clue'`` for a network without an AD block,
                an unknown ``heat``, or a config whose clips its network
                cannot take.
            ShortageError: The clips do not fit the device's memory.
        """
        kind = self.heat_kind(heat)
        with self._proving(), self._fitting(len(clips)):
            return self._score(self.pack(clips), kind)

    def examine(
        self, clips: Sequence[Sequence[np.ndarray]], heat: str = 'none'
    ) -> tuple[np.ndarray, np.ndarray | None, list[Look | None]]:
        """As :meth:`score`, and say what each clip looks like."""
        kind = self.heat_kind(heat)
        with self._proving(), self._fitting(len(clips)):
            data = self.pack(clips)
            looks = [look_of(inputs) for inputs in data['inputs']]
            return *self._score(data, kind), looks

    def _fitting(self, clips: int) -> AbstractContextManager[None]:
        """Name the batch for which the memory does not suffice."""

        def explain() -> str:
            ways = ['--device cpu'] * (self.device.type != 'cpu')
            if clips > 1:
                ways.insert(0, f'--batch-size {clips // 2} of gml predict')
            remedy = ', or '.join(ways) or 'a machine with more memory'
            return (
                f'{self.device} has too little memory for '
                f'{counted(clips, "clip")} at once. Remedy: {remedy}'
            )

        return telling_shortage(explain)

    @contextmanager
    def _proving(self) -> Iterator[None]:
        """Blame the config as long as no clip has passed."""
        try:
            yield
        except GMLError:
            raise
        except Exception as error:
            if self._proven:
                raise
            # no clip ever passed: the config contradicts itself
            raise DetectorError(
                f'{self.checkpoint}: its network cannot take the clips that '
                f'its config makes: {one_line(error):.300}. {ANOTHER}'
            ) from error
        self._proven = True

    def _score(
        self, data: dict, kind: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if kind == 'none':
            with torch.inference_mode():
                samples = self.model.test_step(data)
            fake = [float(sample.pred_score[1]) for sample in samples]
            return np.asarray(fake), None
        maps_of = clue_maps if kind == 'clue' else cam_maps
        scores, maps = maps_of(self.model, data)
        return scores.cpu().double().numpy(), maps.cpu().numpy()

    def heat_kind(self, heat: str) -> str:
        """Return ``'clue'``, ``'cam'`` or ``'none'`` for a choice of heat.

        Raises:
            DetectorError: An unknown choice, or one that the network does
                not give.
        """
        if heat not in HEATS:
            raise DetectorError(f'heat={heat!r}: use one of {HEATS}')
        if heat == 'clue' and not self._has_clue:
            raise DetectorError(
                f'{self.checkpoint}: its network has no AD block and '
                "no forgery clue; use heat='cam'"
            )
        if heat == 'cam' and not self._gives_maps:
            raise DetectorError(
                f'{self.checkpoint}: its network gives no map that Grad-CAM '
                "could explain; use heat='none'"
            )
        if heat != 'auto':
            return heat
        if self._has_clue:
            return 'clue'
        return 'cam' if self._gives_maps else 'none'

    def heat_ends(self, kind: str) -> tuple[float, float] | None:
        """Where heat begins to show and is full, by genuine videos.

        None where the checkpoint does not say that of this kind.
        """
        scale = self.reference and self.reference.heat
        if not scale or scale.kind != kind or scale.ends[0] >= scale.ends[1]:
            return None
        return scale.ends

    @property
    def _has_clue(self) -> bool:
        return has_clue(self.model)

    @functools.cached_property
    def _gives_maps(self) -> bool:
        """Whether Grad-CAM explains a black clip."""
        side = self.crop_options.size
        clip = [np.zeros((side, side, 3), np.uint8)] * self.clip_len
        try:
            cam_maps(self.model, self.pack([clip]))
        except LayerError:
            return False
        except Exception:  # score tells what is wrong with the config
            return True
        return True

    def _item(self, clip: Sequence[np.ndarray]) -> dict:
        return dict(
            imgs=list(clip),
            img_shape=clip[0].shape[:2],
            original_shape=clip[0].shape[:2],
            modality='RGB',
            clip_len=self.clip_len,
            num_clips=1,
            label=0,  # unknown; the pipeline packs one
            video_id='',
            track=0,
            clip_index=0,
            method='',
            source_inds=np.arange(len(clip)),
            frame_inds=np.arange(len(clip)),
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

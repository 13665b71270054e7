"""Endless sampling for training: which clip comes next, and its random draws.

A sampler numbers what it draws, and the dataset seeds each draw by its number
(:func:`seeded`, :func:`~gml_mmaction.host.runs.seed_numbered_draws`): a clip's
start and augmentation depend on the seed of the run and on nothing else,
neither on the number of worker processes nor on whether the run was
interrupted. Several training processes share the draws of one: together they
see the same batches.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmaction.registry import DATA_SAMPLERS
from mmengine.dataset import InfiniteSampler

from gml_mmaction.errors import SettingError

__all__ = [
    'BalancedSampler',
    'ClipSampler',
    'DrawnIndex',
    'PairSampler',
    'seeded',
]


class DrawnIndex(int):
    """An index into a dataset, drawn in training.

    Attributes:
        seed: Of the run.
        number: Of the draw in the run, from 0, over all processes.
    """

    seed: int
    number: int

    def __new__(cls, index: int, seed: int, number: int) -> 'DrawnIndex':
        draw = super().__new__(cls, index)
        draw.seed, draw.number = seed, number
        return draw

    # an int's own has one argument, as its __new__ has
    def __getnewargs__(self) -> tuple[int, int, int]:  # type: ignore[override]
        return int(self), self.seed, self.number


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Let NumPy, Python and PyTorch (CPU) draw from a seed of their own.

    Their states are put back at the end.

    Args:
        entropy: Numbers from 0 on, all of which count.
    """
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    set_seeds(*entropy)
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])


def set_seeds(*entropy: int) -> None:
    """Seed NumPy, Python and PyTorch (CPU); all numbers count."""
    words = np.random.SeedSequence(entropy).generate_state(4)
    np.random.seed(words[0])
    random.seed(int(words[1]))
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))


@DATA_SAMPLERS.register_module()
class ClipSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler``, whose indices are numbered draws.

    Args:
        dataset: The dataset.
        shuffle: Whether to shuffle.
        seed: Of the shuffling and the draws; None shares a random one between
            processes.
    """

    together = 1  # consecutive draws that go to the same process

    def _indices_of_rank(self) -> Iterator[DrawnIndex]:
        """Yield the draws of this process."""
        for number, index in enumerate(self._infinite_indices()):
            if number // self.together % self.world_size == self.rank:
                yield DrawnIndex(index, self.seed, number)


@DATA_SAMPLERS.register_module()
class BalancedSampler(ClipSampler):
    """Endless indices, real and fake in turn, each class shuffled anew.

    For iteration-based training, in place of :class:`ClipSampler`;
    every batch of even size is half real, in each of several processes too,
    which take a real and a fake in turn. The smaller class is repeated.

    Paper: silent on the 1:4 imbalance of FaceForensics++; the configs keep
    the natural ratio, and this sampler is an option.

    Args:
        dataset: A dataset whose items have a ``label``, 0 or 1.
        shuffle: Whether to shuffle within a class.
        seed: Of the shuffling; None shares a random one between processes.

    Raises:
        SettingError: If one class is absent.
    """

    together = 2

    def _infinite_indices(self) -> Iterator[int]:
        """Yield indices, a real and a fake in turn."""
        labels = torch.tensor(
            [self.dataset.get_data_info(i)['label'] for i in range(self.size)]
        )
        generator = torch.Generator().manual_seed(self.seed)
        classes = []
        for label, name in enumerate(('real', 'fake')):
            members = (labels == label).nonzero().flatten()
            if not len(members):
                raise SettingError(
                    'train_dataloader.sampler.type=BalancedSampler: the '
                    f'training set has no {name} video. Remedy: ClipSampler'
                )
            classes.append(self._cycle(members, generator))
        while True:
            yield from map(next, classes)

    def _cycle(
        self, members: torch.Tensor, generator: torch.Generator
    ) -> Iterator[int]:
        while True:
            order = torch.arange(len(members))
            if self.shuffle:
                order = torch.randperm(len(members), generator=generator)
            yield from members[order].tolist()


@DATA_SAMPLERS.register_module()
class PairSampler(ClipSampler):
    """Endless indices of ``GenuineClipDataset``: a clip, then its fake.

    Both are one draw: they share its number, hence start, augmentation and
    all that makes the fake. The pairs are shuffled anew in each round.

    Args:
        dataset: Its items 2i and 2i + 1 are a pair.
        shuffle: Whether to shuffle the pairs.
        seed: Of the shuffling and the draws; None shares a random one between
            processes.

    Raises:
        SettingError: If the items are no such pairs.
    """

    together = 2

    def _indices_of_rank(self) -> Iterator[DrawnIndex]:
        for draw in super()._indices_of_rank():
            yield DrawnIndex(int(draw), draw.seed, draw.number // 2)

    def _infinite_indices(self) -> Iterator[int]:
        labels = [self.dataset.get_data_info(i)['label'] for i in (0, 1)]
        if labels != [0, 1]:
            raise SettingError(
                'train_dataloader.sampler.type=PairSampler: the training set '
                'is not of pairs. Remedy: train_dataloader.dataset.type='
                'GenuineClipDataset'
            )
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            pairs = torch.arange(self.size // 2)
            if self.shuffle:
                pairs = torch.randperm(self.size // 2, generator=generator)
            for pair in pairs.tolist():
                yield from (2 * pair, 2 * pair + 1)

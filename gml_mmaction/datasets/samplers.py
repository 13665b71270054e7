"""Endless sampling for training: which clip comes next, and its random draws.

A sampler numbers what it draws, and the dataset seeds each draw by its number
(:func:`seeded`, :func:`~gml_mmaction.host.runs.seed_numbered_draws`): a clip's
start and augmentation depend on the seed of the run and on nothing else,
neither on the number of worker processes nor on whether the run was
interrupted. Several training processes share the draws of one: together they
see the same batches.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmaction.registry import DATA_SAMPLERS
from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log

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

    def _cycle(
        self, members: torch.Tensor, generator: torch.Generator
    ) -> Iterator[int]:
        """Yield members over and over, shuffled anew in each round."""
        while True:
            order = torch.arange(len(members))
            if self.shuffle:
                order = torch.randperm(len(members), generator=generator)
            yield from members[order].tolist()


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


@DATA_SAMPLERS.register_module()
class PairSampler(ClipSampler):
    """Endless indices: a genuine clip, then fakes of the same video.

    They are one draw: they share its number, hence augmentation, start (if
    the tracks are equally long) and, of ``GenuineClipDataset``, all that
    makes the fake. Nothing but the forgery tells them apart. A batch whose
    size is a multiple of ``1 + fakes`` has whole groups, in each of several
    processes too.

    A round visits each genuine track that has fakes once, shuffled anew; the
    fakes of a video take turns, shuffled anew when all had theirs. What has
    no partner is left out.

    Source: GenD (WACV 2026) calls a real and a fake of one video in a batch
    essential. One fake a draw and the shared augmentation: our choice.

    Args:
        dataset: Its items have a ``label`` and a ``pair``, the same text for
            a genuine video and what was made of it, ``''`` if that is not
            known.
        fakes: How many follow a genuine clip, 1 or more. A video with fewer
            has some of them twice.
        shuffle: Whether to shuffle.
        seed: Of the shuffling and the draws; None shares a random one between
            processes.

    Raises:
        SettingError: ``fakes`` is below 1; no genuine item has a fake.
    """

    def __init__(self, dataset: Any, fakes: int = 1, **kwargs: Any) -> None:
        if fakes < 1:
            raise SettingError(
                f'train_dataloader.sampler.fakes={fakes}: no pairs. Remedy: '
                '1 or more'
            )
        super().__init__(dataset, **kwargs)
        self.together = 1 + fakes

    def _indices_of_rank(self) -> Iterator[DrawnIndex]:
        for draw in super()._indices_of_rank():
            number = draw.number // self.together
            yield DrawnIndex(int(draw), draw.seed, number)

    def _infinite_indices(self) -> Iterator[int]:
        groups = self._groups()
        generator, choices = (
            torch.Generator().manual_seed(self.seed) for _ in range(2)
        )
        turns = [self._cycle(fakes, choices) for _, fakes in groups]
        of_track = [
            (real, group)
            for group, (reals, _) in enumerate(groups)
            for real in reals.tolist()
        ]
        for visit in self._cycle(torch.arange(len(of_track)), generator):
            real, group = of_track[visit]
            yield real
            yield from islice(turns[group], self.together - 1)

    def _groups(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Indices of genuine items, and of the fakes that belong to them."""
        found: dict[tuple[int, str], tuple[list[int], list[int]]] = {}
        # of joined sets, which may have names in common
        ends = getattr(self.dataset, 'cumulative_sizes', ())
        for index in range(self.size):
            info = self.dataset.get_data_info(index)
            if info.get('pair'):
                key = bisect_right(ends, index), info['pair']
                group = found.setdefault(key, ([], []))
                group[info['label']].append(index)
        groups = [group for group in found.values() if all(group)]
        if not groups:
            raise SettingError(
                'train_dataloader.sampler.type=PairSampler: the training set '
                'is not of pairs: no fake says which of its real videos it '
                'was made of. Remedy: run gml prepare again, which adds that '
                'where the data set tells, or type=BalancedSampler'
            )
        used = sum(len(part) for group in groups for part in group)
        if used < self.size:
            print_log(
                f'PairSampler: left out {self.size - used} of {self.size} '
                'tracks, which have no partner',
                logger='current',
            )
        return [(torch.tensor(a), torch.tensor(b)) for a, b in groups]

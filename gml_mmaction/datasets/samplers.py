"""Sampling that balances real and fake."""

from collections.abc import Iterator

import torch
from mmaction.registry import DATA_SAMPLERS
from mmengine.dataset import InfiniteSampler


@DATA_SAMPLERS.register_module()
class BalancedSampler(InfiniteSampler):
    """Endless indices, real and fake in turn, each class shuffled anew.

    For iteration-based training, in place of MMEngine's ``InfiniteSampler``;
    every batch of even size is half real, in each of several processes too.
    The smaller class is repeated.

    Paper: silent on the 1:4 imbalance of FaceForensics++; the configs keep
    the natural ratio, and this sampler is an option.

    Args:
        dataset: A dataset whose items have a ``label``, 0 or 1.
        shuffle: Whether to shuffle within a class.
        seed: Of the shuffling; None shares a random one between processes.

    Raises:
        ValueError: If one class is absent.
    """

    def _infinite_indices(self) -> Iterator[int]:
        """Yield indices, alternating ``world_size`` reals and fakes."""
        labels = torch.tensor(
            [self.dataset.get_data_info(i)['label'] for i in range(self.size)]
        )
        generator = torch.Generator().manual_seed(self.seed)
        classes = []
        for label, name in enumerate(('real', 'fake')):
            members = (labels == label).nonzero().flatten()
            if not len(members):
                raise ValueError(
                    f'BalancedSampler: the training set has no {name} video; '
                    'use InfiniteSampler'
                )
            classes.append(self._cycle(members, generator))
        while True:
            for members in classes:
                # Ranks take every world_size-th index.
                for _ in range(self.world_size):
                    yield next(members)

    def _cycle(
        self, members: torch.Tensor, generator: torch.Generator
    ) -> Iterator[int]:
        while True:
            order = torch.arange(len(members))
            if self.shuffle:
                order = torch.randperm(len(members), generator=generator)
            yield from members[order].tolist()

"""What a training imports to be told from another to many digits.

In single precision the tiny network of the tests, with statistics of four
clips of noise, answers to another order of the same batch by gradients that
differ by per cents (rectifiers and poolings switch); in double by 1e-12.
"""

import torch
from mmaction.models import ActionDataPreprocessor
from mmaction.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double  # logits, the L1 loss


@MODELS.register_module()
class ExactPreprocessor(ActionDataPreprocessor):
    """Clips in double precision."""

    def forward(self, data, training=False):
        data = super().forward(data, training)
        return dict(data, inputs=data['inputs'].double())


@HOOKS.register_module()
class FrozenNormsHook(Hook):
    """Batch norms keep their statistics, which no batch can then change."""

    def before_train_iter(self, runner, *_, **__):
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()

"""Networks with random weights, compared with published ones.

``from networks import ...`` works in every test below this folder.
"""

import torch
from torch import nn


def randomise(module, seed=0):
    """Fill every parameter and running statistic, keeping them sane."""
    torch.manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() > 1:
            nn.init.kaiming_uniform_(tensor)
        else:
            tensor.uniform_(-0.5, 0.5).add_('weight' in name)
    return module


def load_in_order(ours, theirs):
    """Copy ``theirs`` weights into ``ours``, tensor by tensor as they stand.

    For networks alike in structure but not in names; raises AssertionError
    where a shape differs.
    """
    mine, other = ours.state_dict(), theirs.state_dict()
    assert len(mine) == len(other), (len(mine), len(other))
    for key, value in zip(mine, other.values(), strict=True):
        assert mine[key].shape == value.shape, key
        mine[key] = value
    ours.load_state_dict(mine)


def relative_error(ours, theirs):
    """Largest difference over the largest value of ``theirs``."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def pack(clips, labels):
    """A batch as pipelines pack it, of clips ``(N, 3, T, H, W)``."""
    from mmaction.structures import ActionDataSample

    samples = [ActionDataSample().set_gt_label(k) for k in labels]
    return dict(inputs=[clip[None] for clip in clips], data_samples=samples)


@torch.no_grad()
def predict(model, clips):
    """MMAction2's own ``predict``: samples with scores, evaluation mode."""
    model.eval()
    data = model.data_preprocessor(pack(clips, [0] * len(clips)), False)
    return model(**data, mode='predict')


def predict_and_loss(model, clips, labels):
    """Run MMAction2's own ``loss`` and ``predict`` on packed clips.

    Args:
        model: A recogniser built from a config.
        clips: ``(N, 3, T, H, W)``, grey levels 0 to 255.
        labels: N of them, 0 or 1.

    Returns:
        The dict of losses (training mode) and the predicted samples
        (evaluation mode).
    """
    model.train()
    data = model.data_preprocessor(pack(clips, labels), True)
    losses = model(**data, mode='loss')
    return losses, predict(model, clips)

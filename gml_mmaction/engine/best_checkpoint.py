"""Which checkpoint counts as the best."""

from operator import ge, le

from mmaction.registry import HOOKS
from mmengine.hooks import CheckpointHook


@HOOKS.register_module()
class LatestBestCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``; of equally good ones it keeps the latest.

    A small validation set is soon told apart without an error. MMEngine keeps
    the first checkpoint that does so; those after it have learnt more.
    """

    rule_map = {'greater': ge, 'less': le}

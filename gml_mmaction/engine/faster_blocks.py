"""The faster motion blocks in a runner that another tool builds."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from gml_mmaction.kernels import accelerate

from .accelerator import check_kernel

__all__ = ['FasterBlocksHook']


@HOOKS.register_module()
class FasterBlocksHook(Hook):
    """Let the motion blocks take their faster passes (:func:`.accelerate`).

    MMAction2's own tools build a runner without :func:`.build_runner`, which
    has done the same before this hook runs. A compiled backbone keeps the
    definition (:func:`.compile_backbone`).

    Raises:
        SettingError: See :func:`.check_kernel`.
    """

    priority = 'HIGHEST'  # before a hook that copies the model

    def before_run(self, runner: Runner) -> None:
        """Change the classes of the blocks; their weights stay."""
        if runner.cfg.get('compile_backbone'):
            return
        before = [type(module) for module in runner.model.modules()]
        accelerate(runner.model)
        if before == [type(module) for module in runner.model.modules()]:
            return
        check_kernel()
        runner.logger.info(
            'The motion blocks take the faster passes of gml_mmaction.kernels'
        )

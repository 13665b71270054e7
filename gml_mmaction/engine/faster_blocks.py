"""The faster motion blocks in a runner that another tool builds."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

__all__ = ['FasterBlocksHook']


@HOOKS.register_module()
class FasterBlocksHook(Hook):
    """Let the motion blocks take their faster passes (:mod:`.kernels`).

    MMAction2's own tools build a runner without :func:`.runner.build_runner`,
    which has done the same before this hook runs. A compiled backbone keeps
    the definition (:func:`.accelerator.compile_backbone`).

    Raises:
        SettingError: See :func:`.accelerator.check_kernel`.
    """

    priority = 'HIGHEST'  # before a hook that copies the model

    def before_run(self, runner: Runner) -> None:
        """Change the classes of the blocks; their weights stay."""
        if runner.cfg.get('compile_backbone'):
            return
        from gml_mmaction.kernels import accelerate  # slow to import

        from .accelerator import check_kernel

        before = [type(module) for module in runner.model.modules()]
        accelerate(runner.model)
        if before == [type(module) for module in runner.model.modules()]:
            return
        check_kernel()
        runner.logger.info(
            'The motion blocks take the faster passes of gml_mmaction.kernels'
        )

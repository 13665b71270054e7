"""MMEngine's runner for a config, on any machine."""

import contextlib
import functools
import sys
from collections.abc import Callable
from typing import Any

from gml_mmaction import host, kernels
from gml_mmaction.host.mixed_precision import settle_precision
from gml_mmaction.host.processes import join_processes
from gml_mmaction.io.held import HeldOutput

from .accelerator import compile_backbone, settle_accelerator, use_accelerator
from .config_check import FIRST, PHASES, naming_settings
from .features import watch_features
from .memory import naming_shortage
from .opening import OpeningHook
from .settings import (
    check_start,
    check_tap,
    settle_hooks,
    settle_metainfo,
    settle_workers,
)


def build_runner(cfg: Any) -> Any:
    """Build the runner of a config on any machine, CPU launchers included.

    Its model takes the faster forward passes (:func:`.kernels.accelerate`).
    What it prints is held back until its loop begins. So an invalid setting
    gives one line, not one below hundreds. The log file has all lines.

    Args:
        cfg: ``mmengine.Config`` with MMAction2's runner keys; changed in
            place by :func:`prepare_runner_cfg`.

    Returns:
        ``mmengine.runner.Runner``, or the class named by ``runner_type``.

    Raises:
        SettingError: A part of the config cannot be built. The runner's
            ``train``, ``val`` and ``test`` raise it too.
    """
    host.prepare_run()
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    prepare_runner_cfg(cfg)
    held = HeldOutput(sys.stdout)
    with naming_settings(cfg, FIRST, held), contextlib.redirect_stdout(held):
        if 'runner_type' in cfg:
            runner = RUNNERS.build(cfg)
        else:
            runner = Runner.from_cfg(cfg)
    check_tap(runner.model)
    watch_features(runner.model)
    kernels.accelerate(runner.model)
    use_accelerator(runner)
    if cfg.get('compile_backbone'):
        compile_backbone(runner.model)
    runner.register_hook(OpeningHook(held))
    for name, keys in PHASES.items():
        setattr(runner, name, _naming(runner, name, keys, held))
    return runner


def _naming(
    runner: Any, name: str, keys: tuple[str, ...], held: HeldOutput
) -> Callable:
    """Wrap a runner's ``train``, ``val`` or ``test``, which build parts."""
    given = getattr(runner, name)

    @functools.wraps(given)
    def run(*args: Any, **kwargs: Any) -> Any:
        if name == 'train':
            check_start(runner.model)
        with naming_settings(runner.cfg, keys, held), naming_shortage(runner):
            result = given(*args, **kwargs)
        held.release()  # no iteration was left, no loop began
        return result

    return run


def prepare_runner_cfg(cfg: Any) -> None:
    """Make a config run without workers, on a CPU or on GPUs.

    Loaders without workers lose options that need workers
    (:func:`.settings.settle_workers`), hooks that are None are left out
    (:func:`.settings.settle_hooks`), and several prepared data sets may be
    joined (:func:`.settings.settle_metainfo`). ``AmpOptimWrapper`` means the
    same on every device (:func:`settle_precision`), a launcher gets what the
    device needs (:func:`join_processes`), and so do loaders and cuDNN
    (:func:`.accelerator.settle_accelerator`).

    Args:
        cfg: ``mmengine.Config``; changed in place.

    Raises:
        LauncherError: The launcher cannot start its processes here.
        SettingError: The device cannot do what the config asks for.
    """
    settle_workers(cfg)
    settle_hooks(cfg)
    settle_metainfo(cfg)
    settle_precision(cfg)
    settle_accelerator(cfg)
    if cfg.get('launcher', 'none') != 'none':
        join_processes(cfg)

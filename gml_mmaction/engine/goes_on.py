"""Whether a resumed run is still the run that was begun."""

from collections.abc import Iterator, Mapping
from typing import Any

from gml_mmaction.errors import SettingError
from gml_mmaction.io.config_text import ConfigTextError, parse_config
from gml_mmaction.io.text import printable

from .settings import leaves

__all__ = ['changed_settings', 'check_same_data']

# Settings on which no weight depends, or that another check knows.
FREE = {
    *('work_dir', 'load_from', 'resume', 'launcher', 'log_level', 'env_cfg'),
    *('visualizer', 'vis_backends', 'log_processor', 'randomness'),
    *('data_root', 'num_workers', 'persistent_workers', 'interval'),
    *('val_interval', 'max_keep_ckpts', 'test_dataloader', 'test_evaluator'),
    *('test_cfg', 'test_pipeline', 'workers'),
}
MOST = 5  # settings that a line names


def check_same_data(
    before: Mapping[str, Any], now: Mapping[str, Any], work_dir: str
) -> None:
    """Refuse to go on with a training on other data.

    The checkpoint would say that all of it was on the new ones.

    Args:
        before: What the checkpoint says of its training data
            (:func:`.provenance.training_of`); {} if nothing.
        now: The same of this run (:func:`.provenance.describe_training`).
        work_dir: Named in the error.

    Raises:
        SettingError: Videos, or families of pseudo-fakes, are others.
    """
    old, new = dict(_data_of(before)), dict(_data_of(now))
    if not any(old.values()):
        return
    other = [name for name in old if old[name] != new[name]]
    if other:
        raise SettingError(
            f'{work_dir}: this run was begun with other '
            f'{" and ".join(other)}; its checkpoints would say that it always '
            'had these. Remedy: the same data as before; or another '
            '--work-dir, and --cfg-options load_from=CHECKPOINT to start from '
            'its weights'
        )


def _data_of(training: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    sets = training.get('datasets') or [training]
    yield 'videos', {one['manifest'] for one in sets if one.get('manifest')}
    families = [one.get('pseudo_fakes') or [] for one in sets]
    yield 'pseudo-fakes', {name for names in families for name in names}


def changed_settings(text: Any, cfg: Mapping[str, Any]) -> list[str]:
    """Name the settings that a run was begun with otherwise.

    Args:
        text: The config in a checkpoint's ``meta['cfg']``.
        cfg: The run's.

    Returns:
        ``'train_cfg.max_iters: 1500, now 1200'``; at most a few, and then how
        many more. [] where a checkpoint has no config that can be read.
    """
    try:
        before = parse_config(text)
    except ConfigTextError:
        return []
    old, new = dict(leaves(dict(before))), dict(leaves(dict(cfg)))
    lines = [
        f'{_shown(name)}: {_shown(old.get(name, "not set"))}, '
        f'now {_shown(new.get(name, "not set"))}'
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name) and FREE.isdisjoint(name.split('.'))
    ]
    more = len(lines) - MOST
    return [*lines[:MOST], f'{more} more'] if more > 0 else lines


def _shown(value: Any) -> str:
    """A value of a checkpoint, which may be any text."""
    return f'{printable(str(value)):.60}'

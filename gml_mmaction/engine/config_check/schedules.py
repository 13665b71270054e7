"""Schedules that end before the training does."""

from typing import Any

from gml_mmaction.errors import SettingError

ONE_CYCLE = ('OneCycleLR', 'OneCycleParamScheduler')


def check_schedules(cfg: Any) -> None:
    """Refuse a cycle that MMEngine would not step to the run's last step.

    Args:
        cfg: ``mmengine.Config``.

    Raises:
        SettingError: Its ``total_steps`` are too few.
    """
    schedules = cfg.get('param_scheduler') or []
    if isinstance(schedules, dict):
        # several optimisers, each with its own, or a single schedule
        schedules = [schedules] if 'type' in schedules else []
    for number, schedule in enumerate(schedules):
        if isinstance(schedule, dict) and schedule.get('type') in ONE_CYCLE:
            _check_cycle(schedule, number, cfg.get('train_cfg') or {})


def _check_cycle(schedule: dict, number: int, loop: dict) -> None:
    total, by_epoch = schedule.get('total_steps'), schedule.get('by_epoch')
    unit = 'iters' if by_epoch is False else 'epochs'
    length = loop.get(f'max_{unit}')  # unknown if the other one is given
    if total is None or length is None:
        return
    begin, end = schedule.get('begin', 0), schedule.get('end', length)
    if min(end - 1, length) - begin > total:
        raise SettingError(
            f'param_scheduler.{number}.total_steps={total}: the cycle would '
            f'end before the training, which has train_cfg.max_{unit}='
            f'{length}. Remedy: {min(end, length) - begin}, or end='
            f'{begin + total} and another schedule from there on'
        )

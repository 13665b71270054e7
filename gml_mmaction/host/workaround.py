"""One repair of the host, and checks of the stack that repairs share."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from gml_mmaction.stack import StackError

HOME = Path(__file__).resolve().parents[1]  # of this package


@dataclass(frozen=True)
class Workaround:
    """One repair of the host.

    Attributes:
        name: What is repaired, in a few words.
        upstream: The report or the source line it answers to.
        reason: Returns why the repair is needed here, '' if it is not. It
            checks a version, or tries the host's own function
            (:func:`inspect.unwrap` finds it below a repair). It changes
            nothing and may raise ImportError in a broken stack.
        apply: Applies it; None if :func:`prepare_runner_cfg` applies it.
    """

    name: str
    upstream: str
    reason: Callable[[], str]
    apply: Callable[[], None] | None = None


def mark(function: Any, module: str) -> None:
    """Mark our replacement of a host's function with its module."""
    function.repaired_by = module


def folder_of(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = PathFinder.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f'{name} is not installed. Remedy: gml doctor')
    return Path(spec.submodule_search_locations[0])


def cpu_only() -> bool:
    """True where MMEngine finds no accelerator."""
    from mmengine.device import get_device

    return get_device() == 'cpu'


def why_cpu() -> str:
    """The reason for repairs that only machines without accelerator need."""
    return 'no accelerator was found' if cpu_only() else ''

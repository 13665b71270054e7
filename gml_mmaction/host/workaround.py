"""What a repair of the host is, and what all of them ask of the stack."""

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
        reason: Says why the repair is needed here, '' where it is not. It
            tells by a version, or by trying the host's own function
            (:func:`inspect.unwrap` finds it below a repair); it changes
            nothing and may raise ImportError in a broken stack.
        apply: Does it; None for those that :func:`prepare_runner_cfg` does.
    """

    name: str
    upstream: str
    reason: Callable[[], str]
    apply: Callable[[], None] | None = None


def mark(function: Any, module: str) -> None:
    """Note on a function of ours in the host's place whose it is."""
    function.repaired_by = module


def folder_of(name: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = PathFinder.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f'{name} is not installed')
    return Path(spec.submodule_search_locations[0])


def cpu_only() -> bool:
    """True where MMEngine finds no accelerator."""
    from mmengine.device import get_device

    return get_device() == 'cpu'


def why_cpu() -> str:
    """The reason of what only a machine without an accelerator needs."""
    return 'no accelerator was found' if cpu_only() else ''

"""``gml doctor``: what is installed, and what is wrong.

Prints the versions of the stack, every problem with its remedy in one line,
and which workarounds of :mod:`gml_mmaction.host` are active. It ends with exit
code 1 if something is wrong.

It must run even if nothing else does: it reads the metadata of installed
distributions, and tries imports in other processes.
"""

import argparse
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from os import environ, pathsep
from typing import Any

from gml_mmaction import host
from gml_mmaction.host.workaround import HOME
from gml_mmaction.io.text import say
from gml_mmaction.stack import DISTRIBUTION, advice, declared, ranges, remedy

IMPORTS = (
    'torch',
    'cv2',
    'mmengine',
    'mmcv',
    'mmaction',
    'sklearn',
    'matplotlib',
    'av',
    'decord',
    'dlib',
)
SOLE_OWNERS = ('mmcv', 'mmengine', 'mmaction', 'dlib', 'decord')
LISTED = (
    'torch',
    'torchvision',
    'numpy',
    'setuptools',
    'mmengine',
    'mmcv',
    'mmaction',
    'cv2',
    'dlib',
    'av',
    'decord',
    'sklearn',
    'matplotlib',
    'skimage',
)


@dataclass(frozen=True)
class Facts:
    """What is installed.

    Attributes:
        owners: Import name -> {distribution: version} of all distributions
            that install files under this name.
        torchvision_needs: The version of torch that the installed torchvision
            was built for, '' if there is none.
        import_errors: Import name -> last line of what went wrong.
    """

    owners: dict[str, dict[str, str]]
    torchvision_needs: str = ''
    import_errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something wrong with the environment, and one line that repairs it."""

    what: str
    remedy: str


def read_metadata(path: list[str] | None = None) -> Facts:
    """Read the metadata of all installed distributions.

    Args:
        path: Folders to look in; ``sys.path`` by default.

    Returns:
        Facts without import errors.
    """
    owners: dict[str, dict[str, str]] = {}
    needs = ''
    kwargs: Any = {} if path is None else {'path': path}
    for dist in metadata.distributions(**kwargs):
        name = re.sub(r'[-_.]+', '-', dist.metadata['Name'] or '').lower()
        if not name:
            continue
        for top in _import_names(dist):
            owners.setdefault(top, {}).setdefault(name, dist.version)
        if name == 'torchvision':
            requires = '\n'.join(dist.requires or [])
            found = re.search(r'(?m)^torch\s*\(?==\s*([\w.+]+)', requires)
            needs = found[1] if found else ''
    return Facts(owners, needs)


def try_imports(names: Iterable[str]) -> dict[str, str]:
    """Import all names in one other Python process, else each in its own.

    Returns:
        Import name -> last line of the error, for those that failed alone. A
        crash (as of a library compiled for another processor) counts as a
        failure.
    """
    names = [*names]
    if not _import_error(', '.join(names)):
        return {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        errors = dict(zip(names, pool.map(_import_error, names), strict=True))
    return {name: error for name, error in errors.items() if error}


def diagnose(facts: Facts) -> list[Problem]:
    """All problems of an environment, each remedy once; pure."""
    problems: dict[str, Problem] = {}
    for check in CHECKS:
        for problem in check(facts):
            problems.setdefault(problem.remedy, problem)
    return list(problems.values())


def shared_folders(facts: Facts) -> list[Problem]:
    """Distributions that overwrite each other's files, such as two mmcv."""
    return [
        Problem(
            f'{_listing(facts.owners[name])} own {name}/ together: the '
            'last one installed has overwritten the others',
            f'pip uninstall -y {" ".join(sorted(facts.owners[name]))}, then '
            'install the one that you want',
        )
        for name in SOLE_OWNERS
        if len(facts.owners.get(name, {})) > 1
    ]


def mixed_opencv(facts: Facts) -> list[Problem]:
    """OpenCV wheels of several versions, or with and without windows.

    A headless wheel alone is fine, whatever MMCV declares.
    """
    wheels = facts.owners.get('cv2', {})
    headless = {name for name in wheels if 'headless' in name}
    if len(set(wheels.values())) <= 1 and headless in (set(), set(wheels)):
        return []
    return [
        Problem(
            f'{_listing(wheels)} own cv2/ together and do not match',
            f'pip uninstall -y {" ".join(sorted(wheels))}, then '
            f'{advice("cv2")}',
        )
    ]


def out_of_range(facts: Facts) -> list[Problem]:
    """Versions that the plugin, MMAction2 or MMEngine cannot work with."""
    problems = []
    for name, good in ranges().items():
        for dist, version in facts.owners.get(name, {}).items():
            number = _numbers(version)
            too_new = good.beyond and number >= _numbers(good.beyond)
            if too_new or number < _numbers(good.lowest):
                what = f'{dist} {version}: {good.why}'
                remedy = f'pip install "{dist}{good.limits}"'
                problems.append(Problem(what, remedy))
    return problems


def missing_setuptools(facts: Facts) -> list[Problem]:
    """No setuptools at all, as in new environments of Python 3.12."""
    if facts.owners.get('setuptools'):
        return []
    what = "setuptools is missing: MMEngine reads MMAction2's configs by it"
    return [Problem(what, advice('setuptools'))]


def foreign_torchvision(facts: Facts) -> list[Problem]:
    """A torchvision built for another torch; MMCV imports it if it is there.

    Two builds match if torchvision asks for this version and both are the
    plain build or both of the same kind (``+cpu``, ``+cu126``).
    """
    torch = facts.owners.get('torch', {}).get('torch')
    vision = facts.owners.get('torchvision', {}).get('torchvision')
    if not torch or not vision:
        return []
    (version, _, kind), (_, _, vision_kind) = (
        text.partition('+') for text in (torch, vision)
    )
    needs = facts.torchvision_needs.partition('+')[0] or version
    if needs == version and kind == vision_kind:
        return []
    return [
        Problem(
            f'torchvision {vision} does not belong to torch {torch}',
            'pip uninstall -y torchvision (it is not used here), or install '
            f"the build that belongs to torch {torch} from PyTorch's index",
        )
    ]


def failed_imports(facts: Facts) -> list[Problem]:
    """Modules that cannot be imported, with what is missing for it."""
    return [
        Problem(f'import {name} fails: {error}', remedy(name, error))
        for name, error in facts.import_errors.items()
    ]


def not_installed() -> list[Problem]:
    """No metadata of this package, as in a clone that is only run."""
    if declared():
        return []
    what = f'{DISTRIBUTION} is not installed: no version can be checked'
    return [Problem(what, f'pip install -e {shlex.quote(str(HOME.parent))}')]


CHECKS: tuple[Callable[[Facts], list[Problem]], ...] = (
    shared_folders,
    mixed_opencv,
    out_of_range,
    missing_setuptools,
    foreign_torchvision,
    failed_imports,
)


def main(argv: list[str] | None = None) -> int:
    """Print the report.

    Returns:
        The exit code: 1 if something is wrong, else 0.
    """
    argparse.ArgumentParser(
        description='Say what is installed, and what is wrong with it.',
    ).parse_args(argv)
    facts = read_metadata()
    names = [*IMPORTS]
    if 'torchvision' in facts.owners:
        names.append('torchvision')
    errors = try_imports([*names, 'gml_mmaction'])
    own = errors.pop('gml_mmaction', '')
    facts = Facts(facts.owners, facts.torchvision_needs, errors)
    problems = diagnose(facts) + not_installed()
    if own and not problems:
        errors['gml_mmaction'] = own
        problems = diagnose(facts)
    say(f'Python {platform.python_version()} on {platform.platform()}')
    for name in LISTED:
        say(f'  {name:<12} {_listing(facts.owners.get(name, {}))}')
    say('Workarounds')
    for item, state in _workarounds(problems):
        say(f'  {item.name} ({item.upstream})', f'    {state}')
    if not problems:
        say('CPU kernel of the motion blocks', f'  {_kernel()}')
        say(*_float32())
    say(f'Problems: {len(problems) or "none"}')
    for problem in problems:
        say(f'  {problem.what}', f'    remedy: {problem.remedy}')
    return int(bool(problems))


def _workarounds(
    problems: Sequence[Problem],
) -> Iterator[tuple[host.Workaround, str]]:
    """What :mod:`gml_mmaction.host` repairs; nothing is tried that breaks."""
    if problems:
        for item in host.WORKAROUNDS:
            yield item, 'not tried: solve the problems first'
        return
    host.prepare()
    for item, reason in host.status():
        yield item, f'active: {reason}' if reason else 'not needed'


def _float32() -> list[str]:
    """How GPUs compute float32, where it matters; [] where it does not."""
    import torch

    from gml_mmaction.engine.accelerator import TF32, float32_on_gpus

    used = float32_on_gpus()
    if used == TF32 and not torch.cuda.is_available():
        return []
    whose = "PyTorch's own" if used == TF32 else 'it was changed'
    return [
        'float32 on GPUs',
        f'  {used} ({whose}; --tf32 and --no-tf32 of gml train and gml test)',
    ]


def _kernel() -> str:
    """Whether the optional kernel is there, and how to get it."""
    from gml_mmaction.kernels import library

    if library.ready():
        return str(library.library_path())
    return 'not used: python -m gml_mmaction.kernels.build compiles it'


def _import_names(dist: metadata.Distribution) -> set[str]:
    """Names to import that a distribution declares or holds files of."""
    declared = (dist.read_text('top_level.txt') or '').split()
    record = dist.read_text('RECORD') or ''
    return {*declared, *re.findall(r'(?m)^(\w+)(?:/__init__)?\.py,', record)}


def _import_error(name: str) -> str:
    """Last line of what ``import name`` says in a fresh Python, '' if fine.

    Args:
        name: One, or several with commas.
    """
    code = f'import {name}'
    env = {**environ, 'PYTHONPATH': pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code],
            capture_output=True,
            text=True,
            timeout=120,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return 'no answer after 120 seconds'
    if done.returncode == 0:
        return ''
    lines = done.stderr.strip().splitlines() or ['no message']
    if done.returncode < 0:
        return f'Python was killed by signal {-done.returncode}'
    return re.sub(r'^(\w+\.)*(\w+(Error|Exception)): ', '', lines[-1])


def _numbers(version: str) -> list[int]:
    """The leading numbers of a version; '2.2.0rc1' counts as 2.2.0."""
    found = re.match(r'\d+(\.\d+)*', version)
    numbers = [int(part) for part in found[0].split('.')] if found else []
    return numbers + [0] * (3 - len(numbers))


def _listing(versions: dict[str, str]) -> str:
    """'mmcv 2.1.0 and mmcv-lite 2.1.0'."""
    pairs = [f'{name} {versions[name]}' for name in sorted(versions)]
    return ' and '.join(pairs) or '-'

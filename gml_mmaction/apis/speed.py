"""What one video costs to predict, in a process of its own.

The text of this module runs with any version of the package, also with an
older one: ``python -c TEXT JOB``, where JOB is JSON, prints JSON. It knows
the package by names alone that older versions have.

CPU seconds are those of user and system, of all threads; those of a part are
of the thread that does it. So what else the machine does counts little.
"""

import functools
import inspect
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ['PARTS', 'measure']

PARTS = ('decoding', 'searching', 'network', 'writing')


def measure(version: str | Path, job: dict[str, Any]) -> dict[str, Any]:
    """Predict one video in a new process.

    Args:
        version: Folder in which the package is that is to do it.
        job: ``video``, ``checkpoint``, ``clips`` (0: all), ``overlay`` and
            ``modules``, files or modules of a network of one's own.

    Returns:
        CPU seconds: ``total`` and those of ``PARTS``; ``peak_mb``, the most
        memory, with Python and PyTorch; ``seconds`` of the video; ``score``;
        and ``supported``: whether this version can score some clips only.

    Raises:
        RuntimeError: The process failed; the message has its last line.
    """
    path = os.pathsep.join([str(version), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, '-c', Path(__file__).read_text(), json.dumps(job)],
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        cwd=version,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().split('\n')[-1])
    return json.loads(done.stdout.strip().split('\n')[-1])


class _Clock:
    """CPU seconds of parts."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._depth = dict.fromkeys(PARTS, 0)

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count what a function or a method takes, if there is one."""
        whole = getattr(owner, name, None)
        if whole is not None:
            setattr(owner, name, self.watched(whole, part))

    def watched(self, whole: Callable, part: str) -> Callable:
        """Return the same function, watched; a part in itself counts once."""

        @functools.wraps(whole)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._depth[part] += 1
            began = time.thread_time()
            try:
                return whole(*args, **kwargs)
            finally:
                self._depth[part] -= 1
                if not self._depth[part]:
                    self.seconds[part] += time.thread_time() - began

        return call


def _watch(clock: _Clock) -> None:
    """Watch the parts of the package that is imported."""
    from gml_mmaction.apis import analysis, detector
    from gml_mmaction.faces import track
    from gml_mmaction.video import reader

    for name in ('__init__', '_enter', '_read'):
        clock.watch(reader.VideoReader, name, 'decoding')
    clock.watch(track.Follower, 'update', 'searching')
    for name in ('examine', 'score'):  # the first is newer
        clock.watch(detector.Detector, name, 'network')
    for name in ('draw_timeline', 'write_overlay'):
        clock.watch(analysis.Analysis, name, 'writing')
    try:
        from gml_mmaction.faces import spread
    except ImportError:  # a version that scores all clips
        return
    clock.watch(spread, 'detect_faces', 'searching')


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    """The most memory so far, of this program alone.

    ``ru_maxrss`` would count the process that started it, too.
    """
    try:
        status = Path('/proc/self/status').read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (peak,) = re.findall(r'VmHWM:\s*(\d+) kB', status)
    return int(peak) / 1024


def _warm_up(detector: Any) -> None:
    """Load dlib's detector and let the network run once."""
    import numpy as np

    from gml_mmaction.faces import detect_faces

    detect_faces(np.zeros((80, 80, 3), np.uint8))
    size = detector.crop_options.size
    crop = np.zeros((size, size, 3), np.uint8)
    detector.score([[crop] * detector.clip_len])


def _main(job: dict[str, Any]) -> None:
    import gml_mmaction

    gml_mmaction.register()
    from gml_mmaction.apis import analyse, load_detector

    if job['modules']:
        from gml_mmaction.apis.allowed import import_own

        for module in job['modules']:
            import_own(module)
    detector = load_detector(job['checkpoint'], 'cpu')
    supported = 'clips' in inspect.signature(analyse).parameters
    some = {'clips': job['clips']} if supported and job['clips'] else {}
    heat = 'auto' if job['overlay'] else 'none'
    _warm_up(detector)
    clock = _Clock()
    _watch(clock)
    began = _cpu()
    with tempfile.TemporaryDirectory() as folder:
        analysis = analyse(detector, job['video'], heat=heat, **some)
        analysis.draw_timeline(Path(folder, 'timeline.png'))
        if job['overlay']:
            analysis.write_overlay(Path(folder, 'overlay.mp4'))
    prediction = analysis.prediction
    found = dict(
        total=_cpu() - began,
        **clock.seconds,
        peak_mb=_peak_mb(),
        seconds=prediction.video and prediction.video.seconds,
        score=prediction.score,
        supported=supported,
    )
    sys.stdout.write(json.dumps(found))


if __name__ == '__main__':
    _main(json.loads(sys.argv[1]))

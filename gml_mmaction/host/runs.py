"""What MMEngine's runs lack: exact resuming, whole files, plain logs."""

import collections
import functools
import inspect
import itertools
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import one_line, printable, printable_lines

from .workaround import Workaround, mark

# The host's steps that open and decode videos.
READERS = (
    *('DecordInit', 'DecordDecode'),
    *('PyAVInit', 'PyAVDecode'),
    *('OpenCVInit', 'OpenCVDecode'),
)


class UnreadError(GMLError, ValueError):
    """A video that MMAction2's own readers cannot read."""


def resume_without_reading() -> None:
    """Let a resumed run skip samples that it was trained on, without reading.

    Upstream: ``IterBasedTrainLoop.run`` reads every batch up to the iteration
    where it goes on, which may take hours; no report upstream is known to us.
    Here only the sampler moves on (:func:`skip_batches`). The samples and
    their order are those of an unbroken run; the random draws of transforms
    are not.
    """
    from mmengine.runner import IterBasedTrainLoop

    reads = IterBasedTrainLoop.run
    if hasattr(reads, 'repaired_by'):
        return

    @functools.wraps(reads)
    def run(self: Any) -> Any:
        batches = self.dataloader_iterator
        done = min(self._iter, self._max_iters)
        skip_batches(batches, done)
        self.dataloader_iterator = itertools.chain(
            itertools.repeat(None, done), batches
        )
        return reads(self)

    mark(run, __name__)
    IterBasedTrainLoop.run = run


def skip_batches(batches: Any, count: int) -> None:
    """Skip ``count`` batches of a loop's iterator, using only the sampler.

    The only batches read are those that worker processes have begun with, and
    one at each end of a finite sampler, where MMEngine starts the next epoch.

    Args:
        batches: ``_InfiniteDataloaderIterator`` of MMEngine's loop.
        count: How many to skip.
    """
    while count:
        loader = batches._iterator
        in_flight = getattr(loader, '_send_idx', 0)
        in_flight -= getattr(loader, '_rcvd_idx', 0)
        sampler = getattr(loader, '_sampler_iter', iter(()))
        if count <= in_flight or next(sampler, None) is None:
            next(batches)
        count -= 1


def seed_numbered_draws() -> None:
    """Let all of MMEngine's data sets seed a numbered draw by its number.

    Upstream: random clips depend on the number of workers, and on whether the
    run was interrupted; no report upstream is known to us. Our samplers
    number their draws (:class:`~gml_mmaction.datasets.samplers.DrawnIndex`).
    Wrappers turn them into plain numbers, so they seed for the data sets
    inside.
    """
    for kind in _data_sets():
        given = kind.__getitem__
        if not hasattr(given, 'repaired_by'):
            kind.__getitem__ = with_seeded_draws(given)


def with_seeded_draws(given: Callable) -> Callable:
    """``__getitem__`` of a data set, seeded if its index is a draw."""

    @functools.wraps(given)
    def getitem(self: Any, idx: int) -> Any:
        from gml_mmaction.datasets.samplers import DrawnIndex, seeded

        if not isinstance(idx, DrawnIndex):
            return given(self, idx)
        with seeded(idx.seed, idx.number):
            return given(self, int(idx))

    mark(getitem, __name__)
    return getitem


def _data_sets() -> tuple[Any, ...]:
    from mmengine import dataset

    return (
        dataset.BaseDataset,
        dataset.ConcatDataset,
        dataset.RepeatDataset,
        dataset.ClassBalancedDataset,
    )


def keep_runs_apart() -> None:
    """Let runs of one process have a logger and a folder each.

    Upstream: ``Runner`` names a run by the second in which it begins. Two
    runs of one config in one second share their logger, message hub,
    visualizer and files; no report upstream is known to us. Here the second
    run has ``_2`` after its second.
    """
    from mmengine.runner import Runner

    given = Runner.setup_env
    if hasattr(given, 'repaired_by'):
        return
    begun: collections.Counter[str] = collections.Counter()

    @functools.wraps(given)
    def setup_env(self: Any, *args: Any, **kwargs: Any) -> None:
        given(self, *args, **kwargs)
        second = self._timestamp
        begun[second] += 1
        if begun[second] > 1:
            self._timestamp = f'{second}_{begun[second]}'

    mark(setup_env, __name__)
    Runner.setup_env = setup_env


def write_files_whole() -> None:
    """Let checkpoints appear whole or not at all.

    Upstream: MMEngine's ``LocalBackend.put`` writes into the file itself. A
    run killed meanwhile, or a full disk, leaves a part of a checkpoint under
    the name of the newest one, and the file that had that name is lost. No
    report upstream is known to us.
    """
    from mmengine.fileio import LocalBackend

    given = LocalBackend.put
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def put(self: Any, obj: bytes, filepath: str | os.PathLike) -> None:
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'.{path.name}.{os.getpid()}')
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    mark(put, __name__)
    LocalBackend.put = put


def name_unread_videos() -> None:
    """Let the host's readers of videos name the file that they cannot read.

    Upstream: decord says 'Error reading 1800 bytes...'; no report upstream
    is known to us.
    """
    from mmaction.datasets import transforms

    for name in READERS:
        kind = getattr(transforms, name)
        if not hasattr(kind.transform, 'repaired_by'):
            kind.transform = with_named_video(kind.transform)


def with_named_video(given: Callable) -> Callable:
    """``transform`` of a step that reads ``results['filename']``.

    Raises:
        UnreadError: In place of any error of a decoder.
    """

    @functools.wraps(given)
    def transform(self: Any, results: dict) -> Any:
        path = results.get('filename')
        try:
            return given(self, results)
        except (GMLError, ImportError, FileNotFoundError):
            raise
        except Exception as error:  # decoders may raise anything
            raise UnreadError(
                f'{printable(path)} cannot be read by '
                f'{type(self).__name__} ({one_line(error):.200}). Remedy: '
                'take it out of the list, or convert it: ffmpeg -i IN -c:v '
                'libx264 -crf 12 OUT.mp4'
            ) from error

    mark(transform, __name__)
    return transform


def format_configs_once() -> None:
    """Let yapf format the same text of a config only once.

    Upstream: ``Runner.save_checkpoint`` formats the whole config for each
    checkpoint, about 0.2 s of CPU; no report upstream is known to us.
    """
    from mmengine.config import config

    given = config.FormatCode
    if hasattr(given, 'repaired_by'):
        return

    @functools.lru_cache(maxsize=8)
    def laid_out(text: str, style: tuple, more: tuple) -> Any:
        return given(text, style_config=dict(style), **dict(more))

    @functools.wraps(given)
    def format_code(text: str, style_config: dict, **more: Any) -> Any:
        style = tuple(sorted(style_config.items()))
        return laid_out(text, style, tuple(sorted(more.items())))

    mark(format_code, __name__)
    config.FormatCode = format_code


def log_readably() -> None:
    """Let logs be UTF-8 in any locale, and hold no control characters.

    Upstream: ``MMLogger`` opens its file in the encoding of the locale; a
    line with a character that this lacks is lost. No report upstream is known
    to us. What is logged may come from names and files of others
    (:func:`~gml_mmaction.io.text.printable_lines`).
    """
    from mmengine.logging import MMLogger

    given = MMLogger.__init__
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given(self, *args, **kwargs)
        self.addFilter(make_printable)
        for handler in self.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream:
                handler.stream.reconfigure(
                    encoding='utf-8', errors='backslashreplace'
                )

    mark(init, __name__)
    MMLogger.__init__ = init


def make_printable(record: logging.LogRecord) -> bool:
    """A logger's filter: escape control characters."""
    record.msg, record.args = printable_lines(record.getMessage()), None
    return True


def _why_reading() -> str:
    """Let a finished run go on, and see whether a batch is read."""
    from mmengine.logging import MMLogger
    from mmengine.runner import IterBasedTrainLoop

    batches = iter(['a batch that has been trained on'])
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    vars(loop).update(
        _iter=1,
        _max_iters=1,
        stop_training=True,
        dataloader_iterator=batches,
        _runner=SimpleNamespace(call_hook=lambda *_: None, model=None),
    )
    logger = MMLogger.get_current_instance()
    logger.disabled, disabled = True, logger.disabled  # it says that it reads
    try:
        inspect.unwrap(IterBasedTrainLoop.run)(loop)
    finally:
        logger.disabled = disabled
    read = next(batches, None) is None
    return 'the installed MMEngine reads all that it skips' if read else ''


def _why_draws() -> str:
    """Draw twice under one number."""
    import torch
    from mmengine.dataset import BaseDataset

    from gml_mmaction.datasets.samplers import DrawnIndex

    class Drawn(BaseDataset):
        def load_data_list(self) -> list[dict]:
            return [{}]

        def prepare_data(self, idx: int) -> int:
            return int(torch.randint(2**62, ()))

    data = Drawn(serialize_data=False)
    given = inspect.unwrap(BaseDataset.__getitem__)
    state = torch.get_rng_state()
    try:
        drawn = {given(data, DrawnIndex(0, 0, 0)) for _ in range(2)}
    finally:
        torch.set_rng_state(state)
    seeded = len(drawn) == 1
    return '' if seeded else 'MMEngine does not seed what a data set draws'


def _why_one_second() -> str:
    """See whether a run is named by anything that is finer than a second."""
    from mmengine.runner import Runner

    code = inspect.unwrap(Runner.setup_env).__code__
    shared = '%Y%m%d_%H%M%S' in code.co_consts
    return 'MMEngine gives two runs of one second one name' if shared else ''


def _why_whole_files() -> str:
    """Write a file twice: what is written in place stays the same file."""
    from mmengine.fileio import LocalBackend

    put = inspect.unwrap(LocalBackend.put)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'file')
        files = set()
        for _ in range(2):
            put(LocalBackend(), b'', path)
            files.add(path.stat().st_ino)
    in_place = len(files) == 1
    return 'the installed MMEngine writes files in place' if in_place else ''


def _why_layout() -> str:
    """See whether the formatting function exists, and remembers."""
    from mmengine.config import config

    given = getattr(config, 'FormatCode', None)
    if given is None or hasattr(inspect.unwrap(given), 'cache_info'):
        return ''
    return 'MMEngine lays out the config anew for each checkpoint'


def _why_names() -> str:
    """Let a reader fail, and see whether it names the video."""
    from mmaction.datasets.transforms import OpenCVDecode

    read = inspect.unwrap(OpenCVDecode.transform)
    try:
        read(OpenCVDecode(), {'filename': 'a video'})
    except Exception as error:
        if 'a video' in str(error):
            return ''
    return "MMAction2's readers do not name the video"


def _why_logs() -> str:
    """Pass control characters to a logger."""
    from mmengine.logging import MMLogger

    logger = MMLogger.__new__(MMLogger)
    inspect.unwrap(MMLogger.__init__)(logger, 'probe')
    record = logger.makeRecord('probe', 40, '', 0, '\x1b', (), None)
    kept = logger.filter(record) and '\x1b' in record.getMessage()
    return 'MMEngine logs names and texts of files as they are' if kept else ''


WORKAROUNDS = (
    Workaround(
        'resuming without reading what was trained on',
        'mmengine/runner/loops.py, IterBasedTrainLoop.run',
        _why_reading,
        resume_without_reading,
    ),
    Workaround(
        'draws of data sets by their number',
        'mmengine/dataset/base_dataset.py, dataset_wrapper.py',
        _why_draws,
        seed_numbered_draws,
    ),
    Workaround(
        'runs of one second that share their loggers and files',
        'mmengine/runner/runner.py, Runner.setup_env',
        _why_one_second,
        keep_runs_apart,
    ),
    Workaround(
        'checkpoints that are written in place',
        'mmengine/fileio/backends/local_backend.py, LocalBackend.put',
        _why_whole_files,
        write_files_whole,
    ),
    Workaround(
        'configs laid out anew for each checkpoint',
        'mmengine/config/config.py, Config.pretty_text',
        _why_layout,
        format_configs_once,
    ),
    Workaround(
        'videos that cannot be read, without their names',
        'mmaction/datasets/transforms/loading.py, DecordInit',
        _why_names,
        name_unread_videos,
    ),
    Workaround(
        'logs in the encoding of the locale, with control characters',
        'mmengine/logging/logger.py, MMLogger',
        _why_logs,
        log_readably,
    ),
)

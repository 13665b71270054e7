"""What a run of MMEngine's lacks: exact resuming, whole files, plain logs."""

import functools
import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gml_mmaction.errors import GMLError
from gml_mmaction.io.text import one_line, printable, printable_lines

from .workaround import Workaround, folder_of, mark

# The host's steps that open and decode videos.
READERS = (
    *('DecordInit', 'DecordDecode'),
    *('PyAVInit', 'PyAVDecode'),
    *('OpenCVInit', 'OpenCVDecode'),
)


class UnreadError(GMLError, ValueError):
    """A video that MMAction2's own readers cannot read."""


def resume_without_reading() -> None:
    """Let a resumed run skip what it has been trained on, unread.

    Upstream: ``IterBasedTrainLoop.run`` reads every batch up to the iteration
    where it goes on, which may take hours; no report upstream is known to us.
    Here only the sampler moves on (:func:`skip_batches`). The samples are
    those of an unbroken run, in its order; what transforms draw at random is
    not.
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
    """Take ``count`` batches from a loop's iterator, by the sampler alone.

    Read are those that worker processes have begun with, and one at each end
    of a finite sampler, where MMEngine starts the next epoch.

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
    """Let every data set of MMEngine's seed a numbered draw by its number.

    Upstream: random clips depend on the number of workers, and on whether the
    run was interrupted; no report upstream is known to us. Our samplers
    number their draws (:class:`~gml_mmaction.datasets.samplers.Draw`).
    Wrappers make plain numbers of them: they seed for those within.
    """
    for kind in _data_sets():
        given = kind.__getitem__
        if not hasattr(given, 'repaired_by'):
            kind.__getitem__ = with_seeded_draws(given)


def with_seeded_draws(given: Callable) -> Callable:
    """``__getitem__`` of a data set, seeded where its index is a draw."""

    @functools.wraps(given)
    def getitem(self: Any, idx: int) -> Any:
        from gml_mmaction.datasets.samplers import Draw, seeded

        if not isinstance(idx, Draw):
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


def write_files_whole() -> None:
    """Let checkpoints appear whole or not at all.

    Upstream: ``LocalBackend.put`` of MMEngine writes into the file itself; a
    run that is killed meanwhile, or a full disk, leaves a part of one under
    the name of the newest checkpoint, and nothing of what had that name. No
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
        UnreadError: In place of what a decoder raises.
    """

    @functools.wraps(given)
    def transform(self: Any, results: dict) -> Any:
        path = results.get('filename')
        try:
            return given(self, results)
        except (GMLError, ImportError, FileNotFoundError):
            raise
        except Exception as error:  # decoders raise what they like
            raise UnreadError(
                f'{printable(path)} cannot be read by '
                f'{type(self).__name__} ({one_line(error):.200}). Remedy: '
                'take it out of the list, or convert it: ffmpeg -i IN -c:v '
                'libx264 -crf 12 OUT.mp4'
            ) from error

    mark(transform, __name__)
    return transform


def format_configs_once() -> None:
    """Let the same text of a config be laid out by yapf only once.

    Upstream: ``Runner.save_checkpoint`` has the whole config laid out for
    each checkpoint, some 0.2 s of CPU; no report upstream is known to us.
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

    Upstream: ``MMLogger`` opens its file in the encoding of the locale, where
    a sign that this lacks loses the line; no report upstream is known to us.
    What is logged may come from names and files of others
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
    """A filter of a logger: escape what a terminal would obey."""
    record.msg, record.args = printable_lines(record.getMessage()), None
    return True


def _why_reading() -> str:
    loops = folder_of('mmengine') / 'runner' / 'loops.py'
    reads = 'Advance dataloader' in loops.read_text(encoding='utf-8')
    return 'the installed MMEngine reads all that it skips' if reads else ''


def _why_draws() -> str:
    return 'MMEngine does not seed what a data set draws'


def _why_whole_files() -> str:
    backend = folder_of('mmengine') / 'fileio/backends/local_backend.py'
    in_place = "open(filepath, 'wb')" in backend.read_text(encoding='utf-8')
    return 'the installed MMEngine writes files in place' if in_place else ''


def _why_layout() -> str:
    return 'MMEngine has yapf lay out the whole config for each checkpoint'


def _why_names() -> str:
    return "MMAction2's readers do not name the video"


def _why_logs() -> str:
    return 'MMEngine logs names and texts of files as they are'


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

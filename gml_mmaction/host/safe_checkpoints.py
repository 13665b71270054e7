"""Checkpoints run no code, and are checked before they are used.

Everything that MMEngine reads from a checkpoint file is checked here.
"""

import contextlib
import functools
import importlib.metadata
import inspect
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

from gml_mmaction.errors import CheckpointError, GMLError
from gml_mmaction.io.text import one_line, printable
from gml_mmaction.stack import StackError, advice

from .workaround import Workaround, mark


class BrokenCheckpointError(CheckpointError):
    """A file that is not a checkpoint, or is damaged."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint asks for more than tensors and MMEngine's own records."""


def load_checkpoints_safely() -> None:
    """Let MMEngine load only through PyTorch's safe loader, its own files too.

    Upstream: open-mmlab/mmengine#1655. MMEngine 0.10's own checkpoints fail
    in PyTorch's safe loader; MMEngine 0.11 therefore switches the loader off,
    and ``torch.hub``, which loads from addresses, has it off by default. Then
    a downloaded file can run any program. Here every scheme of MMEngine goes
    through the safe loader, with an allow-list that holds only during that
    load (:func:`safe_loading`).
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    unguarded = CheckpointLoader.load_checkpoint.__func__
    if hasattr(unguarded, 'repaired_by'):
        return

    @functools.wraps(unguarded)
    def load_checkpoint(
        cls: type, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        here = '://' not in str(filename)
        if here and not os.path.isfile(os.path.expanduser(filename)):
            raise CheckpointError(
                f'{filename}: no such checkpoint. Remedy: a .pth file of '
                'gml train'
            )
        if str(filename).lower().endswith(('.onnx', '.pt2')):
            raise CheckpointError(
                f'{filename}: an exported detector, for gml predict and gml '
                'web alone. Remedy: the .pth file that it was made of'
            )
        check_archive(filename)
        with safe_loading(filename):
            return unguarded(cls, filename, *args, **kwargs)

    mark(load_checkpoint, __name__)
    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def check_archive(filename: str | os.PathLike) -> None:
    """Refuse an archive of tensors that holds more than the file has bytes.

    PyTorch stores tensors uncompressed; a small file with a compressed entry,
    or one entry named twice, may fill the memory.

    Args:
        filename: If it is not an archive, or does not exist, it is left to
            the loader.

    Raises:
        UnsafeCheckpointError: An entry is compressed, or all of them are
            larger than the file.
        BrokenCheckpointError: An entry has other bytes than were written.
    """
    path = Path(filename).expanduser()
    if not path.is_file() or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return
    plain = all(item.compress_type == zipfile.ZIP_STORED for item in entries)
    size = sum(max(item.file_size, 0) for item in entries)
    if not plain or size > path.stat().st_size:
        raise UnsafeCheckpointError(
            f'{filename} was not loaded: its tensors are compressed, or '
            'larger than the file. Remedy: get the weights from a source that '
            'you trust'
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises what it meets
        damaged = one_line(error)
    if damaged:
        raise BrokenCheckpointError(
            f'{filename}: it is damaged ({printable(damaged):.100}). Remedy: '
            'copy it anew, or take the checkpoint before it'
        )


@contextlib.contextmanager
def safe_loading(filename: str | os.PathLike) -> Iterator[None]:
    """Force ``torch.load`` to use the safe loader, with MMEngine's own types.

    Entries that the user has allowed by ``torch.serialization
    .add_safe_globals`` stay allowed, unless ours are stricter. Not for
    several threads at once: PyTorch has one list per process.

    Args:
        filename: Named in the error.

    Raises:
        UnsafeCheckpointError: The file asks for anything else; none of it
            was run.
        BrokenCheckpointError: It cannot be read.
    """
    from mmengine.logging import HistoryBuffer
    from torch import serialization

    users = serialization.get_safe_globals()
    ours = allowed_globals()
    paths = {path for _, path in ours}
    HistoryBuffer()  # fills the class's table; loading one does not
    statistics = dict(HistoryBuffer._statistics_methods)
    forced = ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    banned = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
    variables = {key: os.environ.pop(key, None) for key in (forced[0], banned)}
    serialization.clear_safe_globals()
    kept = [item for item in users if _global_path(item) not in paths]
    serialization.add_safe_globals([*kept, *ours])
    os.environ[forced[0]] = forced[1]
    try:
        yield
    except pickle.UnpicklingError as error:
        if not _begins_as_checkpoint(filename):
            raise BrokenCheckpointError(
                f'{filename}: not a checkpoint, but some other file. Remedy: '
                'give a .pth file of gml train'
            ) from None
        raise UnsafeCheckpointError(
            f'{filename} was not loaded: {_refusal(error)}. A checkpoint may '
            "hold tensors, numbers, text and MMEngine's records only. Remedy: "
            'get the weights from a source that you trust'
        ) from None
    except (GMLError, ImportError, FileNotFoundError):
        raise
    except URLError as error:
        raise CheckpointError(
            f'{filename}: cannot be downloaded ({one_line(error)}). '
            'Remedy: download it elsewhere, and name the file instead'
        ) from None
    except Exception as error:  # a damaged file may raise anything
        if getattr(error, 'filename', None):  # named in the message
            raise
        what = f'{type(error).__name__}: {one_line(error)}'
        raise BrokenCheckpointError(
            f'{filename}: not a checkpoint, or a broken one ({what:.120}). '
            'Remedy: give a .pth file of gml train'
        ) from error
    finally:
        os.environ.pop(forced[0])
        os.environ.update({k: v for k, v in variables.items() if v})
        serialization.clear_safe_globals()
        serialization.add_safe_globals(users)
        # HistoryBuffer.__setstate__ writes into a table of the whole class.
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(statistics)


def _begins_as_checkpoint(filename: str | os.PathLike) -> bool:
    """Whether a file is a zip archive or a pickle; a download counts."""
    try:
        with open(os.path.expanduser(filename), 'rb') as file:
            return file.read(4).startswith((b'PK', b'\x80'))
    except OSError:
        return True


def allowed_globals() -> list[tuple[Callable, str]]:
    """The names that MMEngine's checkpoints may use, and what they load.

    Returns:
        Pairs of an object and the full name in the file: MMEngine's
        HistoryBuffer, NumPy's array and its plain number types, under the
        module names of NumPy 1 and 2. Functions are replaced by our own,
        which do only what these files need.
    """
    import numpy as np
    from mmengine.logging import HistoryBuffer

    dtypes = {type(np.dtype(code)) for code in _number_codes()}
    pairs = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (statistics_method, 'builtins.getattr'),
        (np.ndarray, 'numpy.ndarray'),
        (plain_dtype, 'numpy.dtype'),
    ]
    pairs += [(cls, _global_path(cls)) for cls in dtypes]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        pairs.append((empty_array, f'{module}._reconstruct'))
        pairs.append((plain_scalar, f'{module}.scalar'))
    return pairs


def statistics_method(owner: Any, name: Any) -> Callable:
    """``getattr`` for checkpoints: only HistoryBuffer's own statistics.

    Raises:
        pickle.UnpicklingError: For any other object or attribute.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return vars(HistoryBuffer)[name]
    raise pickle.UnpicklingError(
        f'getattr({_name_of(owner)}, {name!r}) is not allowed'
    )


def plain_dtype(code: Any, *_: Any) -> Any:
    """``numpy.dtype`` for checkpoints: bool, integers and floats only.

    NumPy's shared instances are returned, which ignore a state set by a file.
    A copy would accept forged flags, and with them access to foreign memory.
    The byte order is that of this machine.

    Raises:
        pickle.UnpicklingError: For objects, records and other types.
    """
    import numpy as np

    if type(code) is str and code in _number_codes():
        return np.dtype(code)
    raise pickle.UnpicklingError(f'numpy.dtype({code!r}) is not allowed')


def empty_array(cls: Any, *_: Any) -> Any:
    """``_reconstruct`` for checkpoints: an empty array, filled by its state.

    Raises:
        pickle.UnpicklingError: For a subclass of ``numpy.ndarray``.
    """
    import numpy as np

    if cls is np.ndarray:
        return np.ndarray((0,), 'b')
    raise pickle.UnpicklingError(f'an array of {cls!r} is not allowed')


def plain_scalar(dtype: Any, data: Any) -> Any:
    """NumPy's ``scalar`` for checkpoints: one number from its bytes.

    Raises:
        pickle.UnpicklingError: For anything but the bytes of one number.
    """
    import numpy as np

    number = isinstance(dtype, np.dtype) and dtype.kind in 'biuf'
    if number and type(data) is bytes and len(data) == dtype.itemsize:
        return np.frombuffer(data, dtype)[0]
    raise pickle.UnpicklingError('a NumPy scalar of this kind is not allowed')


def _number_codes() -> tuple[str, ...]:
    """NumPy's codes of bool, integers and floats, as pickles write them."""
    whole = tuple(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8))
    return ('b1', *whole, 'f2', 'f4', 'f8')


def _global_path(item: Any) -> str:
    """Full name under which PyTorch's loader finds an allowed object."""
    if isinstance(item, tuple):
        return item[1]
    return f'{item.__module__}.{item.__qualname__}'


def _refusal(error: Exception) -> str:
    """What the file asked for, taken from PyTorch's long message."""
    text = str(error)
    found = re.search(r'GLOBAL (\S+)', text)
    if found:
        return f'it asks for {found[1]}'
    line = re.search(r'WeightsUnpickler error:\s*(.+)', text)
    first = line[1] if line else (text.splitlines() or ['a broken pickle'])[0]
    return ''.join(filter(str.isprintable, first)).strip().rstrip('.')[:200]


def _name_of(item: Any) -> str:
    return getattr(item, '__qualname__', type(item).__qualname__)


def read_config_texts_unrun() -> None:
    """Let MMEngine read the text of a config without running it.

    Upstream: ``Config.fromstring`` writes the text into a file and runs that
    as Python. ``Runner.resume`` passes it ``meta['config']`` of a checkpoint,
    ``BaseInferencer`` passes ``meta['cfg']``; no report upstream is known to
    us. Here such a text is read as values
    (:func:`~gml_mmaction.io.config_text.parse_config`).
    """
    from mmengine.config import Config

    runs = Config.fromstring
    if hasattr(runs, 'repaired_by'):
        return

    @functools.wraps(runs)
    def fromstring(cfg_str: str, file_format: str) -> Config:
        if file_format != '.py':
            return runs(cfg_str, file_format)
        from gml_mmaction.io.config_text import parse_config

        return parse_config(cfg_str)

    mark(fromstring, __name__)
    Config.fromstring = staticmethod(fromstring)


def score_with_whole_weights_only() -> None:
    """Refuse to test a network whose weights do not fit.

    Upstream: ``Runner.load_checkpoint`` leaves what does not fit at random
    values, and only logs it; open-mmlab/mmdetection#11865. Here a checkpoint
    that is tested or resumed must fit in every name and shape
    (:func:`.weights.check_weights`). One that a training starts from may have
    another head.
    """
    from mmengine.runner import Runner

    given = Runner.load_checkpoint
    if hasattr(given, 'repaired_by'):
        return

    @functools.wraps(given)
    def load_checkpoint(
        self: Any, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            checkpoint = given(self, filename, *args, **kwargs)
        except (GMLError, ImportError, OSError):
            raise
        except Exception as error:  # if it is not a table of tensors
            raise CheckpointError(
                f'{filename}: it does not hold the weights of a network '
                f'({one_line(error):.100}). Remedy: give a .pth file of '
                'gml train'
            ) from error
        if begins_training(self):
            return checkpoint
        check_loaded(self.model, checkpoint, filename)
        if self._resume:
            from .resumed import check_records

            check_records(checkpoint, filename)
        return checkpoint

    mark(load_checkpoint, __name__)
    Runner.load_checkpoint = load_checkpoint


def begins_training(runner: Any) -> bool:
    """True in a training that is not resumed: its loop has been built."""
    from mmengine.runner import BaseLoop

    return isinstance(runner._train_loop, BaseLoop) and not runner._resume


def check_loaded(model: Any, checkpoint: Any, filename: str) -> None:
    """Refuse a checkpoint that was loaded only in part.

    Args:
        model: Wrappers (several processes, averages over augmented clips)
            are taken off.
        checkpoint: What MMEngine's runner has loaded.
        filename: Named in the error.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    from mmengine.model import BaseTTAModel, is_model_wrapper

    from .weights import check_weights

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    check_weights(model, checkpoint.get('state_dict', checkpoint), filename)


def resume_from_sound_records() -> None:
    """Let a training go on only from the records of a training.

    Upstream: ``Runner.resume`` and ``load_state_dict`` of its schedules
    accept whatever a checkpoint holds. Wrong records end the run with a
    traceback, some only at the next validation. No report upstream is known
    to us. See :mod:`gml_mmaction.host.resumed`.
    """
    from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
    from mmengine.runner import Runner

    resumes, loads = Runner.resume, _ParamScheduler.load_state_dict
    if hasattr(resumes, 'repaired_by'):
        return

    @functools.wraps(resumes)
    def resume(self: Any, filename: str, *args: Any, **kwargs: Any) -> None:
        from .resumed import check_optimizer, not_resumable

        try:
            resumes(self, filename, *args, **kwargs)
            wrapper = self.optim_wrapper
            single = hasattr(wrapper, 'optimizer')
            for part in [wrapper] if single else wrapper.values():
                check_optimizer(part.optimizer)
        except (GMLError, ImportError, FileNotFoundError):
            raise
        except Exception as error:  # if the records are wrong
            raise not_resumable(filename, error) from error

    @functools.wraps(loads)
    def load_state_dict(self: Any, state_dict: Any) -> None:
        from .resumed import check_scheduler

        check_scheduler(self, state_dict)
        loads(self, state_dict)

    mark(resume, __name__)
    mark(load_state_dict, __name__)
    Runner.resume = resume
    _ParamScheduler.load_state_dict = load_state_dict


def start_from_half_at_least() -> None:
    """Let ``init_cfg=dict(type='Pretrained', ...)`` load what it names.

    Upstream: ``PretrainedInit`` accepts a file without any tensor of the
    network, and only logs it; open-mmlab/mmdetection#11865 likewise. Here
    half of the tensors must be there (:func:`.weights.load_half`), and the
    file of a whole network may start its backbone.
    """
    from mmengine.model.weight_init import PretrainedInit, update_init_info

    if hasattr(PretrainedInit.__call__, 'repaired_by'):
        return

    @functools.wraps(PretrainedInit.__call__)
    def call(self: Any, module: Any) -> None:
        from .weights import load_half, read_weights

        state = read_weights(self.checkpoint)
        load_half(module, state, self.checkpoint, self.prefix)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    mark(call, __name__)
    PretrainedInit.__call__ = call


def _why_safe_loading() -> str:
    version = importlib.metadata.version('torch')
    if [int(part) for part in re.findall(r'\d+', version)[:2]] < [2, 6]:
        raise StackError(
            f'torch {version} has no list of allowed classes in its safe '
            f'loader. Remedy: {advice("torch")}'
        )
    return 'no MMEngine both loads its own checkpoints and refuses code'


def _why_config_texts() -> str:
    """Read a text that has a value only if it is run."""
    from mmengine.config import Config

    with contextlib.suppress(OSError):  # no place to write the text
        try:
            read = inspect.unwrap(Config.fromstring)('x = 1 + 1', '.py')
        except ValueError:
            return ''
        if read.get('x') != 2:
            return ''
    return 'the installed MMEngine runs the text of a config'


def _why_whole_weights() -> str:
    """Load nothing into a network."""
    import torch
    from mmengine.runner.checkpoint import load_state_dict

    try:
        load_state_dict(torch.nn.Linear(1, 1), {}, logger='silent')
    except RuntimeError:
        return ''
    return 'MMEngine only logs what of a checkpoint does not fit'


def _why_sound_records() -> str:
    """Give a schedule a state that is not that of a schedule."""
    from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

    schedule = _ParamScheduler.__new__(_ParamScheduler)
    load = inspect.unwrap(_ParamScheduler.load_state_dict)
    try:
        load(schedule, {'no such setting': 1})
    except (KeyError, TypeError, ValueError):
        return ''
    return 'MMEngine takes over whatever a checkpoint records'


WORKAROUNDS = (
    Workaround(
        'safe loading of checkpoints',
        'open-mmlab/mmengine#1655',
        _why_safe_loading,
        load_checkpoints_safely,
    ),
    Workaround(
        'texts of configs that are run',
        'mmengine/config/config.py, Config.fromstring',
        _why_config_texts,
        read_config_texts_unrun,
    ),
    Workaround(
        'scores of weights that were not loaded',
        'open-mmlab/mmdetection#11865, Runner.load_checkpoint',
        _why_whole_weights,
        score_with_whole_weights_only,
    ),
    Workaround(
        'trainings that go on from strange records',
        'mmengine/runner/runner.py, Runner.resume',
        _why_sound_records,
        resume_from_sound_records,
    ),
    Workaround(
        'pretrained files of other networks',
        'mmengine/model/weight_init.py, PretrainedInit',
        _why_whole_weights,
        start_from_half_at_least,
    ),
)

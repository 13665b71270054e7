"""What the commands that run a detector share: options and the config."""

import argparse
import os
from contextlib import AbstractContextManager, nullcontext
from locale import getpreferredencoding
from pathlib import Path

from mmengine.config import Config

from gml_mmaction.engine.config_check import change_settings, read_settings
from gml_mmaction.engine.settings import LOADERS, inner_datasets
from gml_mmaction.errors import SettingError
from gml_mmaction.host.configs import configs_folder, find_config
from gml_mmaction.host.processes import refuse_nccl
from gml_mmaction.io.lock import hold

CONFIGS = configs_folder()
# Where launchers say which process this is.
RANKS = {
    'pytorch': 'RANK',
    'slurm': 'SLURM_PROCID',
    'mpi': 'OMPI_COMM_WORLD_RANK',
}


def config_file(text: str) -> Path:
    """:func:`find_config` for an option; its line is that of ``argparse``."""
    try:
        return find_config(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that take a config or a checkpoint."""
    parser.add_argument(
        '--import',
        dest='modules',
        action='append',
        default=[],
        metavar='MODULE',
        help='a file or module of your own, which is run; networks that it '
        'registers may be named by configs and checkpoints',
    )


def add_figure_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands that draw what a detector makes of a face."""
    add = parser.add_argument
    add('--out', default='figures', metavar='FOLDER', help='folder to write')
    add(
        '--start',
        type=float,
        default=0.0,
        metavar='SECONDS',
        help='start of the search for a face',
    )
    add('--device', help='cpu, cuda:0, ...; default: the best there is')
    add_import_option(parser)


def import_modules(args: argparse.Namespace) -> None:
    """Import what ``--import`` names.

    Raises:
        SettingError: There is none, or it cannot be imported.
    """
    modules = getattr(args, 'modules', ())
    if modules:
        from gml_mmaction.apis.allowed import import_own

        for module in modules:
            import_own(module)


def imports_of(args: argparse.Namespace) -> list[str]:
    """The ``--import`` of a command line, for another command."""
    return [word for one in args.modules for word in ('--import', one)]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options that training and testing share."""
    add_import_option(parser)
    parser.add_argument(
        '--data',
        metavar='FOLDER',
        help="folder of prepared data, instead of the config's: data_root "
        'of every loader',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='change settings of the config, as in '
        'train_dataloader.batch_size=8 or key="[a,b]"',
    )
    parser.add_argument(
        '--tf32',
        action=argparse.BooleanOptionalAction,
        help='on a GPU, compute float32 convolutions and matrix products in '
        "TF32 or not; default: PyTorch's own, TF32 in convolutions alone",
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def read_config(args: argparse.Namespace) -> Config:
    """Read the config; apply launcher, data, work dir and overrides."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    import_modules(args)
    path = find_config(args.config)
    cfg = read_settings(path)
    cfg.launcher = args.launcher
    if args.data is not None:
        for name in filter(cfg.get, LOADERS):
            for dataset in inner_datasets(cfg[name].dataset):
                dataset.data_root = args.data
    refuse_nccl(args.cfg_options or ())
    change_settings(cfg, args.cfg_options or ())
    if args.tf32 is not None:
        cfg.tf32 = args.tf32
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', path.stem))
    return cfg


def one_run(cfg: Config, what: str) -> AbstractContextManager:
    """Keep other runs of the kind out of the work dir.

    All processes of a launcher are one run: its first one holds the folder.

    Raises:
        SettingError: MMEngine cannot write the folder's name into its files.
    """
    try:
        os.path.abspath(cfg.work_dir).encode(getpreferredencoding(False))
    except UnicodeEncodeError:
        raise SettingError(
            f'work_dir {cfg.work_dir}: the name is not UTF-8, or the '
            'locale cannot write it. Remedy: another name, or PYTHONUTF8=1'
        ) from None
    rank = RANKS.get(cfg.launcher, '')
    if os.environ.get(rank, '0') == '0':
        return hold(cfg.work_dir, what)
    return nullcontext()

"""Test a checkpoint on MMEngine's runner; the flags are MMAction2's.

Example:
    python tools/test.py configs/gml_xception_ffpp.py best_video_auc.pth
"""

import argparse

from mmengine.config import Config
from train import add_run_options, one_line_errors, read_config

from gml_mmaction.host import build_runner


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Test a detector.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--work-dir', help='folder of logs and scores')
    parser.add_argument(
        '--dump', metavar='FILE.pkl', help='write all predictions to a file'
    )
    add_run_options(parser)
    return parser.parse_args(argv)


def dump_predictions(cfg: Config, path: str) -> None:
    """Add the host's ``DumpResults`` to the evaluators."""
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    dump = dict(type='DumpResults', out_file_path=path)
    cfg.test_evaluator = [*evaluators, dump]


def main(argv: list[str] | None = None) -> dict:
    """Test; returns the metrics."""
    args = parse_args(argv)
    with one_line_errors():
        cfg = read_config(args)
        if args.dump is not None:
            dump_predictions(cfg, args.dump)
        cfg.load_from = args.checkpoint
        return build_runner(cfg).test()


if __name__ == '__main__':
    main()

"""Checkpoints that lie, that ask for more than tensors, or do not fit."""

import importlib
import itertools
import json
import re
import shutil
import sys
import tempfile
import warnings
import zipfile

import mutate
from folders import write_files
from tiny import CONFIG, TINY, write_detector, write_prepared
from watch import ADDRESS, REPO

sys.path.insert(0, str(REPO / 'tools'))
OUT_OF_BOUNDS = (
    *(7.5, -1, 0, True, '0.5', float('nan'), float('inf'), 10**12, 10**30),
    *(None, [], {}, 'x', '\x1b[2J\na.mp4: genuine', 1e-300, [0.5], 2, 4096),
)
WORDS = (
    'x\x1b]0;title\x07\x1b[2J\na.mp4: NOT SUSPICIOUS\x1b[8m',
    *('a\u202egpm', '\ud800', 'x' * 100_000, 7, None, ['a', 1], {'a': 1}),
)
PLACES = ('/etc/passwd', f'../{mutate.OUTSIDE}/secret.pth', '', '.', 7, None)
# where in a checkpoint, and what may stand there
ADDED = (
    *(
        (('meta', 'provenance', 'training', key), OUT_OF_BOUNDS)
        for key in (
            *('size', 'stride', 'quality', 'min_frames', 'upsample', 'lost'),
            *('search_stride', 'check_stride', 'real_videos', 'source'),
            *('source_options', 'methods', 'image', 'store', 'origin'),
        )
    ),
    *(
        (('meta', 'provenance', 'validation', key), OUT_OF_BOUNDS)
        for key in ('metrics', 'source', 'clips', 'num_clips', 'iter')
    ),
    *(
        (('meta', 'provenance', part, key), WORDS)
        for part, key in (
            *(('training', 'source'), ('training', 'origin')),
            *(('training', 'methods'), ('training', 'manifest')),
            *(('training', 'source_options'), ('validation', 'source')),
        )
    ),
    *(
        (
            ('meta', 'provenance', 'validation', 'metrics', key),
            OUT_OF_BOUNDS,
        )
        for key in ('video/eer_threshold', 'video/auc')
    ),
    *(
        (('meta', key), OUT_OF_BOUNDS)
        for key in ('provenance', 'dataset_meta', 'iter', 'epoch', 'seed')
    ),
    *(
        (('meta', 'dataset_meta', key), (*OUT_OF_BOUNDS, *WORDS))
        for key in ('filename_tmpl', 'size', 'stride', 'source', 'classes')
    ),
    *(
        (('message_hub', 'runtime_info', key), (*PLACES, *OUT_OF_BOUNDS))
        for key in ('best_ckpt', 'best_score', 'last_ckpt', 'keep_ckpt_ids')
    ),
    *(
        (place, OUT_OF_BOUNDS)
        for place in (
            *(('message_hub',), ('optimizer',), ('param_schedulers',)),
            *(('state_dict',), ('ema_state_dict',), ('meta', 'config')),
            *(('optimizer', 'state'), ('optimizer', 'param_groups')),
        )
    ),
    (('meta', 'experiment_name'), (*PLACES, *WORDS)),
    (('meta', 'mmengine_version'), WORDS),
    (('meta', 'time'), WORDS),
)
FILES = (
    *({'backend': 'petrel'}, {'backend': 'http'}, {'backend': 'local'}),
    *({'backend': 'memcached', 'server_list_cfg': 'a', 'client_cfg': 'b'},),
    *('memcached', 'http', 'lmdb', 7, {'io_backend': 'http'}),
)
# what may be put into a dict of a config
KEYS = (
    *(('_scope_', name) for name in (*('antigravity', 'bait', 'torch'), 7)),
    *(
        ('type', name)
        for name in (
            *('antigravity', 'bait.Bait', 'os.system', 'LoadRGBFromFile'),
            *('DecordInit', 'PyAVInit', 'ResNet50', 'TwoStream', 'Runner', 7),
            *('DumpResults', 'Pretrained', 'Sequential', 'print', 'DRN'),
        )
    ),
    *(('backend_args', value) for value in FILES),
    *(('io_backend', value) for value in FILES),
    *(('file_client_args', value) for value in FILES),
    *(('sys_path', '.'), ('sys_path', f'../{mutate.OUTSIDE}')),
    *(('custom_imports', {'imports': name}) for name in ('bait', ['this'])),
    *(
        (key, {'type': 'Pretrained', 'checkpoint': place})
        for key in ('init_cfg', 'pretrained')
        for place in (
            f'http://{ADDRESS}/x.pth',
            f'../{mutate.OUTSIDE}/secret.pth',
            'torchvision://resnet50',
        )
    ),
    *(('pretrained', True), ('pretrained2d', f'http://{ADDRESS}/x.pth')),
    *((key, 10**9) for key in ('width', 'depth', 'size', 'clip_len')),
    *((key, -1) for key in ('width', 'depth', 'size', 'clip_len')),
    *((key, '1') for key in ('width', 'num_classes', 'size', 'clip_len')),
    *((key, True) for key in ('width', 'num_classes', 'size', 'clip_len')),
)


def make_checkpoint(root):

    (root / 'data').mkdir(parents=True)
    write_detector(root / 'data/best.pth')


def read_checkpoint(root):
    """As predicting does: the network, its words, the score of a clip."""
    import numpy as np

    from gml_mmaction.apis import load_detector

    detector = load_detector(root / 'data/best.pth', 'cpu')
    json.dumps(detector.facts, allow_nan=False)
    for line in (*detector.words, detector.origin, detector.level):
        assert line.isprintable(), line
    assert 0 <= detector.threshold.value <= 1
    size = detector.crop_options.size
    clip = np.zeros((detector.clip_len, size, size, 3), np.uint8)
    scores, _ = detector.score([[detector.encode(crop) for crop in clip]])
    assert scores.shape == (1,)


class _Runs:
    """Pickles as a call; to be loaded it must be called."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _payloads():
    import os
    import subprocess

    import torch

    return (
        _Runs(os.system, 'touch /tmp/outside'),
        _Runs(subprocess.Popen, ['true']),
        _Runs(eval, '__import__("os").mkdir("/tmp/outside")'),
        _Runs(open, '/tmp/outside', 'w'),
        _Runs(torch.load, '/tmp/outside'),
        _Runs(torch.hub.load_state_dict_from_url, f'http://{ADDRESS}/x'),
        _Runs(getattr, dict, 'pop'),
        _Runs(bytearray, 10**12),
    )


def load(path):
    """Load a checkpoint that is whole."""
    from mmengine.runner.checkpoint import CheckpointLoader

    return CheckpointLoader.load_checkpoint(str(path), 'cpu', logger='silent')


def damage_checkpoint(rng, path):
    """The file, its archive's members, its tree, its config, its pickle."""
    import torch

    chance = rng.random()
    if chance < 0.2:
        mutate.damage(rng, path)
    elif chance < 0.35:
        damage_members(rng, path)
    else:
        content = load(path)
        meta = content['meta']
        if chance < 0.42:
            meta['extra'] = mutate.pick(rng, _payloads())
        elif chance < 0.6:
            meta['cfg'] = damage_config(rng, meta['cfg'])
        elif chance < 0.9:
            for _ in range(1 + int(rng.integers(2))):
                add_record(rng, content)
        elif chance < 0.97:
            content['meta'] = mutate.damage_tree(rng, meta)
        else:
            content = mutate.damage_tree(rng, content)
        torch.save(content, path)


def add_record(rng, content):
    """Let a record of a checkpoint say something else."""
    (*inner, last), values = mutate.pick(rng, ADDED)
    for key in inner:
        if not isinstance(content.get(key), dict):
            content[key] = {}
        content = content[key]
    content[last] = mutate.pick(rng, values)


def damage_members(rng, path):
    """Damage, rename, repeat, compress or leave out members of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at, way = int(rng.integers(len(members))), int(rng.integers(6))
    name, data = members[at]
    method = zipfile.ZIP_STORED
    if way == 0:
        members[at] = name, mutate.damage_bytes(rng, data)
    elif way == 1:
        other = mutate.pick(rng, ('../x', '/x', 'x', name + 'x'))
        members[at] = other, data
    elif way == 2:
        del members[at]
    elif way == 3:
        members.append((name, bytes(len(data))))
    else:
        method = mutate.pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
        if way == 5:
            members[at] = name, bytes(10**8)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of a name that is repeated
        with zipfile.ZipFile(path, 'w', method) as archive:
            for name, data in members:
                archive.writestr(name, data)


PREFIXES = (
    *('module.', '_orig_mod.', 'module._orig_mod.', 'module.module.'),
    *('net.', 'model.', 'backbone.', '.', 'module', ' ', '\x1b[2J'),
)


def damage_weights(rng, path):
    """Other names, shapes and types of tensors, other tables around them."""
    import torch

    content = load(path)
    state = dict(content['state_dict'])
    names = list(state)
    some = [names[i] for i in rng.permutation(len(names))[:3]]
    if rng.random() < 0.5:
        some = some[:1]
    if rng.random() < 0.4:
        some = names
    way, prefix = int(rng.integers(8)), mutate.pick(rng, PREFIXES)
    changes = (
        lambda x: x.half(),
        lambda x: x.double(),
        lambda x: x.long(),
        lambda x: x.to(torch.complex64),
        lambda x: x.float() * float('nan'),
        lambda x: x[None],
        lambda x: x.flatten()[:1],
        lambda x: x.float().to_sparse(),
        lambda x: x.to('meta'),
        lambda x: x.tolist(),
        lambda x: None,
        lambda x: torch.empty(0),
    )
    change = mutate.pick(rng, changes)
    if way < 3:
        state = {prefix * (n in some) + n: x for n, x in state.items()}
    elif way == 3:
        state = {n: x for n, x in state.items() if n not in some}
    elif way == 4:
        state |= {prefix + name: state[name] for name in some}
    elif way == 5:
        state |= {name: change(state[name]) for name in some}
    elif way == 6:
        state = mutate.damage_tree(rng, state)
    else:
        outer = mutate.pick(rng, ('model', 'state_dict', 'ema_state_dict', ''))
        state = {outer: state}
    content['state_dict'] = state
    if rng.random() < 0.1:
        content = state
    torch.save(content, path)


CODE = (
    'import os',
    'x = open("/etc/passwd")',
    'model = __import__("os").system("true")',
    '_base_ = "/etc/passwd"',
    'custom_imports = dict(imports=["antigravity"])',
    'model = {**{}}',
    'x = {[]: 1}',
    'x = {{}}',
    'x = ' + '(' * 500 + ')' * 500,
    'x = ' + '-' * 5000 + '1',
    'x = 1' + '0' * 5000,
    'x = -"a"',
    'x = -True',
    'x = "\\ud800"',
    'x = f"{1}"',
    "model = dict(type='os.system')",
    "model = dict(type='Recognizer3D', backbone=dict(type='print'))",
    'x = y = 1',
    'keys = 1',
    'items = 1',
    '_cfg_dict = 1',
    'filename = "x"',
)


def damage_config(rng, text):
    """Other values and other statements in the text of a config."""
    lines = text.splitlines()
    way = int(rng.integers(6))
    if way > 3:
        return add_key(rng, text)
    if way == 0:
        data = mutate.damage_bytes(rng, text.encode())
        return data.decode(errors='replace')
    if way == 1:
        lines.insert(int(rng.integers(len(lines) + 1)), mutate.pick(rng, CODE))
        return '\n'.join(lines)
    if way == 2:
        return mutate.damage_lines(rng, text.encode()).decode(errors='replace')
    at = int(rng.integers(len(lines)))
    key, equals, _ = lines[at].partition('=')
    if equals:
        lines[at] = f'{key}={mutate.pick(rng, mutate.VALUES)!r},'
    return '\n'.join(lines)


def add_key(rng, text):
    """Put a key into a dict of a config, rather where a network is built."""
    from gml_mmaction.io.config_text import parse_config

    tree = parse_config(text).to_dict()
    top = mutate.pick(rng, ('model', 'model', 'test_dataloader', None))
    key, value = mutate.pick(rng, KEYS)
    places = [
        inner
        for inner in mutate.dicts(tree if top is None else tree[top])
        if rng.random() < 0.5 or key in inner
    ]
    mutate.pick(rng, places or [tree])[key] = value
    return ''.join(f'{name} = {item!r}\n' for name, item in tree.items())


def make_config(root):
    from mmengine.config import Config

    text = Config.fromfile(CONFIG).pretty_text
    write_files(root / 'data', **{'config.py': text})


def damage_config_file(rng, path):
    text = damage_config(rng, path.read_text())
    path.write_text(text, errors='replace')


def read_config(root):
    from gml_mmaction.io.config_text import parse_config

    parse_config((root / 'data/config.py').read_text()).pretty_text  # noqa: B018


def make_resumed(root):
    make_checkpoint(root)
    whole = (root / 'data/best.pth').read_bytes()
    (root / 'data/best.pth').unlink()
    write_files(root / 'data', **{'iter_2.pth': whole, 'iter_4.pth': whole})


def read_resumed(root):
    """A damaged newest checkpoint is passed over, or names itself."""
    from mmengine.runner.checkpoint import CheckpointLoader

    from gml_mmaction.engine import newest_checkpoint

    path = newest_checkpoint(root / 'data')
    if path is not None:
        CheckpointLoader.load_checkpoint(str(path), 'cpu', logger='silent')


# --- the real runner -----------------------------------------------------

SETTINGS = {
    **TINY,
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0,
}


NUMBERS = itertools.count()


def run(tool, root, work_dir, *arguments, **settings):
    """Run a tool of the runner, on data in ``data/prepared``."""
    # MMEngine keeps logs and records of a name for the whole process
    settings = SETTINGS | settings | {'experiment_name': f'run{next(NUMBERS)}'}
    options = [f'{key}={value}' for key, value in settings.items()]
    (root / 'out').mkdir(exist_ok=True)
    tempfile.tempdir = str(root / 'out')
    try:
        importlib.import_module(f'gml_mmaction.cli.{tool}').main(
            [
                *(str(CONFIG), *map(str, arguments)),
                *('--data', str(root / 'data/prepared')),
                *('--work-dir', str(work_dir), '--cfg-options', *options),
            ]
        )
    finally:
        tempfile.tempdir = None


def make_run(root):
    """Train for four iterations; keep the last checkpoint."""
    pairs = dict(train='ab', val='cd', test='ef')
    write_prepared(
        root / 'data/prepared',
        {
            split: [(a, 'real', [a], 1), (b, 'swap', [b], 1)]
            for split, (a, b) in pairs.items()
        },
        frames=8,
    )
    run('train', root, root / 'out/run', '--seed', '0')
    write_files(
        root / 'data/run',
        **{'iter_4.pth': (root / 'out/run/iter_4.pth').read_bytes()},
    )
    shutil.rmtree(root / 'out')


def read_run(root):
    """Go on from a checkpoint, to a validation and a better one."""
    folder = root / 'data/run'
    arguments = ('--resume', folder / 'iter_4.pth')
    run('train', root, folder, *arguments, **{'train_cfg.max_iters': 6})
    assert (folder / 'iter_6.pth').exists()


FILE = 'data/run/iter_4.pth'


def make_weights(root):
    make_run(root)
    shapes = {
        name: list(tensor.shape)
        for name, tensor in load(root / FILE)['state_dict'].items()
    }
    write_files(root / 'data', **{'shapes.json': shapes})


def read_weights(root):
    """Test them; there is no score of weights that do not fit."""
    run('test', root, root / 'out/run', root / FILE)
    content = load(root / FILE)
    state = content.get('state_dict', content)
    found = {
        re.sub(r'^((module|_orig_mod)\.)+', '', name): list(tensor.shape)
        for name, tensor in state.items()
    }
    expected = json.loads((root / 'data/shapes.json').read_text())
    for shapes in (found, expected):
        for name in [*shapes]:
            if name.endswith('num_batches_tracked'):
                del shapes[name]
    assert found == expected, 'scored with weights that do not fit'

"""Damages files, reproducibly: bytes, JSON, lists of lines, the file itself.

Everything is drawn from the generator that is given, so that the same one
makes the same damage.
"""

import copy
import json
import shutil

from watch import ADDRESS

DEEP = b'[' * 100_000 + b']' * 100_000
OUTSIDE = 'outside'  # a folder beside the data root, which nobody may touch
PATHS = (
    '..',
    '.',
    '',
    '/',
    '../..',
    f'../{OUTSIDE}',
    f'../{OUTSIDE}/secret',
    f'x/../../{OUTSIDE}/secret.mp4',
    f'../../../../../../../../../../tmp/{OUTSIDE}/secret.mp4',
    '/etc/passwd',
    '/etc/hostname.mp4',
    '/dev/zero',
    'C:\\x.mp4',
    '~/x.mp4',
    'file:///etc/passwd',
    f'http://{ADDRESS}/x.mp4',
)
TEXTS = (
    *PATHS,
    'a\0b',
    'a\nb: c',
    '\x1b[2J',
    '\ud800',
    '\u202egpm.exe',
    'é' * 300,
    'x' * 5000,
    '{0.__class__}',
    '{:999999999}',
    '%s%n',
    '1e999',
    '١٢٣',
)
VALUES = (
    *TEXTS,
    *(None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 2**63, -(2**63), 10**30),
    *(0.5, -0.5, 1e308, float('nan'), float('inf'), -float('inf')),
    *([], {}, [[]], [None], {'': None}, [1, 2], [0, 0, 0], {'type': 'x'}),
)


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def damage_bytes(rng, data):
    """Flip, cut, repeat, insert, swap or blank some bytes."""
    if not data:
        return rng.bytes(20)
    place, other = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    short = min(other, place + int(rng.integers(1, 64)))
    some = bytearray(data)
    for at in rng.integers(0, len(data), 1 + int(rng.integers(8))):
        some[at] ^= 1 << int(rng.integers(8))
    ways = (
        lambda: bytes(some),
        lambda: data[:place],
        lambda: data[:place] + data[short:],
        lambda: data[:place] + data[place:other] * 2 + data[other:],
        lambda: (
            data[:place] + rng.bytes(int(rng.integers(1, 64))) + data[place:]
        ),
        lambda: data[other:] + data[place:other] + data[:place],
        lambda: (
            data[:place]
            + pick(rng, (b'\0', b'\xff')) * (short - place)
            + data[short:]
        ),
        lambda: data[:place] + b'\xff\xff\xff\xff' + data[place + 4 :],
    )
    return pick(rng, ways)()


def damage_tree(rng, tree):
    """Replace, remove, rename, repeat or wrap one node of dicts and lists."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places or rng.random() < 0.03:
        return pick(rng, VALUES)
    parent, key = pick(rng, places)
    ways = [_replace, _replace, _replace, _remove, _wrap]
    ways.append(_rename if isinstance(parent, dict) else _repeat)
    pick(rng, ways)(rng, parent, key)
    return tree


def _places(tree):
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in inner:
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def dicts(tree):
    """Yield all dicts of a tree, itself the first."""
    if isinstance(tree, dict):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, (dict, list)):
            yield from dicts(value)


def _replace(rng, parent, key):
    parent[key] = copy.deepcopy(pick(rng, VALUES))


def _remove(rng, parent, key):
    del parent[key]


def _rename(rng, parent, key):
    parent[pick(rng, TEXTS)] = parent.pop(key)


def _repeat(rng, parent, key):
    parent.append(copy.deepcopy(parent[key]))


def _wrap(rng, parent, key):
    parent[key] = pick(rng, ([parent[key]], {'x': parent[key]}))


def damage_json(rng, data):
    tree = damage_tree(rng, json.loads(data))
    if rng.random() < 0.3:
        tree = damage_tree(rng, tree) if isinstance(tree, dict) else tree
    return json.dumps(tree, ensure_ascii=bool(rng.integers(2))).encode(
        errors='surrogatepass'
    )


def damage_lines(rng, data):
    """Replace a word or a line, remove, repeat or move lines."""
    lines = data.decode().splitlines()
    at = int(rng.integers(len(lines)))
    words = lines[at].replace(',', ' , ').split(' ')
    words[int(rng.integers(len(words)))] = pick(rng, TEXTS)
    ways = (
        [*lines[:at], ' '.join(words).replace(' , ', ','), *lines[at + 1 :]],
        [*lines[:at], pick(rng, TEXTS), *lines[at + 1 :]],
        lines[:at] + lines[at + 1 :],
        [*lines, lines[at]],
        lines[::-1],
    )
    return '\n'.join(pick(rng, ways)).encode(errors='surrogatepass')


STRUCTURED = {'.json': damage_json, '.txt': damage_lines, '.csv': damage_lines}


def damage(rng, path):
    """Damage one file, or what it is."""
    data = path.read_bytes()
    chance = rng.random()
    if chance < 0.04:
        damage_place(rng, path)
    elif path.suffix in STRUCTURED and chance < 0.65:
        path.write_bytes(STRUCTURED[path.suffix](rng, data))
    elif path.suffix in STRUCTURED and chance < 0.67:
        path.write_bytes(DEEP)
    else:
        path.write_bytes(damage_bytes(rng, data))


def damage_place(rng, path):
    """Let a file be empty, gone, a folder, or a link to itself or nothing."""
    path.unlink()
    ways = (
        path.touch,
        lambda: None,
        path.mkdir,
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to('nothing'),
    )
    pick(rng, ways)()


def rename(rng, path):
    """Give a file another name, as far as a file system has it."""
    name = pick(rng, TEXTS).encode(errors='surrogatepass')[:200]
    name = (
        name.replace(b'\0', b'')
        .replace(b'/', b'_')
        .decode(errors='surrogateescape')
    )
    if name not in ('', '.', '..'):
        new = path.with_name(name + path.suffix)
        if not new.exists():
            shutil.move(path, new)

"""Tests for a GPU, which no GPU has run yet.

    GML_GPU_TESTS_ON=cuda pytest tests/gpu     # make gpu runs them
    GML_GPU_TESTS_ON=cpu pytest tests/gpu      # tries the tests themselves

Without the variable a quick part is tried on the CPU, the rest is skipped.
On a CPU the networks are the small ones, for 64x64 crops.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from tiny import make_crops
from where import ASKED, DEVICE


def pytest_collection_modifyitems(items):
    if DEVICE == 'cuda' and not torch.cuda.is_available():
        pytest.exit('GML_GPU_TESTS_ON=cuda: PyTorch sees no GPU', 2)
    skip = pytest.mark.skip(reason='for a GPU; GML_GPU_TESTS_ON=cpu tries it')
    for item in items if not ASKED else ():
        if 'gpu' in item.path.parts and 'tried' not in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope='session')
def device():
    """Where the tests run."""
    return DEVICE


@pytest.fixture(autouse=True, scope='module')
def _float32():
    """In float32 throughout, so that a CPU can be compared with."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32 = products.allow_tf32 = cudnn.benchmark = False
    yield
    cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark = before


@pytest.fixture(scope='session')
def on_gpu():
    """Skip what a CPU cannot try."""
    if DEVICE != 'cuda':
        pytest.skip('only a GPU has it')


@pytest.fixture
def note(request):
    """Write a number for the report: a line of JSON."""
    folder = os.environ.get('GML_GPU_OUT')

    def write(**numbers):
        if folder:
            row = dict(test=request.node.name, device=DEVICE, **numbers)
            with Path(folder, 'notes.jsonl').open('a') as file:
                file.write(json.dumps(row) + '\n')

    return write


@pytest.fixture(scope='session')
def crops(tmp_path_factory):
    """Prepared data of 64x64: real videos slide, fake ones jump about."""
    root = tmp_path_factory.mktemp('crops')
    for split, videos in dict(train=16, val=8, test=8).items():
        make_crops(root, split, videos, label_of=lambda number: number % 2)
    return root

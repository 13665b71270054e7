"""Both ways to compute a motion block faster: operators, and the kernel."""

import ctypes
import os

import pytest

from gml_mmaction.kernels import library


@pytest.fixture(scope='session')
def compiled(tmp_path_factory):
    """The compiled kernel, built anew; None without a compiler."""
    cache = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        cache = cache.parent  # once for all workers
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(cache))
        path = library.library_path()
        try:
            return ctypes.CDLL(str(path if path.exists() else library.build()))
        except OSError:
            return None


@pytest.fixture(params=['operators', 'kernel'])
def way(request, compiled, monkeypatch):
    """Let each test run by PyTorch's operators and by the compiled kernel."""
    if request.param == 'operators':
        monkeypatch.setattr(library, '_library', lambda: None)
    elif compiled is None:
        pytest.skip('no C compiler')
    else:
        monkeypatch.setattr(library, '_library', lambda: compiled)
    return request.param

"""What the tests of sources share: trees of empty files."""

import pytest


@pytest.fixture
def touch(tmp_path):
    """Make empty files below a folder of the test's own; return it.

    Sources list files and open none, so these do for videos.
    """

    def make(*names, root=tmp_path):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make

"""What pyproject.toml cannot declare of the package gml-mmaction."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies configs, tools and the model index to ``gml_mmaction/.mim``.

    OpenMMLab's packages have them there, and ``mim`` looks there. An editable
    installation has those of the clone.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib, 'gml_mmaction', '.mim')
        shutil.rmtree(mim, ignore_errors=True)  # of an older build
        for folder in ('configs', 'tools'):
            shutil.copytree(
                folder,
                mim / folder,
                ignore=shutil.ignore_patterns('__pycache__'),
            )
        shutil.copy('model-index.yml', mim)


setup(cmdclass={'build_py': BuildWithConfigs})

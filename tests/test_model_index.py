"""Facts about the model index: it lists the configs, all and no others.

The rules of the format (PyPI's ``model-index``) are written out here: files
to import are named from the root, a README from the file that names it.
"""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

REPO = Path(__file__).parents[1]
FULL_SIZE = [
    path.relative_to(REPO).as_posix()
    for path in sorted((REPO / 'configs').rglob('*.py'))
    if '_base_' not in path.parts and 'small' not in path.stem
]
IMPORTS = yaml.safe_load((REPO / 'model-index.yml').read_text())['Import']
METAFILES = {
    name: yaml.safe_load((REPO / name).read_text()) for name in IMPORTS
}
MODELS = [m for file in METAFILES.values() for m in file['Models']]
SETS = {
    'FaceForensics++ (c23)': 'data/ffpp',
    'DeeperForensics-1.0 (std)': 'data/dfo_official',
    'Celeb-DF v2': 'data/cdf',
    'Genuine videos and pseudo-fakes of them': 'data/genuine',
}


def test_every_metafile_is_imported():
    files = (REPO / 'configs').rglob('*.yml')
    assert sorted(IMPORTS) == sorted(
        path.relative_to(REPO).as_posix() for path in files
    )


def test_every_full_size_config_is_listed_once():
    assert sorted(model['Config'] for model in MODELS) == sorted(FULL_SIZE)


def test_no_two_collections_have_the_same_name():
    names = [
        collection['Name']
        for file in METAFILES.values()
        for collection in file['Collections']
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_a_model_is_named_after_its_config_and_says_what_it_reads(model):
    assert model['Name'] == Path(model['Config']).stem
    cfg = Config.fromfile(REPO / model['Config'])
    root = cfg.train_dataloader.dataset.data_root
    assert SETS[model['Metadata']['Training Data']] == root


@pytest.mark.parametrize('name', IMPORTS)
def test_a_metafile_describes_the_collection_of_its_models(name):
    (collection,) = METAFILES[name]['Collections']
    assert ((REPO / name).parent / collection['README']).is_file()
    assert set(collection['Paper']) == {'URL', 'Title'}
    assert collection['Paper']['URL'].startswith('https://')
    for model in METAFILES[name]['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Metadata']['Architecture']


def test_nothing_is_claimed_that_was_not_trained():
    for model in MODELS:
        assert not {'Weights', 'Results'} & set(model)


def test_the_formats_own_loader_reads_the_same_and_finds_no_error():
    index = pytest.importorskip('modelindex').load(str(REPO))
    assert [m.config for m in index.models] == [m['Config'] for m in MODELS]
    assert index.check(silent=True) == []

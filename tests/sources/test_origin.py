import json
from types import SimpleNamespace

import pytest

from gml_mmaction.engine.provenance import describe_training
from gml_mmaction.prepared.prepare import prepare_videos
from gml_mmaction.sources import get_source
from gml_mmaction.sources.origin import read_origins, write_origin
from gml_mmaction.synthetic.demo import make_demo
from gml_mmaction.synthetic.trees import make_celeb_df_tree

MADE_UP = 'made-up videos of one portrait, no real forgery'


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp('demo')
    make_demo(root, num_train=4, num_val=4, num_test=4, frames=16, workers=1)
    return root


@pytest.mark.slow
def test_a_made_up_tree_tells_preparation_and_training_what_it_is(
    demo, tmp_path
):
    prepare_videos(
        get_source('ffpp')(demo),
        tmp_path,
        source='ffpp',
        root=demo,
    )
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['origin']['train'] == MADE_UP
    assert next(iter(manifest)) == 'origin'
    annotation = json.loads((tmp_path / 'train.json').read_text())
    dataset = SimpleNamespace(
        metainfo=annotation['metainfo'], data_root=str(tmp_path)
    )
    assert describe_training(dataset)['origin'] == MADE_UP


@pytest.mark.slow
def test_a_tree_made_of_a_made_up_one_says_the_same(demo, tmp_path):
    make_celeb_df_tree(demo, tmp_path / 'tree')
    videos = get_source('cdf')(tmp_path / 'tree')
    assert read_origins(videos)['test'] == MADE_UP


def test_made_up_videos_among_others_are_told(touch, tmp_path):
    touch('made/real/a.mp4', 'other/real/b.mp4')
    write_origin(tmp_path / 'made', {'test': MADE_UP})
    listed = get_source('folder')
    made, other = listed(tmp_path / 'made'), listed(tmp_path / 'other')
    assert read_origins(other) == {}
    assert read_origins(made) == {'test': MADE_UP}
    assert read_origins([*made, *other]) == {'test': f'in part {MADE_UP}'}


@pytest.mark.parametrize(
    'content',
    [
        *('{', '[]', '{"origin": {"test": 1}}'),
        pytest.param(f'{{"origin": {{"test": "{2000 * "x"}"}}}}', id='long'),
    ],
)
def test_a_broken_origin_is_named_with_the_remedy(touch, tmp_path, content):
    touch('real/a.mp4')
    (tmp_path / 'origin.json').write_text(content)
    with pytest.raises(ValueError, match=r'origin\.json.*make the data again'):
        read_origins(get_source('folder')(tmp_path))

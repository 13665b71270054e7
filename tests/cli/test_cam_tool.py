"""Class-activation maps from a checkpoint and videos, by the command."""

import cv2
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import REPO, write_detector

from gml_mmaction.errors import GMLError


@pytest.fixture(scope='module')
def cam(load_tool):
    pytest.importorskip('dlib')
    return load_tool('cam')


@pytest.fixture(scope='module')
def video(talking_head, tmp_path_factory):
    return str(talking_head(tmp_path_factory.mktemp('videos') / 'a.mp4', 20))


def write_baseline(path, name):
    cfg = Config.fromfile(REPO / f'configs/baselines/{name}-small_demo.py')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), path)
    return path


def write_gml(path, _):
    return write_detector(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('write', 'name'),
    [
        (write_gml, 'gml'),
        (write_baseline, 'xception'),
        (write_baseline, 'r3d_r18'),
    ],
)
def test_maps_of_any_network_are_drawn(cam, video, write, name, tmp_path):
    checkpoint = write(tmp_path / f'{name}.pth', name)
    path = cam.main(
        [video, '--checkpoint', str(checkpoint), '--out', str(tmp_path)]
    )
    assert path == tmp_path / 'cam.png'
    assert cv2.imread(str(path)).std() > 10


@pytest.mark.slow
def test_another_layer_gives_another_map(cam, video, tmp_path):
    checkpoint = str(write_detector(tmp_path / 'best.pth'))
    pictures = []
    for layer in ('backbone/block2', 'backbone/block12'):
        path = cam.main(
            [
                *(video, '--checkpoint', checkpoint, '--layer', layer),
                *('--out', str(tmp_path)),
            ]
        )
        pictures.append(cv2.imread(str(path)))
    assert (
        pictures[0].shape != pictures[1].shape
        or (pictures[0] != pictures[1]).any()
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a.mp4', '--layer', 'nothing'], "layer 'nothing'"),
        (['nowhere.mp4'], r'nowhere\.mp4'),
    ],
)
def test_what_is_not_there_is_told_in_a_line(
    cam, arguments, message, tmp_path
):
    checkpoint = str(write_detector(tmp_path / 'best.pth'))
    with pytest.raises((GMLError, OSError), match=message):
        cam.main([*arguments, '--checkpoint', checkpoint])

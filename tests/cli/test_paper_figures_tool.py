"""Figures from a checkpoint and two videos, by the command."""

import cv2
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import REPO, write_detector

from gml_mmaction.errors import GMLError

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def figures(load_tool):
    pytest.importorskip('dlib')
    return load_tool('figures')


@pytest.fixture(scope='module')
def videos(talking_head, tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    return [
        str(talking_head(folder / name, 20)) for name in ('a.mp4', 'b.mp4')
    ]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return str(write_detector(tmp_path_factory.mktemp('run') / 'best.pth'))


def write_frame_wise(path):
    cfg = Config.fromfile(REPO / 'configs/baselines/xception-small_demo.py')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), path)
    return str(path)


def width_of(path):
    return cv2.imread(str(path)).shape[1]


@pytest.mark.parametrize('number', [1, 3])
def test_a_figure_of_two_videos_is_written(
    figures, videos, checkpoint, number, tmp_path
):
    real, fake = videos
    path = figures.main(
        [
            *(checkpoint, '--figure', str(number), '--real', real),
            *('--fake', fake, '--out', str(tmp_path / 'new')),
        ]
    )
    assert path == tmp_path / 'new' / f'fig{number}.png'
    assert cv2.imread(str(path)).std() > 10


def test_fig1_needs_no_checkpoint(figures, videos, tmp_path):
    path = figures.main(
        ['--figure', '1', '--real', videos[0], '--out', str(tmp_path)]
    )
    assert path.is_file()


def test_every_moment_is_a_row(figures, videos, checkpoint, tmp_path):
    def height(*moments):
        path = figures.main(
            [
                *(checkpoint, '--fake', videos[0], '--out', str(tmp_path)),
                *('--moments', *moments),
            ]
        )
        return cv2.imread(str(path)).shape[0]

    assert height('1', '3', '5') - height('1', '3') > 100


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--moments', '8'], '--moments 8: .* Remedy: 0 to 7'),
        (['--stage', 'block99'], "no stage 'block99'"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(
    figures, videos, checkpoint, arguments, message, tmp_path
):
    with pytest.raises(GMLError, match=message):
        figures.main(
            [
                *(checkpoint, '--real', videos[0], '--out', str(tmp_path)),
                *arguments,
            ]
        )


def test_a_network_without_these_features_is_pointed_to_cam(
    figures, videos, tmp_path
):
    path = write_frame_wise(tmp_path / 'xception.pth')
    with pytest.raises(GMLError, match=r'gml cam'):
        figures.main([path, '--real', videos[0], '--out', str(tmp_path)])


def test_a_missing_video_is_named(figures, checkpoint, tmp_path):
    path = str(tmp_path / 'nowhere.mp4')
    with pytest.raises((GMLError, OSError), match=r'nowhere\.mp4'):
        figures.main([checkpoint, '--real', path])


def test_without_videos_or_checkpoint_the_usage_is_shown(figures, capsys):
    for arguments in (['a.pth'], ['--real', 'a.mp4']):
        with pytest.raises(SystemExit):
            figures.main(arguments)
    told = capsys.readouterr().err
    assert 'videos are missing' in told
    assert 'needs a checkpoint' in told

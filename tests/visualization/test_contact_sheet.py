import cv2
import numpy as np
import pytest

from gml_mmaction.sources import Video
from gml_mmaction.video.writer import write_motion_jpeg
from gml_mmaction.visualization.contact_sheet import (
    contact_sheet,
    spread,
    strip,
)


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Eight videos of plain grey; frame t of video i is 20*i + 4*t."""
    folder = tmp_path_factory.mktemp('videos')
    made = []
    for index in range(8):
        path = folder / f'{index}.mp4'
        shape = (64, 64 + 32 * (index % 2), 3)
        levels = 20 * index + 4 * np.arange(20)
        write_motion_jpeg(
            path, [np.full(shape, level, np.uint8) for level in levels]
        )
        label = index % 2
        method = 'Deepfakes' if label else 'real'
        made.append(Video(f'{method}/{index}', path, label, method, 'test'))
    return made


def test_spread_takes_the_first_and_the_last():
    assert spread([10, 11, 12, 13, 14], 3) == [10, 12, 14]
    assert spread([10, 11], 3) == [10, 11]
    assert spread([], 3) == []


def test_a_strip_shows_every_second_frame_in_order(videos):
    row = strip(videos[2], num_frames=8, stride=2, height=32)
    assert row.shape == (20 + 32, 8 * 32, 3)
    centres = row[36, 16::32].mean(axis=1)
    assert np.abs(centres - (40 + 8 * np.arange(8))).max() < 3


def test_a_caption_has_the_colour_of_its_label(videos):
    for video, channel in ((videos[0], 1), (videos[1], 0)):  # green, red
        caption = strip(video, num_frames=8, stride=2, height=32)[:20]
        ink = caption[caption.max(axis=2) > 60].astype(int)
        assert len(ink)
        assert np.all(ink.argmax(axis=1) == channel)


def test_a_sheet_holds_real_and_fake_in_turn(videos, tmp_path):
    out = contact_sheet(
        videos, tmp_path / 'new/sheet.png', per_label=2, height=32
    )
    sheet = cv2.imread(str(out))
    assert sheet.shape == (4 * 52, 8 * 48, 3)
    # videos 0 and 6 are the real ones spread most, 1 and 7 the fake ones
    levels = sheet[36::52, 10].mean(axis=1)
    assert np.abs(levels - [0, 20, 120, 140]).max() < 3


def test_one_label_only_is_shown_too(videos, tmp_path):
    reals = [video for video in videos if video.label == 0]
    out = contact_sheet(reals, tmp_path / 's.png', per_label=2, height=32)
    assert cv2.imread(str(out)).shape[0] == 2 * 52


def test_no_video_or_no_image_format_is_refused(videos, tmp_path):
    with pytest.raises(ValueError, match='no videos'):
        contact_sheet([], tmp_path / 's.png')
    with pytest.raises(ValueError, match=r'\.png'):
        contact_sheet(videos, tmp_path / 's.unknown')

import cv2
import dlib
import numpy as np
import pytest

from gml_mmaction.faces import (
    CropOptions,
    VideoError,
    VideoReader,
    extract_video,
)


@pytest.fixture
def extract(tmp_path):
    """Extract a video; return its record and its crops, RGB."""

    def run(path, max_frames=None, **options):
        frames = tmp_path / 'frames'
        scratch = tmp_path / 'scratch'
        scratch.mkdir(exist_ok=True)
        try:
            record = extract_video(
                path,
                frames,
                options=CropOptions(**options),
                scratch=scratch,
                max_frames=max_frames,
            )
        finally:
            assert not list(scratch.iterdir())
        names = sorted(p.name for p in frames.iterdir())
        assert names == [f'{i:06}.jpg' for i in range(len(names))]
        images = [cv2.imread(str(frames / name)) for name in names]
        return record, [image[..., ::-1] for image in images]

    return run


def decode(path):
    """Decode a video by OpenCV: RGB frames."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return frames


def crop_by_hand(frame, box, size):
    left, top, w, h = box
    side = round(2 * np.sqrt(w * h))
    x = int(np.floor(left + w / 2 - side / 2)) + 1000
    y = int(np.floor(top + h / 2 - side / 2)) + 1000
    padded = np.pad(frame, [(1000, 1000), (1000, 1000), (0, 0)])
    return cv2.resize(
        padded[y : y + side, x : x + side],
        (size, size),
        interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR,
    )


def box_by_dlib(frame):
    gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    box = max(
        dlib.get_frontal_face_detector()(gray, 1), key=dlib.rectangle.area
    )
    return box.left(), box.top(), box.width(), box.height()


def test_crops_equal_those_cut_by_hand_from_opencvs_frames(
    talking_head, extract, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4', 21)
    record, crops = extract(path)
    frames = decode(path)
    box = box_by_dlib(frames[0])
    assert tuple(record['face_box']) == box
    assert len(crops) == record['num_frames'] == 11
    for image, frame in zip(crops, frames[::2], strict=True):
        reference = crop_by_hand(frame, box, 224)
        assert image.shape == (224, 224, 3)
        assert np.abs(image.astype(int) - reference).mean() < 2


def test_crops_of_real_people_equal_those_cut_by_hand(real_people, extract):
    for path in real_people[:3]:
        record, crops = extract(path)
        frames = decode(path)
        box = box_by_dlib(frames[0])
        assert record['total_frames'] == len(frames)
        for image, frame in zip(crops, frames[::2], strict=True):
            reference = crop_by_hand(frame, box, 224)
            assert np.abs(image.astype(int) - reference).mean() < 2


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_crop_k_is_source_frame_k_times_the_stride(
    draw_faces, write_video, extract, tmp_path, stride
):
    def frame(k):
        image = draw_faces((30, 20, 120))
        image[40:110, 48:62] = 10 * k
        return image

    path = write_video(tmp_path / 'a.mp4', map(frame, range(25)))
    record, crops = extract(path, stride=stride)
    shades = [image[40:180, 15:25].mean() for image in crops]
    assert record['stride'] == stride
    np.testing.assert_allclose(shades, range(0, 250, 10 * stride), atol=4)


def test_a_late_face_is_found_and_stated_and_holds_from_frame_0(
    draw_faces, write_video, extract, tmp_path
):
    frames = [draw_faces(shade=30)] * 7 + [draw_faces((30, 20, 120))] * 13
    path = write_video(tmp_path / 'a.mp4', frames)
    record, crops = extract(path)
    assert record['face_frame'] == 7
    assert len(crops) == 10
    assert crops[3].mean() == pytest.approx(30, abs=3)
    for image, index in ((crops[4], 8), (crops[0], 0)):
        reference = crop_by_hand(decode(path)[index], record['face_box'], 224)
        assert np.abs(image.astype(int) - reference).mean() < 2


def test_a_face_later_than_the_search_is_no_face(
    draw_faces, write_video, extract, tmp_path
):
    frames = [draw_faces()] * 7 + [draw_faces((30, 20, 120))] * 13
    path = write_video(tmp_path / 'a.mp4', frames)
    assert extract(path, search_frames=8)[0]['face_frame'] == 7
    with pytest.raises(VideoError, match='no face: none in frames 0 to 6'):
        extract(path, search_frames=7)
    assert not (tmp_path / 'frames').exists()


def test_the_largest_of_two_faces_is_taken_and_both_are_counted(
    draw_faces, write_video, extract, tmp_path
):
    frame = draw_faces((5, 30, 90), (120, 20, 180), width=340, height=220)
    path = write_video(tmp_path / 'a.mp4', [frame] * 16)
    record, _ = extract(path)
    assert record['n_faces'] == 2
    assert record['face_box'][0] > 120
    assert record['padding'] == [0, 0, 0, 0]


def test_a_face_at_the_border_is_padded_and_it_says_so(
    draw_faces, write_video, extract, tmp_path
):
    path = write_video(tmp_path / 'a.mp4', [draw_faces((-34, -30, 120))] * 16)
    record, crops = extract(path)
    x0, y0, side = record['square']
    assert x0 < 0
    assert y0 < 0
    assert record['padding'] == [-x0, -y0, 0, 0]
    black = int(-x0 * 224 / side) - 2
    assert crops[0][:, :black].mean() < 3
    assert crops[0][30:, black + 6 :].mean() > 30


@pytest.mark.parametrize(('num_frames', 'fits'), [(15, True), (14, False)])
def test_a_video_needs_frames_for_one_clip(
    talking_head, extract, tmp_path, num_frames, fits
):
    path = talking_head(tmp_path / 'a.mp4', num_frames)
    if fits:
        assert extract(path)[0]['num_frames'] == 8
    else:
        with pytest.raises(VideoError, match='too short: 14 frames give 7'):
            extract(path)


def test_max_frames_uses_the_first_ones(talking_head, extract, tmp_path):
    path = talking_head(tmp_path / 'a.mp4', 40)
    _, everything = extract(path)
    record, crops = extract(path, max_frames=19)
    assert record['total_frames'] == 40
    np.testing.assert_array_equal(crops, everything[:10])


def test_the_record_tells_what_the_file_holds(
    draw_faces, write_video, extract, tmp_path
):
    frame = draw_faces((60, 20, 120), width=260, height=180)
    path = write_video(tmp_path / 'a.mp4', [frame] * 18, fps=30)
    record, _ = extract(path)
    assert record['fps'] == 30
    assert (record['width'], record['height']) == (260, 180)
    assert record['total_frames'] == 18
    assert record['face_frame'] == 0
    assert record['face_score'] > 0


def test_a_higher_quality_is_nearer_to_the_video(
    talking_head, extract, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4')
    errors = []
    for quality in (100, 95, 60, 10):
        record, crops = extract(path, quality=quality)
        reference = crop_by_hand(decode(path)[0], record['face_box'], 224)
        errors.append(np.abs(crops[0].astype(int) - reference).mean())
    assert errors == sorted(errors)
    assert len(set(errors)) == 4


@pytest.mark.parametrize(
    ('content', 'reason'),
    [(b'', 'empty'), (b'not a video' * 999, 'unreadable')],
)
def test_a_broken_file_says_why(extract, tmp_path, content, reason):
    path = tmp_path / 'a.mp4'
    path.write_bytes(content)
    with pytest.raises(VideoError) as error:
        extract(path)
    assert error.value.reason == reason
    assert str(tmp_path) not in error.value.detail


@pytest.mark.parametrize(
    'option',
    [{'size': 0}, {'stride': 0}, {'quality': 101}, {'search_frames': 0}],
)
def test_an_option_out_of_range_is_refused(option):
    (name,) = option
    with pytest.raises(ValueError, match=f'^{name} is'):
        CropOptions(**option)


@pytest.mark.parametrize('width', [16, 20, 24, 48, 72, 80])
def test_a_narrow_video_has_the_frames_that_opencv_reads(
    draw_faces, write_video, tmp_path, width
):
    image = draw_faces((0, 0, 80), width=width, height=72)
    path = write_video(tmp_path / 'a.mp4', [image] * 3)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    np.testing.assert_array_equal(frames, decode(path))


def test_the_reader_can_go_back(talking_head, tmp_path):
    path = talking_head(tmp_path / 'a.mp4', 20)
    frames = decode(path)
    with VideoReader(path) as reader:
        forward = list(reader.frames(start=3, stop=12))
        back = list(reader.frames(start=1, stride=4))
    np.testing.assert_array_equal(forward, frames[3:12])
    np.testing.assert_array_equal(back, frames[1::4])

import zipfile
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import videos

from gml_mmaction.faces import CropOptions
from gml_mmaction.prepared.extract import extract_video
from gml_mmaction.prepared.manifest import TrackRecord
from gml_mmaction.sources import Video
from gml_mmaction.video import VideoError
from gml_mmaction.video.distortions import (
    distort_frame,
    distort_frames,
    seed_of,
)

pytestmark = pytest.mark.slow


def make_video(path, **fields):
    return Video('set/a', Path(path), 1, 'Deepfakes', 'test', **fields)


def known(start, stop, square, **facts):
    return TrackRecord(
        start=start, stop=stop, num_frames=0, square=square, **facts
    )


@pytest.fixture
def extract(tmp_path):
    """Extract a video; return its record and each track's crops, RGB."""

    def run(video, max_frames=None, known=None, **options):
        if not isinstance(video, Video):
            video = make_video(video)
        folder, scratch = tmp_path / 'frames', tmp_path / 'scratch'
        scratch.mkdir(exist_ok=True)
        try:
            record = extract_video(
                video,
                folder,
                options=CropOptions(**options),
                scratch=scratch,
                max_frames=max_frames,
                tracks=known,
            )
        finally:
            assert not list(scratch.iterdir())
        return record, read_crops(folder, options.get('image', 'jpg'))

    return run


@pytest.fixture
def extract_one(extract):
    """Extract a video with one track; return record, track and crops."""

    def run(*args, **options):
        record, crops = extract(*args, **options)
        (track,) = record.tracks
        return record, track, crops[0] if crops else None

    return run


def read_crops(folder, suffix):
    if not folder.exists():
        return []
    tracks = sorted(folder.iterdir(), key=lambda path: int(path.name))
    assert [path.name for path in tracks] == list(map(str, range(len(tracks))))
    crops = []
    for track in tracks:
        names = sorted(p.name for p in track.iterdir())
        assert names == [f'{i:06}.{suffix}' for i in range(len(names))]
        crops.append([cv2.imread(str(track / n))[..., ::-1] for n in names])
    return crops


def decode(path):
    """Decode a video by OpenCV: RGB frames."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(np.ascontiguousarray(read[1][..., ::-1]))
    return frames


def crop_by_hand(frame, square, size=224):
    x, y, side = np.add(square, (1000, 1000, 0))
    padded = np.pad(frame, [(1000, 1000), (1000, 1000), (0, 0)])
    return cv2.resize(
        padded[y : y + side, x : x + side],
        (size, size),
        interpolation=cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR,
    )


def square_by_hand(frame):
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    detector = dlib.get_frontal_face_detector()
    box = max(detector(gray, 1), key=dlib.rectangle.area)
    large = [box for box in detector(gray, 0) if box.width() >= 80]
    box = max(large or [box], key=dlib.rectangle.area)
    w, h = box.width(), box.height()
    side = round(2 * np.sqrt(w * h))
    x = int(np.floor(box.left() + w / 2 - side / 2))
    y = int(np.floor(box.top() + h / 2 - side / 2))
    return [x, y, side]


def difference(a, b):
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).mean()


def test_crops_equal_those_cut_by_hand_from_opencvs_frames(
    talking_head, extract_one, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4', 21)
    _, track, crops = extract_one(path)
    frames = decode(path)
    square = square_by_hand(frames[0])
    assert track.square == square
    assert (track.start, track.stop) == (0, 21)
    assert len(crops) == track.num_frames == 11
    for image, frame in zip(crops, frames[::2], strict=True):
        assert image.shape == (224, 224, 3)
        assert difference(image, crop_by_hand(frame, square)) < 2


def test_crops_of_real_people_equal_those_cut_by_hand(
    real_people, extract_one
):
    for path in real_people[:3]:
        record, track, crops = extract_one(path)
        frames = decode(path)
        assert record.total_frames == len(frames)
        assert record.notes == []
        assert track.square == square_by_hand(frames[0])
        assert track.seen > 0.9
        for image, frame in zip(crops, frames[::2], strict=True):
            assert difference(image, crop_by_hand(frame, track.square)) < 2


def test_png_is_exact(talking_head, extract_one, tmp_path):
    path = talking_head(tmp_path / 'a.mp4', 21)
    _, track, crops = extract_one(path, image='png')
    for image, frame in zip(crops, decode(path)[::2], strict=True):
        expected = crop_by_hand(frame, track.square)
        np.testing.assert_array_equal(image, expected)


def test_a_higher_quality_is_nearer_to_the_video(
    talking_head, extract_one, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4')
    errors = []
    for quality in (100, 95, 60, 10):
        _, track, crops = extract_one(path, quality=quality)
        expected = crop_by_hand(decode(path)[0], track.square)
        errors.append(difference(crops[0], expected))
    assert errors == sorted(errors)
    assert len(set(errors)) == 4


def test_boxes_are_the_record_without_the_crops(
    talking_head, extract, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4', 21)
    record, crops = extract(path)
    assert crops
    assert extract(path, store='boxes') == (record, [])


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_crop_k_is_source_frame_k_times_the_stride(
    draw_faces, write_video, extract_one, tmp_path, stride
):
    def frame(k):
        image = draw_faces((30, 20, 120))
        image[40:110, 48:62] = 10 * k
        return image

    path = write_video(tmp_path / 'a.mp4', map(frame, range(25)))
    record, _, crops = extract_one(path, stride=stride)
    shades = [image[40:180, 15:25].mean() for image in crops]
    assert record.stride == stride
    np.testing.assert_allclose(shades, range(0, 250, 10 * stride), atol=4)


def test_a_late_face_is_cut_from_where_it_was_found(
    draw_faces, write_video, extract_one, tmp_path
):
    empty, face = draw_faces(), draw_faces((30, 20, 120))

    def frame(k):  # appears slowly in frames 20 to 60
        share = np.clip((k - 20) / 40, 0, 1)
        return cv2.addWeighted(face, share, empty, 1 - share, 0)

    path = write_video(tmp_path / 'a.mp4', map(frame, range(90)))
    _, track, crops = extract_one(path)
    start = track.start
    frames = decode(path)
    assert 20 < start <= 60
    assert (start % 10, track.stop) == (0, 90)
    assert track.square == square_by_hand(frames[start])
    for image, frame in zip(crops, frames[start::2], strict=True):
        assert difference(image, crop_by_hand(frame, track.square)) < 2


def test_no_face_anywhere_is_a_reason(
    draw_faces, write_video, extract, tmp_path
):
    path = write_video(tmp_path / 'a.mp4', [draw_faces()] * 30)
    with pytest.raises(
        VideoError, match='no face: none was found in frames 0 to 28'
    ):
        extract(path)
    assert not (tmp_path / 'frames').exists()


def test_a_face_at_the_border_is_padded_and_it_says_so(
    draw_faces, write_video, extract_one, tmp_path
):
    path = write_video(tmp_path / 'a.mp4', [draw_faces((-34, -30, 120))] * 16)
    _, track, crops = extract_one(path)
    x0, y0, side = track.square
    assert x0 < 0
    assert y0 < 0
    assert track.padding == [-x0, -y0, 0, 0]
    black = int(-x0 * 224 / side) - 2
    assert crops[0][:, :black].mean() < 3
    assert crops[0][30:, black + 6 :].mean() > 30


@pytest.mark.parametrize(('num_frames', 'fits'), [(15, True), (14, False)])
def test_a_video_needs_frames_for_one_clip(
    talking_head, extract_one, tmp_path, num_frames, fits
):
    path = talking_head(tmp_path / 'a.mp4', num_frames)
    if fits:
        assert extract_one(path)[1].num_frames == 8
    else:
        with pytest.raises(
            VideoError, match='short: 7 of 14 frames would be saved'
        ):
            extract_one(path)


def test_a_late_face_with_too_few_frames_is_too_short(
    draw_faces, write_video, extract, tmp_path
):
    frames = [draw_faces()] * 20 + [draw_faces((30, 20, 120))] * 10
    path = write_video(tmp_path / 'a.mp4', frames)
    with pytest.raises(VideoError, match='in more than 5 of the frames taken'):
        extract(path)
    record, _ = extract(path, min_frames=5)
    assert record.tracks[0].start == 20


def test_tracks_that_are_too_short_for_a_clip_are_counted(
    draw_faces, write_video, extract, tmp_path
):
    """Three shots of 10, 12 and 30 frames; every other one is saved."""
    spots = [(30, 20, 120)] * 10 + [(50, 40, 90)] * 12 + [(20, 20, 130)] * 30
    shades = [0] * 10 + [90] * 12 + [0] * 30
    frames = [
        np.maximum(draw_faces(spot), shade).astype(np.uint8)
        for spot, shade in zip(spots, shades)
    ]
    path = write_video(tmp_path / 'a.mp4', frames)
    record, _ = extract(path, min_frames=12)
    assert [track.num_frames for track in record.tracks] == [15]
    assert record.notes == ['tracks of fewer than 12 frames, left out: 2']
    assert extract(path, min_frames=5, tracks='all')[0].notes == []


def test_max_frames_uses_the_first_ones(talking_head, extract_one, tmp_path):
    path = talking_head(tmp_path / 'a.mp4', 40)
    _, _, everything = extract_one(path)
    record, track, crops = extract_one(path, max_frames=19)
    assert record.total_frames == 40
    assert track.stop == 19
    np.testing.assert_array_equal(crops, everything[:10])


def test_the_record_tells_what_the_file_holds(
    draw_faces, write_video, extract_one, tmp_path
):
    frame = draw_faces((60, 20, 120), width=260, height=180)
    path = write_video(tmp_path / 'a.mp4', [frame] * 18, fps=30)
    record, track, _ = extract_one(path)
    assert record.fps == 30
    assert (record.width, record.height) == (260, 180)
    assert record.total_frames == 18
    assert record.notes == []
    assert track.n_faces == 1
    assert track.face_score > 0
    assert track.seen == 1


def test_all_faces_are_tracks_of_their_own(
    draw_faces, write_video, extract, tmp_path
):
    frame = draw_faces((5, 30, 90), (120, 20, 180), width=340, height=220)
    path = write_video(tmp_path / 'a.mp4', [frame] * 16)
    record, (large, small) = extract(path, tracks='all')
    assert [t.n_faces for t in record.tracks] == [2, 2]
    first, second = (t.square for t in record.tracks)
    assert first[2] > second[2]
    assert difference(large[7], crop_by_hand(frame, first)) < 4
    assert difference(small[7], crop_by_hand(frame, second)) < 4
    record, crops = extract(path)
    assert [t.square for t in record.tracks] == [first]
    assert len(crops) == 1


def test_crops_behind_the_end_of_a_track_are_not_kept(
    draw_faces, write_video, extract, tmp_path
):
    def frame(k):  # leaves to the left after frame 20
        return draw_faces((30 - 10 * min(max(0, k - 20), 20), 20, 120))

    path = write_video(tmp_path / 'a.mp4', map(frame, range(90)))
    options = dict(check_stride=10, search_stride=4, lost=20)
    record, (crops,) = extract(path, **options)
    (track,) = record.tracks
    assert 20 < track.stop < 34
    assert len(crops) == track.num_frames == -(-track.stop // 2)


@pytest.fixture
def pair(draw_faces, write_video, tmp_path):
    """Write a real video and a fake one whose face is not found."""

    def make(width=200, height=160, num_fake=20):
        real = write_video(
            tmp_path / 'real.mp4', [draw_faces((30, 20, 120))] * 20
        )
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        fake = write_video(tmp_path / 'fake.mp4', [image] * num_fake)
        return make_video(fake, boxes_from=real)

    return make


def test_the_square_of_the_real_video_is_cut_from_the_fake(
    pair, extract, extract_one
):
    video = pair()
    with pytest.raises(VideoError, match='no face'):
        extract(make_video(video.path))
    record, track, crops = extract_one(video)
    assert record.notes == []
    assert track.square == square_by_hand(decode(video.boxes_from)[0])
    frame = decode(video.path)[18]
    assert difference(crops[9], crop_by_hand(frame, track.square)) < 6


def test_a_fake_of_another_size_gets_the_square_scaled(pair, extract_one):
    video = pair(width=400, height=320)
    record, track, _ = extract_one(video)
    x0, y0, side = square_by_hand(decode(video.boxes_from)[0])
    assert track.square == [2 * x0, 2 * y0, 2 * side]
    assert record.width == 400
    assert record.notes == ['boxes of 200x160 scaled to 400x320']


@pytest.mark.parametrize('num_fake', [16, 25])
def test_the_shorter_of_the_two_ends_the_track(pair, extract_one, num_fake):
    record, track, _ = extract_one(pair(num_fake=num_fake))
    assert track.stop == min(num_fake, 20)
    assert record.total_frames == num_fake
    assert record.notes == [f'{num_fake} frames, 20 with boxes']


def test_a_missing_file_with_boxes_is_named(pair, extract):
    video = pair()
    video.boxes_from.unlink()
    with pytest.raises(VideoError, match=r'no boxes: real\.mp4'):
        extract(video)


@pytest.fixture
def masked(draw_faces, write_video, tmp_path):
    """Write a video of two faces, and a mask by a rectangle."""

    def make(rows, columns, scale=1):
        frame = draw_faces((5, 30, 90), (120, 20, 180), width=340, height=220)
        video = write_video(tmp_path / 'a.mp4', [frame] * 16)
        mask = np.zeros_like(frame)
        mask[rows, columns] = 255
        mask = cv2.resize(mask, None, fx=scale, fy=scale)
        mask = write_video(tmp_path / 'mask.mp4', [mask] * 16)
        return make_video(video, mask=mask)

    return make


@pytest.mark.parametrize('scale', [1, 2])
def test_the_face_under_the_mask_is_followed_though_it_is_smaller(
    masked, extract_one, scale
):
    """DeepFakeDetection swaps one of the faces in a video only."""
    video = masked(slice(50, 90), slice(30, 70), scale)
    assert extract_one(video)[1].face_box[0] < 100
    video = masked(slice(50, 190), slice(60, 300), scale)
    assert extract_one(video)[1].face_box[0] > 120


def test_a_mask_on_no_face_that_was_found_is_no_face(masked, extract):
    with pytest.raises(VideoError, match='no face'):
        extract(masked(slice(200, 220), slice(0, 20)))


@pytest.mark.parametrize('keep', [0, 0.5])
def test_a_broken_mask_leaves_the_largest_face_and_a_note(
    masked, extract_one, keep
):
    video = masked(slice(50, 90), slice(30, 70))
    videos.truncate(video.mask, keep)
    record, track, _ = extract_one(video)
    assert track.face_box[0] > 120
    assert record.notes == ['mask unreadable: largest face followed']


def test_a_mask_that_breaks_later_leaves_the_largest_face_and_a_note(
    masked, extract_one, tmp_path
):
    video = masked(slice(50, 90), slice(30, 70))
    folder = tmp_path / 'masks'
    folder.mkdir()
    for k in range(16):
        (folder / f'{k:02}.png').write_bytes(b'no image')
    cv2.imwrite(str(folder / '00.png'), np.zeros((220, 340, 3), np.uint8))
    video = make_video(video.path, mask=folder)
    assert extract_one(video)[0].notes == []
    frames = decode(video.path)
    frames[0][:] = 90  # the face comes later
    late = videos.write(tmp_path / 'late.mp4', [frames[0]] * 10 + frames)
    video = make_video(late, mask=folder)
    record, track, _ = extract_one(video, min_frames=2)
    assert track.face_box[0] > 120
    assert record.notes == ['mask unreadable: largest face followed']


def test_a_black_or_missing_mask_leaves_the_largest_face(masked, extract_one):
    video = masked(slice(0, 0), slice(0, 0))
    record, track, _ = extract_one(video)
    assert track.face_box[0] > 120
    assert record.notes == []
    video.mask.unlink()
    record, track, _ = extract_one(video)
    assert track.face_box[0] > 120
    assert record.notes == ['no mask: largest face followed']


def test_known_tracks_are_cut_without_a_search(
    draw_faces, write_video, extract, tmp_path
):
    frames = [draw_faces(shade=8 * k) for k in range(30)]  # no face at all
    path = write_video(tmp_path / 'a.mp4', frames)
    tracks = [
        known(4, 20, [10, 20, 100]),
        known(8, 99, [-50, -10, 60], seen=0.5),
    ]
    record, (first, second) = extract(path, known=tracks)
    for given, track in zip(tracks, record.tracks, strict=True):
        stop = min(given.stop, 30)
        assert track.square == given.square
        assert (track.start, track.stop) == (given.start, stop)
        assert track.seen == (given.seen or None)
    assert [round(image.mean() / 8) for image in first] == [*range(4, 20, 2)]
    frames = decode(path)[8::2]
    for image, frame in zip(second, frames, strict=True):
        assert difference(image, crop_by_hand(frame, [-50, -10, 60])) < 3


def test_the_tracks_of_a_record_give_the_same_crops_again(
    talking_head, extract, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4', 21)
    record, crops = extract(path)
    again = extract(path, known=record.tracks)
    assert again[0] == record
    np.testing.assert_array_equal(again[1], crops)


def test_a_track_off_the_grid_of_saved_frames_is_refused(
    talking_head, extract, tmp_path
):
    path = talking_head(tmp_path / 'a.mp4', 21)
    tracks = [known(3, 20, [0, 0, 50])]
    with pytest.raises(ValueError, match='starts at frame 3, which stride 2'):
        extract(path, known=tracks)


@pytest.mark.parametrize('store', ['crops', 'boxes'])
def test_a_video_that_breaks_before_a_known_track_is_too_short(
    draw_faces, extract, tmp_path, store
):
    folder = tmp_path / 'images'
    folder.mkdir()
    for k in range(30):
        cv2.imwrite(str(folder / f'{k:02}.png'), draw_faces())
    (folder / '20.png').write_bytes(b'no image')
    tracks = [known(20, 30, [0, 0, 50])]
    with pytest.raises(VideoError, match='too short: ends before frame 20'):
        extract(make_video(folder), known=tracks, store=store, min_frames=1)


@pytest.fixture
def large_head(draw_faces, write_video, tmp_path):
    """Write a video that is large enough for block distortion."""
    frames = [
        draw_faces((60 + k, 40, 200), width=320, height=280) for k in range(20)
    ]
    return write_video(tmp_path / 'large.mp4', frames)


@pytest.mark.parametrize('text', ['GNC:2', 'BW:3', 'JPEG:3', 'CS:5 GB:2'])
def test_frames_are_distorted_before_they_are_cropped(
    large_head, extract_one, text
):
    distortions = tuple(
        (kind, int(level))
        for kind, _, level in (part.partition(':') for part in text.split())
    )
    video = make_video(large_head, distortions=distortions)
    _, track, crops = extract_one(video, image='png')
    assert track.square == square_by_hand(decode(large_head)[0])
    for k, frame in enumerate(decode(large_head)[::2]):
        frame = distort_frame(
            frame, distortions, seed=seed_of('set/a'), index=2 * k
        )
        expected = crop_by_hand(frame, track.square)
        np.testing.assert_array_equal(crops[k], expected)


def test_all_frames_go_through_the_codec_before_they_are_cropped(
    large_head, extract_one
):
    pytest.importorskip('av')
    distortions = (('GNC', 1), ('VC', 5))
    video = make_video(large_head, distortions=distortions)
    _, track, crops = extract_one(video, image='png')
    frames = decode(large_head)
    assert track.square == square_by_hand(frames[0])  # found before
    coded = list(
        distort_frames(frames, distortions, seed=seed_of('set/a'), fps=25)
    )
    for image, frame in zip(crops, coded[::2], strict=True):
        expected = crop_by_hand(frame, track.square)
        np.testing.assert_array_equal(image, expected)
    known = extract_one(video, image='png', known=[track])
    np.testing.assert_array_equal(known[2], crops)


def test_max_frames_give_the_first_frames_of_the_whole_file_coded(
    large_head, extract_one
):
    pytest.importorskip('av')
    video = make_video(large_head, distortions=(('VC', 5),))
    _, _, whole = extract_one(video, image='png')
    _, track, crops = extract_one(video, image='png', max_frames=16)
    assert track.stop == 16
    np.testing.assert_array_equal(crops, whole[:8])


def test_the_codec_cannot_be_had_from_boxes(large_head, extract):
    video = make_video(large_head, distortions=(('VC', 1),))
    with pytest.raises(ValueError, match="Remedy: store='crops'"):
        extract(video, store='boxes')


@pytest.mark.parametrize('packed', [False, True])
def test_images_that_are_faces_already_are_resized_as_a_whole(
    extract_one, tmp_path, packed
):
    """WildDeepfake comes as archives with folders of face images."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'faces/12'
    folder.mkdir(parents=True)
    images = []
    for k in range(20):
        image = rng.integers(0, 256, (90, 100 + k, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{7 * k}.png'), image[..., ::-1])
        images.append(image)
    video = make_video(folder, cropped=True)
    if packed:
        path = tmp_path / 'faces.zip'
        with zipfile.ZipFile(path, 'w') as archive:
            for image in folder.iterdir():
                archive.write(image, f'12/{image.name}')
        video = make_video(path, member='12', cropped=True)
    _, track, crops = extract_one(video, size=64, image='png')
    assert track.square is None
    assert track.face_box is None
    assert (track.start, track.stop) == (0, 20)
    for image, crop in zip(images[::2], crops, strict=True):
        expected = cv2.resize(image, (64, 64))
        np.testing.assert_array_equal(crop, expected)


def test_what_there_is_of_a_broken_video_is_cut(
    draw_faces, extract_one, tmp_path
):
    path = videos.write(
        tmp_path / 'a.mp4',
        noisy(draw_faces((30 + k // 4, 20, 120)) for k in range(80)),
        options={'bf': '0'},
        container_options={'movflags': 'faststart'},
    )
    whole = videos.decode(path)
    videos.truncate(path)
    record, track, crops = extract_one(path)
    (note,) = record.notes
    broken_at = int(note.removeprefix('the file is broken from frame '))
    assert 20 < broken_at < 70
    assert track.stop - broken_at in (0, 1)
    assert len(crops) == -(-broken_at // 2)
    for image, frame in zip(crops, whole[:broken_at:2], strict=True):
        assert difference(image, crop_by_hand(frame, track.square)) < 4


def test_a_break_behind_the_frames_in_use_is_not_told(
    draw_faces, extract_one, tmp_path
):
    path = videos.write(
        tmp_path / 'a.mp4',
        noisy(draw_faces((30 + k // 4, 20, 120)) for k in range(80)),
        container_options={'movflags': 'faststart'},
    )
    videos.truncate(path)
    assert extract_one(path, max_frames=20)[0].notes == []


def noisy(frames):
    rng = np.random.default_rng(0)
    for frame in frames:
        noise = rng.normal(0, 9, frame.shape)
        yield np.clip(frame + noise, 0, 255).astype(np.uint8)


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


def test_an_older_folder_is_replaced_or_removed(
    talking_head, extract, tmp_path
):
    old = tmp_path / 'frames/3/old.jpg'
    for options in ({}, {'store': 'boxes'}):
        old.parent.mkdir(parents=True)
        old.touch()
        extract(talking_head(tmp_path / 'a.mp4'), **options)
        assert not old.parent.exists()


@pytest.mark.parametrize(
    'option',
    [
        {'size': 0},
        {'stride': 0},
        {'rate': 0},
        {'quality': 101},
        {'lost': 0},
        {'store': 'lmdb'},
        {'image': 'bmp'},
        {'tracks': 'two'},
    ],
)
def test_an_option_out_of_range_is_refused(option):
    (name,) = option
    with pytest.raises(ValueError, match=f'^{name} is'):
        CropOptions(**option)


@pytest.fixture
def uneven(draw_faces, tmp_path):
    """A face in frames of 30 a second, of which some are missing."""
    rng = np.random.default_rng(2)
    steps = np.cumsum(rng.integers(-2, 3, (80, 2)), axis=0)
    kept = [i for i in range(80) if i not in (7, 8, 31, 50)]
    path = videos.write(
        tmp_path / 'uneven.mkv',
        [draw_faces((30 + steps[i, 0], 20 + steps[i, 1], 120)) for i in kept],
        codec='ffv1',
        pix_fmt='yuv444p',
        times=[round(1000 * i / 30) for i in kept],
    )
    return path, [i / 30 for i in kept]


def test_with_a_rate_crops_are_of_the_frames_nearest_to_its_moments(
    uneven, extract_one
):
    path, times = uneven
    record, track, crops = extract_one(path, rate=12.5, image='png')
    moments = np.arange(len(track.frames)) / 12.5
    assert track.frames == [
        int(np.argmin(np.abs(np.array(times) - moment))) for moment in moments
    ]
    assert (track.start, track.stop) == (0, 76)
    assert track.num_frames == len(track.frames) == len(crops) == 34
    assert record.rate == pytest.approx(12.5, rel=0.01)
    frames = decode(path)
    for index, saved in zip(track.frames, crops, strict=True):
        assert (crop_by_hand(frames[index], track.square) == saved).all()


def test_the_tracks_of_a_rate_give_the_same_crops_again(
    uneven, extract, tmp_path
):
    record, crops = extract(uneven[0], rate=12.5, image='png')
    again, same = extract(
        uneven[0], known=record.tracks, rate=12.5, image='png'
    )
    assert again.tracks == record.tracks
    assert np.array_equal(crops, same)
    with pytest.raises(VideoError, match='frames that this rate'):
        extract(uneven[0], known=record.tracks, rate=10.0)


def test_frames_by_time_go_through_the_codec_as_all_frames_do(
    uneven, extract, tmp_path
):
    path, _ = uneven
    video = make_video(path, distortions=(('VC', 3),))
    record, (saved,) = extract(video, rate=12.5, image='png')
    seed, fps = seed_of('set/a'), record.fps
    frames = decode(path)
    coded = list(distort_frames(frames, (('VC', 3),), seed=seed, fps=fps))
    (track,) = record.tracks
    for index, image in zip(track.frames, saved, strict=True):
        assert (crop_by_hand(coded[index], track.square) == image).all()


@pytest.mark.parametrize('fps', [10, 25])
def test_the_record_tells_the_rate_of_the_crops(
    fps, draw_faces, extract_one, tmp_path
):
    path = videos.write(
        tmp_path / 'a.mp4', [draw_faces((30, 20, 120))] * 24, fps=fps
    )
    record, track, _ = extract_one(path)
    assert record.rate == fps / 2
    assert not track.frames


def test_with_a_rate_a_video_that_has_fewer_frames_is_saved_whole(
    draw_faces, extract_one, tmp_path
):
    path = videos.write(
        tmp_path / 'a.mp4', [draw_faces((30, 20, 120))] * 24, fps=10
    )
    record, track, _ = extract_one(path, rate=12.5)
    assert track.frames == list(range(24))
    assert record.notes[-1].startswith('10 frames a second, fewer than')

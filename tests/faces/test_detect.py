import cv2
import dlib
import pytest

from gml_mmaction.faces import detect_faces, square_around
from gml_mmaction.faces.detect import detect_large_faces, has_face
from gml_mmaction.video import VideoReader


def test_the_face_is_the_one_that_dlib_finds(draw_faces):
    frame = draw_faces((30, 20, 120))
    detector = dlib.get_frontal_face_detector()
    (found,) = detector(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1)
    (face,) = detect_faces(frame)
    assert face.box == (
        found.left(),
        found.top(),
        found.right() - found.left() + 1,
        found.bottom() - found.top() + 1,
    )


def test_the_largest_of_two_faces_comes_first(draw_faces):
    for small, large in (((5, 30, 90), 120), ((230, 30, 90), 20)):
        frame = draw_faces(small, (large, 20, 180), width=340, height=220)
        frame[:, large : large + 180] = cv2.GaussianBlur(
            frame[:, large : large + 180], (0, 0), 2
        )
        faces = detect_faces(frame)
        assert len(faces) == 2
        assert faces[0].score < faces[1].score
        assert faces[0].box[2] > faces[1].box[2]
        assert large < faces[0].box[0] < large + 180


def test_of_two_faces_of_one_size_the_higher_score_comes_first(draw_faces):
    for blurred in (slice(0, 140), slice(140, 280)):
        frame = draw_faces((10, 20, 120), (150, 20, 120), width=280)
        frame[:, blurred] = cv2.GaussianBlur(frame[:, blurred], (0, 0), 1)
        best, other = detect_faces(frame)
        assert best.box[2:] == other.box[2:]
        assert best.score > other.score
        assert best.box[0] not in range(280)[blurred]
        assert other.box[0] in range(280)[blurred]


def test_no_face_in_an_empty_room(draw_faces):
    assert detect_faces(draw_faces()) == []


def test_a_small_face_needs_upsampling(draw_faces):
    frame = draw_faces((30, 20, 120))
    assert detect_faces(frame, upsample=0) == []
    assert len(detect_faces(frame, upsample=1)) == 1


def test_the_frame_is_doubled_only_for_want_of_a_large_face(draw_faces):
    small, large = (30, 20, 120), (190, 20, 260)
    alone = draw_faces(small, width=460, height=300)
    assert detect_large_faces(alone) == detect_faces(alone)
    both = draw_faces(small, large, width=460, height=300)
    first, second = detect_faces(both)
    assert detect_large_faces(both) == [first]
    assert first.box[2] >= 80 > second.box[2]
    assert detect_large_faces(alone, upsample=0) == []


@pytest.mark.parametrize('size', range(160, 400, 30))
def test_a_face_has_one_box_whichever_faces_are_wanted(draw_faces, size):
    """Or the crops of fakes, chosen by a mask, would differ from real ones."""
    frame = draw_faces((20, 10, size), width=450, height=420)
    (face,) = detect_faces(frame)
    assert detect_large_faces(frame) == [face]


@pytest.mark.parametrize('size', [110, 180, 400])
def test_a_face_is_seen_in_its_square_whatever_its_size(draw_faces, size):
    frame = draw_faces((20, 10, size), width=450, height=420)
    (face,) = detect_faces(frame)
    square = square_around(face.box)
    assert has_face(frame, square)
    assert has_face(frame, square._replace(x0=square.x0 + face.box[2] // 4))
    assert not has_face(draw_faces(width=450, height=420), square)


def test_a_face_beside_its_square_is_not_seen_in_it(draw_faces):
    frame = draw_faces((20, 10, 120), width=400)
    square = square_around(detect_faces(frame)[0].box)
    assert not has_face(frame, square._replace(x0=square.x0 + 200))


@pytest.mark.slow
def test_in_its_square_a_real_face_is_seen_as_in_the_whole_frame(real_people):
    same = []
    for path in real_people[:4]:
        with VideoReader(path) as reader:
            first, *rest = reader.frames(stride=10)
        square = square_around(detect_faces(first)[0].box)
        assert has_face(first, square)
        beside = square._replace(x0=square.x0 - 2 * square.side)
        assert not has_face(first, beside)
        same += [has_face(f, square) == bool(detect_faces(f)) for f in rest]
    assert sum(same) / len(same) > 0.9

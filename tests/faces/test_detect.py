import cv2
import dlib

from gml_mmaction.faces import detect_faces


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

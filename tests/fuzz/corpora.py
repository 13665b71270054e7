"""What is damaged, and what then reads it: one table, ``TARGETS``.

A target writes whole files into a folder; ``data`` in it is the root that a
user names, ``out`` is where results go. ``read`` does what a tool does with
the damaged files, and raises no other errors than ``errors``.
"""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import checkpoints
import media
import mutate
import videos
from folders import write_files

from gml_mmaction.errors import GMLError


class Target(NamedTuple):
    """Files of a kind, and their reader.

    Attributes:
        make: Writes them into a folder.
        read: Reads them from it.
        files: Which may be damaged, a pattern.
        errors: Those that are meant for people.
        damage: How they are damaged, ``(rng, path)``.
        named: Whether an error must name the file.
        share: Of all inputs.
        reads: Folders that may be read beside the data.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    files: str
    errors: tuple[type[BaseException], ...]
    damage: Callable = mutate.damage
    named: bool = True
    share: float = 1.0
    reads: tuple[str, ...] = ()


# --- prepared data -------------------------------------------------------


def make_prepared(root):
    from tiny import write_prepared

    write_prepared(
        root / 'data',
        dict(
            test=[('a/1', 'real', ['p'], 1), ('b/2', 'swap', ['q'], 2)],
            train=[('a/3', 'real', ['r'], 1)],
        ),
        frames=10,
    )
    rows = [
        dict(split=s, method='real', failed={'no face': 1}, missing=1)
        for s in ('train', 'test')
    ]
    write_files(root / 'data', **{'report.json': dict(rows=rows)})


def read_clips(root):
    """As training and testing read them, without the network."""
    import numpy as np

    from gml_mmaction.datasets import FaceClipDataset

    for test_mode in (True, False):
        np.random.seed(0)
        dataset = FaceClipDataset(
            'test.json',
            data_root=str(root / 'data'),
            pipeline=[dict(type='ClipDecode'), dict(type='FaceCrop', size=8)],
            test_mode=test_mode,
        )
        for index in range(min(3, len(dataset))):
            dataset[index]


def make_boxes(root):
    path = root / 'data/videos/a/1.mp4'
    videos.write(path, videos.numbered(20))
    entry = dict(
        video_id='a/1',
        track=0,
        start=1,
        num_frames=9,
        label=1,
        method='swap',
        video='a/1.mp4',
        member='',
        square=[4, 4, 40],
        distortions='GB:1',
    )
    metainfo = dict(source='x', store='boxes', size=8, stride=2, root='videos')
    content = dict(metainfo=metainfo, data_list=[entry, dict(entry, track=1)])
    write_files(root / 'data', **{'test.json': content})


def make_manifest(root):
    make_prepared(root)
    path = root / 'data/manifest.json'
    manifest = json.loads(path.read_text())
    for video in manifest['videos']:
        video['path'] = f'{video["video_id"]}.mp4'
        video |= dict(width=64, height=64)
        write_files(root / 'data', **{video['path']: b''})
    path.write_text(json.dumps(dict(manifest, root='.')))


def read_manifests(root):
    from gml_mmaction.engine import cross_data, robustness
    from gml_mmaction.engine.provenance import describe_training

    data = root / 'data'
    cross_data.unscored_videos(data)
    manifest = cross_data.read_manifest(data)
    if manifest is not None:
        cross_data.leaked_videos(manifest, manifest)
    describe_training(SimpleNamespace(metainfo={}, data_root=str(data)))
    tested = robustness.test_manifest(data)
    robustness.blocks_note(tested)
    robustness.crops_note(tested)
    robustness.distorted_videos(tested, data, (('GB', 1),))


# --- the lists of data sets ----------------------------------------------


def tree(*empty, **files):
    """Write a data set: empty videos, and lists."""

    def make(root):
        write_files(root / 'data', **dict.fromkeys(empty, b''), **files)

    return make


def source(name, **options):
    """List, check and prepare what a data set's lists name."""

    def read(root):
        from gml_mmaction.faces import CropOptions
        from gml_mmaction.prepared import records
        from gml_mmaction.prepared.prepare import check_videos
        from gml_mmaction.sources import check, get_source

        data, out = root / 'data', root / 'out'
        chosen = {
            key: data / value if key in ('ffpp', 'reals') else value
            for key, value in options.items()
        }
        found = get_source(name)(data, **chosen)
        check.format_check(check.check_source(name, data, chosen))
        check_videos(found)
        (out / 'scratch').mkdir(parents=True)
        for video in [video for video in found if video.exists][:4]:
            job = records.PrepareJob(
                video,
                out=out,
                root=data,
                scratch=out / 'scratch',
                options=CropOptions(),
            )
            records.prepare_video(job)

    return read


REAL = 'original_sequences/youtube/c23/videos/{}.mp4'
FAKE = 'manipulated_sequences/Deepfakes/c23/videos/{}.mp4'
PAIRS = dict(train=('071', '054'), val=('720', '672'), test=('953', '974'))
make_ffpp = tree(
    *(REAL.format(name) for pair in PAIRS.values() for name in pair),
    *(FAKE.format('_'.join(pair)) for pair in PAIRS.values()),
    **{f'splits/{split}.json': [pair] for split, pair in PAIRS.items()},
)
VARIANT = 'end_to_end_level_5'
META = 'lists/manipulated_videos_distortions_meta/'
META += f'manipulated_videos_{VARIANT}_meta.txt'
DFO_NAMES = dict(train='071_M101', val='720_M102', test='953_W101')
make_dfo = tree(
    *(f'manipulated_videos/{VARIANT}/{n}.mp4' for n in DFO_NAMES.values()),
    *(REAL.format(name[:3]) for name in DFO_NAMES.values()),
    **{f'lists/splits/{s}.txt': f'{n}.mp4\n' for s, n in DFO_NAMES.items()},
    **{
        META: ''.join(
            f'{VARIANT}/{name}.mp4 GB:5 JPEG:{i + 1}\n'
            for i, name in enumerate(DFO_NAMES.values())
        )
    },
)
CDF = (
    *('Celeb-real/id0_0000.mp4', 'Celeb-real/id1_0001.mp4'),
    *('YouTube-real/00170.mp4', 'Celeb-synthesis/id0_id1_0000.mp4'),
)
make_cdf = tree(
    *CDF,
    *(f'Celeb-real/id{i}_0003.mp4' for i in range(2, 8)),
    **{
        'List_of_testing_videos.txt': ''.join(
            f'{int("real" in path)} {path}\n' for path in CDF
        )
    },
)
PART = 'train/dfdc_train_part_0'
make_dfdc = tree(
    *(f'{PART}/{name}.mp4' for name in ('aa', 'bb')),
    'test/cc.mp4',
    'test/dd.mp4',
    **{
        f'{PART}/metadata.json': {
            'aa.mp4': dict(label='REAL', split='train'),
            'bb.mp4': dict(label='FAKE', original='aa.mp4'),
        },
        'test/labels.csv': 'filename,label\ncc.mp4,1\ndd.mp4,0\n',
    },
)
DFDCP = ('original_videos/1/a.mp4', 'method_A/1/1/b.mp4')
make_dfdcp = tree(
    *DFDCP,
    **{
        'dataset.json': {
            path: dict(label=label, set=split, augmentations=[])
            for path, label, split in zip(
                DFDCP, ('real', 'fake'), ('train', 'test')
            )
        }
    },
)
make_pairs = tree(
    *('real/a.mp4', 'fake/swap/b.mp4'),
    **{'pairs.csv': 'file,original\nfake/swap/b.mp4,real/a.mp4\n'},
)
make_forgerynet = tree(
    'Training/video/train_video_release/6/b.mp4',
    **{
        f'{folder}/video_list.txt': (
            f'2 {name}/6/b.mp4 0 40 0 40 25 1 1 2 4\n'
            f'1 {name}/18/c.mp4 0 65 0 0 0 0\n'
        )
        for folder, name in (
            ('Training', 'train_video_release'),
            ('Validation', 'val_video_release'),
        )
    },
)
make_deepfake_eval = tree(
    *('video-data/a.mp4', 'video-data/b.mov'),
    **{
        'video-metadata-publish.csv': (
            'Filename,Video Ground Truth,Finetuning Set\n'
            'a.mp4,Fake,Test\nb.mov,Real,Train\nc.mp4,Unknown,Test\n'
        )
    },
)
VOICES = 'RealVideo-RealAudio', 'FakeVideo-FakeAudio', 'RealVideo-FakeAudio'
make_fakeavceleb = tree(
    *(f'{kind}/African/men/id1/{i}.mp4' for i, kind in enumerate(VOICES)),
    **{
        'meta_data.csv': (
            'source,target1,target2,method,category,type,race,gender,path,\n'
            + ''.join(
                f'id1,-,-,x,A,{kind},African,men,{i}.mp4,'
                f'FakeAVCeleb/{kind}/African/men/id1\n'
                for i, kind in enumerate(VOICES)
            )
        )
    },
)
# sets without lists: only names and archives
FOLDERS = dict(
    folder=('real/a.mp4', 'fake/swap/b.mp4', 'fake/swap/b.avi'),
    uadfv=('real/0000.mp4', 'fake/0000_fake.mp4'),
    ffiw=(
        *('source/train/a.mp4', 'target/val/b.mp4', 'source/val/c.mp4'),
        'target_mask/val/b.mp4',
    ),
    dfd=(
        'original_sequences/actors/c23/videos/01__exit.mp4',
        'manipulated_sequences/DeepFakeDetection/c23/videos/'
        '01_02__exit__ABCDEFGH.mp4',
    ),
    df40=('swap/ff/frames/071_054/000.png', 'real/x/071/000.png'),
)


SEQUENCE = [f'1/fake/131/{i}.png' for i in range(4)]


def make_wilddeepfake(root):
    tar = media.pack_tar('gz', SEQUENCE)
    files = {
        'fake_train/1.tar.gz': tar,
        'real_test/2.tar': media.pack_tar('', SEQUENCE),
    }
    write_files(root / 'data', **files)


def make_origin(root):
    make_ffpp(root)
    words = 'made-up videos of one portrait, no real forgery'
    content = dict(origin=dict.fromkeys(('train', 'val', 'test'), words))
    write_files(root / 'data', **{'origin.json': content})


def read_origin(root):
    """As preparation reads it and a tree that is made of this one takes it."""
    from gml_mmaction.sources import get_source
    from gml_mmaction.sources.origin import copy_origins, read_origins

    found = read_origins(get_source('ffpp')(root / 'data'))
    json.dumps(found, allow_nan=False)
    assert all(words.isprintable() for words in found.values()), found
    copy_origins([root / 'data'], root / 'out')


# --- scores, calibration -------------------------------------------------


def make_scores(root):
    from tiny import write_detector

    rows = [
        dict(
            video_id=f'{label}/{i}',
            method='swap' if label else 'real',
            label=label,
            score=(0.3 * label + i / 20),
            tracks=[],
        )
        for label in (0, 1)
        for i in range(12)
    ]
    clips = [
        dict(row, track=0, clip_index=0, frame_scores=[row['score']] * 2)
        for row in rows
    ]
    content = dict(
        source='x',
        manifest='01ab',
        thresholds=dict(video=0.5, clip=0.4),
        videos=rows,
        clips=clips,
        tracks=clips,
    )
    write_files(root / 'data', **{'scores.json': content})
    write_detector(root / 'data/best.pth')


def read_scores(root):
    from gml_mmaction.cli import calibrate
    from gml_mmaction.evaluation.level_scores import read_scores
    from gml_mmaction.evaluation.scores import ScoreFileError

    path = root / 'data/scores.json'
    for level in ('clip', 'frame', 'video'):
        with contextlib.suppress(ScoreFileError):  # the last one's is judged
            read_scores(path, level)
    read_scores(path, 'video')
    with contextlib.redirect_stdout(io.StringIO()):
        calibrate.main([str(root / 'data/best.pth'), str(path)])


def make_calibration(root):
    from gml_mmaction.evaluation.calibration import calibrate
    from gml_mmaction.evaluation.scores import read_scores_file

    make_scores(root)
    scores = read_scores_file(root / 'data/scores.json')
    for name, method in (('a', 'sigmoid'), ('b', 'isotonic')):
        facts = calibrate(scores, '01', method).facts
        write_files(root / 'data', **{f'{name}.calibration.json': facts})


def read_calibrations(root):
    from gml_mmaction.evaluation.calibration import read_calibration

    for name in 'ab':
        found = read_calibration(root / f'data/{name}.pth', '01')
        if found is not None:
            f'{found.words} {found.threshold:.4f}'
            json.dumps(found.facts, allow_nan=False)
            found([0.2, 0.9])


def targets():
    from gml_mmaction.sources import get_source  # noqa: F401

    refused = (GMLError, OSError)  # what a command prints as one line
    ffpp = dict(ffpp='.', variant=VARIANT)
    lists = {
        'ffpp': (make_ffpp, source('ffpp'), '**/*.json'),
        'dfo': (
            make_dfo,
            source('dfo', protocol='official', **ffpp),
            '**/*.txt',
        ),
        'cdf': (make_cdf, source('cdf'), '*.txt'),
        'dfdc': (make_dfdc, source('dfdc'), '**/*.[jc]s*'),
        'dfdcp': (make_dfdcp, source('dfdcp'), '*.json'),
        'pairs': (make_pairs, source('folder'), '*.csv'),
        'forgerynet': (make_forgerynet, source('forgerynet'), '**/*.txt'),
        'deepfake_eval': (
            *(make_deepfake_eval, source('deepfake_eval'), '*.csv'),
        ),
        'fakeavceleb': (make_fakeavceleb, source('fakeavceleb'), '*.csv'),
        'wilddeepfake': (
            *(make_wilddeepfake, source('wilddeepfake')),
            '**/*.tar*',
        ),
    }
    return {
        'annotation': Target(
            make_prepared, read_clips, 'test.json', refused, share=2
        ),
        # videos may be anywhere, see gml_mmaction.prepared.annotation
        'boxes': Target(
            *(make_boxes, read_clips, 'test.json', refused),
            named=False,  # or the video
            share=2,
            reads=('/',),
        ),
        'manifest': Target(
            *(make_manifest, read_manifests, '[mr]*.json', refused), share=2
        ),
        **{
            name: Target(*parts, refused, share=1.5)
            for name, parts in lists.items()
        },
        **{
            f'{name} names': Target(
                tree(*files),
                source(name, **({'reals': 'real'} if name == 'df40' else {})),
                '**/*.*',
                refused,
                mutate.rename,
                named=False,
                share=0.3,
            )
            for name, files in FOLDERS.items()
        },
        'scores': Target(make_scores, read_scores, 'scores.json', refused),
        'calibration': Target(
            make_calibration, read_calibrations, '*.json', refused
        ),
        'origin': Target(make_origin, read_origin, 'origin.json', refused),
        'checkpoint': Target(
            *(checkpoints.make_checkpoint, checkpoints.read_checkpoint),
            *('*.pth', refused, checkpoints.damage_checkpoint),
            share=3,
        ),
        'newest checkpoint': Target(
            *(checkpoints.make_resumed, checkpoints.read_resumed),
            *('iter_4.pth', refused, checkpoints.damage_checkpoint),
            share=0.5,
        ),
        'resume': Target(
            *(checkpoints.make_run, checkpoints.read_run),
            *('run/iter_4.pth', refused, checkpoints.damage_checkpoint),
            share=0.25,
        ),
        'weights': Target(
            *(checkpoints.make_weights, checkpoints.read_weights),
            *('run/iter_4.pth', refused, checkpoints.damage_weights),
            share=0.4,
        ),
        'config': Target(
            *(
                checkpoints.make_config,
                checkpoints.read_config,
                '*.py',
                refused,
            ),
            checkpoints.damage_config_file,
            named=False,
            share=2,
        ),
        'crop': Target(
            media.make_crops, media.read_crops, '**/*.jpg', refused
        ),
        'images': Target(
            *(media.make_images, media.read_images, '**/*.*', refused),
            media.damage_image,
            named=False,
        ),
        **{
            name: Target(
                media.maker(formats),
                *(media.read_videos, '*', refused, damage),
                named=False,
                share=share,
            )
            for name, formats, damage, share in (
                ('video', media.FORMATS, mutate.damage, 2),
                ('other video', media.OTHERS, mutate.damage, 2),
                ('header', media.FORMATS, media.disguise, 2),
            )
        },
        'address': Target(
            media.maker({'a.mp4': {}, 'b.mp4': {}}),
            *(media.read_by_name, '*', refused, media.rename_as_address),
            named=False,
            share=0.1,
        ),
        'archive': Target(
            *(media.make_archives, media.read_archives, '*', refused),
            media.damage_archive,
            named=False,
            share=1.5,
        ),
    }


TARGETS = targets()

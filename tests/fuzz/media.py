"""Videos, images, archives of images; what may stand before or for them."""

import io
import os
import tarfile
import zipfile

import cv2
import mutate
import numpy as np
import videos
from folders import write_files
from watch import ADDRESS

from gml_mmaction.video import VideoError, open_video


def picture(shade, suffix='.png', size=16):
    image = np.full((size, size, 3), shade, np.uint8)
    image[::3] = 255 - shade
    return cv2.imencode(suffix, image)[1].tobytes()


def pack_tar(kind, names):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f'w:{kind}') as archive:
        for i, name in enumerate(names):
            image = picture(40 * i)
            entry = tarfile.TarInfo(name)
            entry.size = len(image)
            archive.addfile(entry, io.BytesIO(image))
    return data.getvalue()


def pack_zip(names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, 'w', zipfile.ZIP_DEFLATED) as archive:
        for i, name in enumerate(names):
            archive.writestr(name, picture(40 * i))
    return data.getvalue()


# --- crops and folders of images -----------------------------------------


def make_crops(root):
    files = {f'crops/{i:06}.jpg': picture(30 * i, '.jpg') for i in range(3)}
    write_files(root / 'data', **files)


def read_crops(root):
    from gml_mmaction.datasets import ClipDecode

    ClipDecode()(
        dict(
            frame_dir=str(root / 'data/crops'),
            filename_tmpl='{:06}.jpg',
            frame_inds=[0, 1, 2],
            start=0,
            stride=1,
        )
    )


def make_images(root):
    kinds = ('.png', '.jpg', '.bmp', '.webp', '.jpeg')
    files = {
        f'a/{i}{kind}': picture(30 * i, kind) for i, kind in enumerate(kinds)
    }
    write_files(root / 'data', **files)


def odd_image(rng):
    """Bytes of an image of another size or kind, or that says it is huge."""
    shade = int(rng.integers(256))
    grey = np.full((16, 16), shade, np.uint8)
    arrays = (
        grey,
        np.full((16, 16, 4), shade, np.uint8),
        grey.astype(np.uint16) * 255,
        np.zeros((9000, 9000), np.uint8),
    )
    png = bytearray(picture(shade))
    png[16:24] = mutate.pick(
        rng, (b'\0\0\xff\xff' * 2, b'\x7f\xff\xff\xff' * 2, b'\0' * 8)
    )
    images = (
        lambda: cv2.imencode('.png', mutate.pick(rng, arrays))[1].tobytes(),
        lambda: picture(shade, size=int(rng.integers(1, 300))),
        lambda: picture(shade, mutate.pick(rng, ('.jpg', '.webp', '.tiff'))),
        lambda: bytes(png),
        lambda: b'P6 99999 99999 255\n',
        lambda: b'<svg xmlns:xlink="http://www.w3.org/1999/xlink"/>',
    )
    return mutate.pick(rng, images)()


def damage_image(rng, path):
    way = rng.random()
    if way < 0.4:
        mutate.damage(rng, path)
    elif way < 0.8:
        path.write_bytes(odd_image(rng))
    elif way < 0.9:
        mutate.rename(rng, path)
    else:
        path.unlink()
        path.symlink_to('/dev/zero')


def read_images(root):
    read_video(root / 'data/a')


# --- videos --------------------------------------------------------------

FORMATS = {
    'a.mp4': dict(options={'g': '5'}),
    'b.mp4': dict(codec='mpeg4'),
    'c.avi': dict(codec='mpeg4'),
    'd.mkv': dict(),
    'e.ts': dict(codec='mpeg2video'),
    'f.mp4': dict(container_options={'movflags': 'faststart'}),
}
HEVC = {'x265-params': 'log-level=none'}
OTHERS = {
    'a.webm': dict(codec='libvpx', container_options={'live': '1'}),
    'b.mts': dict(options={'flags': '+ilme+ildct', 'bf': '2'}),
    'c.vob': dict(codec='mpeg2video', options={'flags': '+ilme+ildct'}),
    'd.ogv': dict(codec='libvpx'),
    'e.h264': dict(options={'bf': '2'}),
    'f.mp4': dict(codec='libsvtav1', options={'preset': '12'}),
    'g.3gp': dict(codec='h263'),
    'h.hevc': dict(codec='libx265', options=HEVC),
    'i.flv': dict(codec='flv'),
    'j.wmv': dict(codec='wmv2'),
    'k.gif': dict(codec='gif', pix_fmt='rgb8'),
    'l.mp4': dict(container_options={'movflags': 'frag_keyframe+empty_moov'}),
    'm.webm': dict(codec='libvpx-vp9'),
}


def maker(formats):
    """Write files of these formats; of one alone that h263 knows the size."""

    def make(root):
        for name, options in formats.items():
            size = dict(width=64, height=48)
            if options.get('codec') == 'h263':
                size = dict(width=176, height=144)
            path = root / 'data' / name
            videos.write(path, videos.numbered(16, **size), **options)

    return make


def read_videos(root):
    """Read all; raise the last error."""
    failure = None
    for path in sorted((root / 'data').iterdir()):
        try:
            read_video(path)
        except VideoError as error:
            failure = error
        except FileNotFoundError:
            pass
    if failure:
        raise failure


def read_video(path, member=''):
    """Read frames in order and again by index: they are the same."""
    with open_video(path, member) as reader:
        assert reader.width > 0
        frames = list(reader.frames(stop=40))
        again = reader.frames_at(range(0, len(frames), 5))
        times = [reader.seconds_at(i) for i in range(len(frames) + 1)]
    assert all(map(np.array_equal, frames[::5], again)), 'other frames'
    assert all(time is None or 0 <= time < 1e12 for time in times), times
    for note in reader.notes:
        assert note.isprintable(), note


PLAYLISTS = (
    '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n',
    '#EXTM3U\n#EXT-X-MAP:URI="{0}"\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n',
    '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:1,\na.ts\n',
    'ffconcat version 1.0\nfile {0}\n',
    "ffconcat version 1.0\nfile '{0}'\nduration 9\n",
    '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation>'
    '<BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    '<smil><body><video src="{0}"/></body></smil>',
    '<!DOCTYPE a [<!ENTITY b SYSTEM "{0}">]><a>&b;</a>',
    '[playlist]\nFile1={0}\nNumberOfEntries=1\n',
    '[Reference]\nRef1={0}\n',
    'v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n',
    '{0}\n',
)
SCHEMES = (
    *('{}', 'file:{}', 'file://{}', 'concat:{0}|{0}', 'subfile,,:{}'),
    *('crypto:{}', 'cache:{}', 'async:{}', 'data:,{}'),
)


def playlist(rng, path):
    """The text of a list that names a file, or an address."""
    outside = path.parents[1] / mutate.OUTSIDE / 'secret.ts'
    places = (
        *(str(outside), f'../{mutate.OUTSIDE}/secret.ts', '/etc/passwd'),
        *(f'http://{ADDRESS}/x.ts', f'tcp://{ADDRESS}', f'ftp://{ADDRESS}/x'),
        *(f'rtmp://{ADDRESS}/x', f'rtsp://{ADDRESS}/x', f'udp://{ADDRESS}'),
    )
    place = mutate.pick(rng, places)
    if rng.random() < 0.4:
        place = mutate.pick(rng, SCHEMES).format(place)
    return mutate.pick(rng, PLAYLISTS).format(place).encode()


def headers():
    """What other formats begin with."""
    return (
        b'ID3\x04' + bytes(5) + b'\x0a' + bytes(10),
        b'ID3\x03\0\0\0\0\x01\0' + bytes(128),
        pack_zip(['a.png']),
        pack_tar('', ['a.png']),
        picture(9, '.jpg'),
        picture(9),
        b'\xef\xbb\xbf',
        b'\xff\xfe',
        bytes(300),
        b'GIF89a' + bytes(7),
        b'RIFF\xff\xff\xff\xffAVI LIST',
        b'RIFF\xff\xff\xff\xffWAVEfmt ',
        b'\0\0\0\x18ftypmp42\0\0\0\0mp42isom',
        b'\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1',
        b'OggS\0\2' + bytes(22),
        b'FLV\1\5\0\0\0\x09\0\0\0\0',
        b'\0\0\1\xba' + bytes(10),
        b'G@\0\x10' + bytes(184),
        b'MZ' + bytes(60),
        b'\x7fELF' + bytes(60),
        b'%PDF-1.4\n',
        b'#!/bin/sh\n',
        b'CWS\x09' + bytes(8),
        b'0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel',
    )


def disguise(rng, path):
    """Put headers of other formats before a video, or before a playlist."""
    data = path.read_bytes()
    if rng.random() < 0.6:
        data = playlist(rng, path)
    for _ in range(int(rng.integers(3))):
        data = mutate.pick(rng, headers()) + data
    if rng.random() < 0.2:
        data = mutate.damage_bytes(rng, data)
    suffix = mutate.pick(rng, SUFFIXES)
    path.unlink()
    path.with_suffix(suffix).write_bytes(data)


SUFFIXES = (
    *('.mp4', '.webm', '.avi', '.ts', '.mpg', '.gif', '.m3u8', '.ogv', '.mov'),
    *('.png', '.zip', '.tar', '.sdp', '.mpd', '.h264', '.txt', ''),
)
# Names that FFmpeg would take for an address; they stand below the folder
# that is read, and are read by these very names.
ADDRESSES = (
    *(f'http:{ADDRESS}.mp4', f'tcp:{ADDRESS}', 'concat:a.mp4|b.mp4', '-i.mp4'),
    *('pipe:0', 'subfile,,start,0,end,9,,:a.mp4', 'data:x.mp4', 'lavfi:a.mp4'),
    *('%03d.mp4', 'a*.mp4', 'a?b.mp4', 'crypto:a.mp4', 'x11grab:0.mp4'),
)


def rename_as_address(rng, path):
    path.rename(path.with_name(mutate.pick(rng, ADDRESSES)))


def read_by_name(root):
    """As a command in that folder does."""
    before = os.getcwd()
    os.chdir(root / 'data')
    try:
        for name in sorted(os.listdir()):
            read_video(name)
    finally:
        os.chdir(before)


# --- archives ------------------------------------------------------------

KINDS = {'a.zip': None, 'b.tar': '', 'c.tar.gz': 'gz', 'd.tar.xz': 'xz'}


def make_archives(root):
    names = [f's/{i}.png' for i in range(4)]
    files = {
        name: pack_zip(names) if kind is None else pack_tar(kind, names)
        for name, kind in KINDS.items()
    }
    write_files(root / 'data', **files)


def read_archives(root):
    for path in sorted((root / 'data').iterdir()):
        if path.is_file():
            read_video(path, 's')


BAD_NAMES = (
    *('../outside/secret.png', '/tmp/outside/x.png', 's/../../x.png'),
    *('s/', 's//1.png', 's\\1.png', 'C:\\s\\1.png', 's/\x1b[2J.png'),
    *('S/1.png', 's/é.png', 's/1.png', './s/9.png', f's/{"x" * 300}.png', ''),
)
BOMB = 60 * 10**6  # bytes; the limit of the fuzz is below it


def damage_archive(rng, path):
    """Odd entries: links, bombs, names, methods, the same twice."""
    chance = rng.random()
    if chance < 0.4 or not path.is_file():
        mutate.damage(rng, path)
    elif path.suffix == '.zip':
        path.write_bytes(odd_zip(rng))
    else:
        path.write_bytes(odd_tar(rng, KINDS[path.name]))


def odd_zip(rng):
    data = io.BytesIO()
    methods = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(data, 'w', mutate.pick(rng, methods)) as archive:
        archive.writestr('s/0.png', picture(9))
        for _ in range(1 + int(rng.integers(3))):
            name = mutate.pick(rng, BAD_NAMES)
            entry = zipfile.ZipInfo(name)
            entry.compress_type = archive.compression
            way = int(rng.integers(4))
            if way == 0:  # a link, to a place outside
                entry.external_attr = 0o120777 << 16
                archive.writestr(entry, f'../../{mutate.OUTSIDE}/secret.png')
            elif way == 1:
                archive.writestr(entry, bytes(BOMB))
            else:
                archive.writestr(entry, odd_image(rng))
    data = bytearray(data.getvalue())
    if rng.random() < 0.4:  # flags, methods and sizes that are not so
        at = data.index(mutate.pick(rng, (b'PK\1\2', b'PK\3\4')))
        data[at + int(rng.integers(4, 30))] ^= 1 << int(rng.integers(8))
    return bytes(data)


TYPES = (
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE),
    *(tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b'?'),
)


def odd_tar(rng, kind):
    data = io.BytesIO()
    form = mutate.pick(rng, (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=data, mode=f'w:{kind}', format=form) as archive:
        for i in range(1 + int(rng.integers(3))):
            entry = tarfile.TarInfo(mutate.pick(rng, BAD_NAMES) or 's/0.png')
            content = odd_image(rng)
            way = int(rng.integers(4))
            if way == 0:
                entry.type = mutate.pick(rng, TYPES)
                places = ('s/0.png', f'../{mutate.OUTSIDE}/secret.png', '/x')
                entry.linkname = mutate.pick(rng, places)
                content = b''
            elif way == 1:
                content = bytes(BOMB)
            elif way == 2:
                entry.pax_headers = {'path': f's/{i}.png', 'size': '9999999'}
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()

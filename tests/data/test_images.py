"""Every kind of picture reads as what it shows, and every broken file as an InputError with its name."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minifcn.data.images import MOST_PIXELS, image_size, read_image, read_labels
from minifcn.errors import InputError

RGB = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (3, 5)).astype(np.uint8)


def save(path, array_or_picture, **options):
    picture = array_or_picture
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(path, **options)
    return path


def repeated(grey):
    return np.stack([grey] * 3, axis=-1)


def declare(path, width, height):
    """A PNG that says how large it is and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"123")))
    return path


# Images


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "webp", "ppm"])
def test_rgb(tmp_path, extension):
    path = save(tmp_path / f"a.{extension}", RGB, **({"lossless": True} if extension == "webp" else {}))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert (image == RGB).all()
    assert image_size(path) == (3, 5)
    assert (read_image(str(path)) == RGB).all()


def test_grey_is_repeated(tmp_path):
    assert (read_image(save(tmp_path / "a.png", GREY)) == repeated(GREY)).all()


def test_transparency_is_dropped(tmp_path):
    alpha = np.random.default_rng(2).integers(0, 256, (3, 5, 1)).astype(np.uint8)
    assert (read_image(save(tmp_path / "a.png", np.concatenate([RGB, alpha], 2))) == RGB).all()
    both = Image.fromarray(np.concatenate([GREY[:, :, None], alpha], 2), "LA")
    assert (read_image(save(tmp_path / "b.png", both)) == repeated(GREY)).all()


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128, 255])])
def test_palette_colours(tmp_path, transparency):
    indices = np.arange(15, dtype=np.uint8).reshape(3, 5)
    palette = np.random.default_rng(3).integers(0, 256, (15, 3)).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    path = save(tmp_path / "a.png", picture, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_image(path) == palette[indices]).all()


@pytest.mark.parametrize("kind", ["png", "tif", "big-endian tif", "32-bit tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, kind):
    grey = np.array([[0, 128, 129, 256, 257], [1000, 32767, 32768, 65406, 65535]], np.uint16)
    dtype = {"big-endian tif": ">u2", "32-bit tif": np.int32}.get(kind, np.uint16)
    path = save(tmp_path / ("a.png" if kind == "png" else "a.tif"), grey.astype(dtype))
    expected = np.rint(grey * (255 / 65535))
    assert expected.max() == 255 and (read_image(path) == repeated(expected)).all()


def test_32_bit_grey_outside_16_bits_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.array([[-1, 70000]], np.int32))
    with pytest.raises(InputError, match=r"a\.tif: grey values from -1 to 70000"):
        read_image(path)


def test_floating_point_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.ones((2, 2), np.float32))
    with pytest.raises(InputError, match=r"a\.tif: floating-point"):
        read_image(path)


def test_one_bit_is_black_and_white(tmp_path):
    path = save(tmp_path / "a.png", GREY > 127)
    assert (read_image(path) == repeated(np.where(GREY > 127, 255, 0))).all()


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk(tmp_path, extension):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    path = save(tmp_path / f"a.{extension}", red)
    assert np.abs(read_image(path).astype(int) - (255, 0, 0)).max() <= 3


# What the eight values of the EXIF orientation ask for (EXIF 2.3, section 4.6.4).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, orientation, extension):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if extension == "webp" else {}
    path = save(tmp_path / f"a.{extension}", RGB, exif=exif, **options)
    expected = UPRIGHT[orientation](RGB)
    assert (read_image(path) == expected).all()
    assert image_size(path) == expected.shape[:2]


def test_exif_orientation_of_a_photograph(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    top_white = np.zeros((16, 32, 3), np.uint8)
    top_white[:8] = 255
    path = save(tmp_path / "a.jpg", top_white, exif=exif)
    assert image_size(path) == (32, 16)
    image = read_image(path)
    assert image.shape == (32, 16, 3)
    assert image[:, :7].max() < 30 and image[:, 9:].min() > 225


def test_exif_orientation_of_a_16_bit_picture(tmp_path):
    grey = np.arange(6, dtype=">u2").reshape(2, 3) * 257
    exif = Image.Exif()
    exif[0x0112] = 8
    path = save(tmp_path / "a.png", grey.astype(np.uint16), exif=exif)
    assert (read_image(path)[:, :, 0] == np.rot90(np.arange(6).reshape(2, 3))).all()


# Label maps


def test_labels_are_palette_indices_whatever_the_colours(tmp_path):
    picture = Image.fromarray(GREY)
    picture.putpalette(np.random.default_rng(4).integers(0, 256, 768).astype(np.uint8).tobytes())
    labels = read_labels(save(tmp_path / "a.png", picture))
    assert labels.dtype == np.uint8
    assert (labels == GREY).all()


@pytest.mark.parametrize("colours", [2, 4, 16])
def test_labels_of_packed_palettes(tmp_path, colours):
    indices = (GREY % colours).astype(np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(list(range(3 * colours)))
    assert (read_labels(save(tmp_path / "a.png", picture)) == indices).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_labels_are_grey_values(tmp_path, dtype):
    path = save(tmp_path / "a.tif", GREY.astype(dtype))
    labels = read_labels(path)
    assert labels.dtype == np.uint8
    assert (labels == GREY).all()


def test_labels_of_16_bit_png(tmp_path):
    assert (read_labels(save(tmp_path / "a.png", GREY.astype(np.uint16))) == GREY).all()
    path = save(tmp_path / "b.png", np.array([[3, 256]], np.uint16))
    with pytest.raises(InputError, match=r"b\.png: labels from 3 to 256, expected 0 to 255"):
        read_labels(path)


def test_labels_of_one_bit_are_zero_and_one(tmp_path):
    assert (read_labels(save(tmp_path / "a.png", GREY > 127)) == (GREY > 127)).all()


def test_labels_are_turned_upright_as_images_are(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (read_labels(save(tmp_path / "a.png", GREY, exif=exif)) == np.rot90(GREY, -1)).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_pictures_are_not_label_maps(tmp_path, channels):
    path = save(tmp_path / "a.png", np.zeros((2, 2, channels), np.uint8))
    with pytest.raises(InputError, match=rf"a\.png: colour pictures are not label.*{'RGBA'[:channels]}\)"):
        read_labels(path)


# Files that cannot be read

READERS = [read_image, read_labels, image_size]


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_no_pictures(tmp_path, read):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    for name, reason in [
        ("empty.png", "the file is empty"),
        ("text.png", "is not a picture"),
        ("folder.png", "is a folder"),
        ("missing.png", "No such file"),
    ]:
        with pytest.raises(InputError, match=f"{name}: .*{reason}"):
            read(tmp_path / name)


@pytest.mark.parametrize("read", READERS)
def test_a_file_without_permission(tmp_path, read, monkeypatch):
    path = save(tmp_path / "a.png", GREY)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InputError, match=r"a\.png: cannot be read: Permission denied"):
        read(path)


def encoded(extension):
    stream = io.BytesIO()
    noise = np.random.default_rng(5).integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(noise).save(stream, Image.registered_extensions()[f".{extension}"])
    return stream.getvalue()


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("extension", ["png", "jpg", "bmp"])
def test_truncated_files(tmp_path, extension, read):
    data = encoded(extension)
    path = tmp_path / f"a.{extension}"
    path.write_bytes(data)
    read(path)
    for kept in (1, 20, len(data) // 2, len(data) * 3 // 4):
        path.write_bytes(data[:kept])
        with pytest.raises(InputError, match=rf"a\.{extension}: "):
            read(path)


@pytest.mark.filterwarnings("ignore")  # what Pillow says about damaged files
@given(
    extension=st.sampled_from(["png", "jpg", "gif", "tif", "webp", "bmp"]),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_damaged_files_raise_nothing_but_input_errors(tmp_path_factory, extension, damage):
    data = bytearray(encoded(extension))
    for place, byte in damage:
        data[int(place * len(data))] = byte
    path = tmp_path_factory.mktemp("damaged") / f"a.{extension}"
    path.write_bytes(data)
    for read in READERS:
        try:
            read(path)
        except InputError as error:
            assert str(path) in str(error)


# Declared sizes


@pytest.mark.parametrize("read", READERS)
def test_a_huge_declared_size_is_refused_with_the_size_and_the_limit(tmp_path, read):
    path = declare(tmp_path / "a.png", 20000, 30000)
    with pytest.raises(InputError, match=r"a\.png: declares 20000 x 30000 = 600,000,000 .* 178,956,970 "):
        read(path)


def test_the_limit_is_exact_and_there_is_no_warning_below(tmp_path):
    side = 13377  # the largest square below the limit
    assert side**2 <= MOST_PIXELS < (side + 1) ** 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(declare(tmp_path / "a.png", side, side)) == (side, side)
        assert image_size(declare(tmp_path / "a.png", 3, MOST_PIXELS // 3)) == (MOST_PIXELS // 3, 3)
        with pytest.raises(InputError, match="declares"):
            image_size(declare(tmp_path / "a.png", side + 1, side + 1))


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_pixels_below_the_limit_are_decoded_without_a_warning(tmp_path, monkeypatch, extension):
    """Pillow's limit is lowered instead of decoding a picture of half a gigabyte."""
    path = save(tmp_path / f"a.{extension}", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_image(path) == RGB).all()
    assert Image.MAX_IMAGE_PIXELS == 5  # the limit of the program around us stays


def test_the_limit_of_the_program_around_us_survives_an_error(tmp_path):
    limit = vars(Image)["MAX_IMAGE_PIXELS"]
    with pytest.raises(InputError):
        read_image(declare(tmp_path / "a.png", 20000, 30000))
    assert vars(Image)["MAX_IMAGE_PIXELS"] == limit

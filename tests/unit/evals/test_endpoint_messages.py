import io
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmdft.data.images import open_image
from mmdft.errors import DataError
from mmdft.evals.backends.messages import chat_messages, data_url, fitted_size
from mmdft.records import ImageRef, Turn

ANY = (None, None)


def picture(mode="RGB", size=(40, 30)):
    # No two of its corners are alike.
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle((0, 0, 9, 4), fill=(10, 20, 200))
    return image.convert(mode)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def sent(content, pixels=ANY):
    """The type and bytes of a data URL, and the image in it as a plain decoder shows it."""
    kind, _, text = data_url(ImageRef(data=content), pixels).partition(";base64,")
    body = b64decode(text)
    return kind.removeprefix("data:"), body, Image.open(io.BytesIO(body)).convert("RGB")


def same(image, other):
    return image.size == other.size and np.array_equal(np.asarray(image), np.asarray(other))


@pytest.mark.parametrize(
    ("kind", "mode", "mime"),
    [
        ("PNG", "RGB", "image/png"),
        ("PNG", "L", "image/png"),
        ("JPEG", "RGB", "image/jpeg"),
        ("WEBP", "RGB", "image/webp"),
    ],
)
def test_a_file_that_need_not_change_is_sent_as_it_is(kind, mode, mime, tmp_path):
    content = encoded(picture(mode), kind)
    path = tmp_path / "image"
    path.write_bytes(content)
    assert sent(content)[:2] == (mime, content)
    assert sent(content, (100, 10_000))[:2] == (mime, content)
    assert data_url(ImageRef(path=path), ANY) == data_url(ImageRef(data=content), ANY)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), "JPEG", exif=exif)


def see_through():
    image = picture("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return encoded(image, "PNG")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(turned(6), id="turned by EXIF"),
        pytest.param(turned(3), id="upside down by EXIF"),
        pytest.param(see_through(), id="transparent"),
        pytest.param(encoded(picture(), "PNG", transparency=(10, 20, 200)), id="one colour"),
        pytest.param(encoded(picture("CMYK"), "JPEG"), id="CMYK"),
        pytest.param(encoded(picture("P"), "GIF"), id="GIF"),
        pytest.param(encoded(picture("L").convert("I;16"), "PNG"), id="16 bits"),
        pytest.param(encoded(picture(), "BMP"), id="BMP"),
        pytest.param(encoded(picture("P"), "PNG", transparency=0), id="palette"),
    ],
)
def test_what_servers_may_show_otherwise_is_sent_as_the_png_that_we_see(content):
    mime, body, image = sent(content)
    assert (mime, body[:4]) == ("image/png", b"\x89PNG")
    assert same(image, open_image(ImageRef(data=content)))


def test_images_out_of_bounds_are_resized():
    content = encoded(picture(), "JPEG")
    upright = open_image(ImageRef(data=content))
    for pixels, size in (((None, 300), (20, 15)), ((4800, None), (80, 60)), ((1, 1200), (40, 30))):
        mime, _, image = sent(content, pixels)
        assert image.size == size
        assert (mime == "image/jpeg") == (size == (40, 30))
        assert same(image, upright.resize(size, Image.Resampling.BICUBIC))


SIDES = st.integers(1, 4000)
AREAS = st.none() | st.integers(1, 4_000_000)


@given(width=SIDES, height=SIDES, smallest=AREAS, largest=AREAS)
def test_sizes_are_within_bounds_and_keep_their_ratio(width, height, smallest, largest):
    if None not in (smallest, largest):
        smallest = min(smallest, largest)
    columns, rows = fitted_size(width, height, (smallest, largest))
    assert min(columns, rows) >= 1
    if largest is not None:
        assert columns * rows <= largest
    # One side is a pixel off at the most.
    if smallest is not None and (largest is None or (columns + 1) * (rows + 1) <= largest):
        assert columns * rows >= smallest
    if (smallest or 1) <= width * height <= (largest or 10**9):
        assert (columns, rows) == (width, height)
    if min(columns, rows) > 1:
        scale = columns / width
        assert abs(rows - height * scale) <= 1 + height / width


def test_turns_become_messages_with_images_where_they_were_read():
    first, second = (encoded(picture(size=size), "PNG") for size in ((8, 8), (16, 8)))
    turns = [
        Turn(role="system", parts=("Be brief.",)),
        Turn(role="user", parts=("See ", ImageRef(data=first), " and ", ImageRef(data=second))),
        Turn(role="assistant", parts=("Yes.", " And?")),
        Turn(role="user", parts=("Sum?",)),
    ]
    system, user, assistant, last = chat_messages(turns, ANY)
    assert system == {"role": "system", "content": "Be brief."}
    assert assistant == {"role": "assistant", "content": "Yes. And?"}
    assert last == {"role": "user", "content": "Sum?"}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url"]
    assert [part["text"] for part in user["content"][::2]] == ["See ", " and "]
    assert [b64decode(p["image_url"]["url"].partition(",")[2]) for p in user["content"][1::2]] == [
        first,
        second,
    ]


def test_damaged_images_are_refused():
    with pytest.raises(DataError, match="not an image"):
        data_url(ImageRef(data=b"<html>"), ANY)
    with pytest.raises(DataError, match="cannot be decoded"):
        data_url(ImageRef(data=encoded(picture(), "PNG")[:-40]), ANY)

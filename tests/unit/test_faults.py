"""All bad files of a data set are named at once, up to twenty."""

import numpy as np
import pytest
from PIL import Image


def picture(path, side=16):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)).save(path)


@pytest.mark.parametrize("count", [1, 3, 25])
def test_bad_images_are_named_up_to_twenty(tmp_path, count):
    from difftables.data.image_files import folder

    picture(tmp_path / "good.png")
    for i in range(count):
        picture(tmp_path / f"{i:02}.png")
        whole = (tmp_path / f"{i:02}.png").read_bytes()
        (tmp_path / f"{i:02}.png").write_bytes((b"no image", whole[:100], whole[:60] + b"\0" * 20 + whole[80:])[i % 3])
    with pytest.raises(ValueError, match=r"00\.png") as caught:
        folder(8, 1, str(tmp_path))
    lines = str(caught.value).splitlines()
    assert "good.png" not in str(caught.value)
    assert all(sum(f"{i:02}.png" in line for line in lines) == 1 for i in range(min(count, 20)))
    assert len(lines) == {1: 1, 3: 4, 25: 22}[count]
    assert count < 25 or lines[-1].split() == ["and", "5", "more"]


def test_a_crop_beyond_an_image_names_it(tmp_path):
    """Pillow would fill what is missing with black."""
    from difftables.data.image_files import folder

    picture(tmp_path / "large.png", 20)
    picture(tmp_path / "small.png", 15)
    assert folder(8, 1, str(tmp_path))[0].shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"small\.png.*15x15 px.*\[8, 8, 8\]") as caught:
        folder(8, 1, str(tmp_path), [8, 8, 8])
    assert "large.png" not in str(caught.value)


def test_all_missing_batches_and_sentences_are_named(tmp_path):
    from difftables.data.archives import CIFAR10_BATCHES, cifar10
    from difftables.data.espeak import read_sentences

    (tmp_path / CIFAR10_BATCHES[0]).write_bytes(bytes(3073))
    (tmp_path / CIFAR10_BATCHES[1]).write_bytes(bytes(3000))
    with pytest.raises(ValueError, match="5 files") as caught:
        cifar10(32, 3, str(tmp_path))
    assert all((name in str(caught.value)) == (i > 0) for i, name in enumerate(CIFAR10_BATCHES))
    (tmp_path / "s.txt").write_text("One.\nTwo.\nOne.\nThree.\nTwo.\n")
    with pytest.raises(ValueError, match=r"'One\.'(.|\n)*'Two\.'"):
        read_sentences(tmp_path / "s.txt")

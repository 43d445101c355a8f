"""What shapes data, called as functions: what is told, and what a palette and a join say in nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.loader import take
from nodes import shaping
from nodes import sources as reading
from tests import sources


def test_a_join_tells_which_fields_it_leaves_out(tmp_path: Path) -> None:
    told: list[str] = []
    table = reading.picture_table(str(sources.table(tmp_path / "t", 3)))
    masks = reading.image_mask_pairs(*map(str, sources.pairs(tmp_path / "p", 3)), told.append)
    with pytest.raises(ValueError, match="named classes"):
        shaping.join_datasets([table, masks], told.append)
    shards = reading.webdataset_shards(str(sources.shards(tmp_path / "s", 4)), lambda *_: None)
    joined = shaping.join_datasets([shaping.repeat_dataset(shards, 2), masks], told.append)
    assert len(joined) == 11
    assert told == ["left out, as not all of the data sets have them: label, mask, weight"]
    batch = take(shaping.frame_pictures(joined, 8, 8), [0, 4, 8])
    assert batch["captions"] == [sources.caption(0)] * 3


def test_a_palette_reaches_the_maps(tmp_path: Path) -> None:
    images, maps = sources.pairs(tmp_path, 3, "map")
    for file in maps.iterdir():
        Image.open(file).convert("RGB").save(file)
    palette = [(0, 0, 0), *sources.COLOURS.values()]
    made = reading.image_map_pairs(str(images), str(maps), print, palette)
    assert (made[1]["segmentation"].numpy() == sources.marked(1) * (sources.label(1) + 1)).all()
    ignored = reading.image_map_pairs(str(images), str(maps), print, palette[:1], ignore=255)
    assert set(np.unique(ignored[1]["segmentation"])) == {0, 255}

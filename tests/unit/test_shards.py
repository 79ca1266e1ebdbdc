from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Features, List, Value

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.shards import (
    clip_paths,
    count_rows,
    gather,
    read_rows,
    read_shard,
    shard_name,
    write_shard,
)

FEATURES = Features(
    {"path": Value("string"), "values": List(Value("float16")), "number": Value("int32")}
)


def rows(count, begin=0):
    rng = np.random.default_rng(begin)
    return [
        {
            "path": f"clip{begin + k}",
            "values": rng.standard_normal(k % 7).astype(np.float16),
            "number": begin + k,
        }
        for k in range(count)
    ]


def write_split(folder, counts):
    written, paths = [], []
    for shard, count in enumerate(counts):
        path = folder / shard_name(shard, len(counts))
        batch = rows(count, begin=1000 * shard)
        assert write_shard(path, FEATURES, batch) == count
        written += batch
        paths.append(path)
    return paths, written


def assert_same(read, written):
    assert [row["path"] for row in read] == [row["path"] for row in written]
    for one, other in zip(read, written, strict=True):
        assert one["number"] == other["number"]
        np.testing.assert_array_equal(np.asarray(one["values"], np.float16), other["values"])


def test_shard_names_are_those_of_hugging_face():
    assert shard_name(3, 264) == "data-00003-of-00264.arrow"


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_rows_come_back_in_order(tmp_path, count):
    (path,), written = write_split(tmp_path, [count])
    assert_same(list(read_shard(path)), written)
    assert count_rows(path) == count


def test_rows_come_back_in_another_order(tmp_path):
    (path,), written = write_split(tmp_path, [250])
    order = np.random.default_rng(0).permutation(250).tolist()
    assert_same(list(read_rows(path, order)), [written[k] for k in order])


def test_a_gathered_folder_opens_with_load_from_disk(tmp_path):
    train, train_rows = write_split(tmp_path / "train", [150, 0, 30])  # an empty shard, too
    test, test_rows = write_split(tmp_path / "test", [5])
    assert gather(tmp_path, {"train": train, "test": test}) == {"train": 180, "test": 5}
    dataset = datasets.load_from_disk(tmp_path)
    assert dataset["train"].features == FEATURES
    assert_same(list(dataset["train"]), train_rows)
    assert_same(list(dataset["test"]), test_rows)
    assert_same(list(datasets.load_from_disk(tmp_path / "test")), test_rows)


def test_the_fingerprint_changes_when_a_shard_is_written_again(tmp_path):
    paths, _ = write_split(tmp_path / "train", [5, 5])
    gather(tmp_path, {"train": paths})
    first = datasets.load_from_disk(tmp_path)["train"]._fingerprint
    gather(tmp_path, {"train": paths})
    assert datasets.load_from_disk(tmp_path)["train"]._fingerprint == first
    write_shard(paths[0], FEATURES, rows(5, begin=7))
    gather(tmp_path, {"train": paths})
    assert datasets.load_from_disk(tmp_path)["train"]._fingerprint != first


def test_a_split_without_rows_is_refused(tmp_path):
    paths, _ = write_split(tmp_path / "dev", [0])
    with pytest.raises(InputError, match=r"dev: the split has no clips left"):
        gather(tmp_path, {"dev": paths})


def test_shards_with_different_columns_are_refused(tmp_path):
    paths, _ = write_split(tmp_path / "train", [5, 5])
    other = Features({"path": Value("string")})
    write_shard(paths[1], other, [{"path": "a"}])
    with pytest.raises(InputError, match=r"00001-of-00002.arrow: its columns differ"):
        gather(tmp_path, {"train": paths})


def batch_ends(path):
    """Offsets in a shard behind which a record batch ends."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        ends = []
        for _ in stream:
            ends.append(file.tell())
    return ends


READERS = {
    "read_shard": lambda path: list(read_shard(path)),
    "read_rows": lambda path: list(read_rows(path, [0])),
    "count_rows": count_rows,
    "clip_paths": clip_paths,
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("where", ["middle", "between batches", "nothing"])
def test_a_shard_that_was_cut_off_is_told(tmp_path, read, where):
    (path,), _ = write_split(tmp_path, [250])
    size = {
        "middle": path.stat().st_size // 2,
        "between batches": batch_ends(path)[0],
        "nothing": 0,
    }
    path.write_bytes(path.read_bytes()[: size[where]])
    with pytest.raises(InputError, match=r"00000-of-00001.arrow: not a complete shard.*Delete it"):
        READERS[read](path)


def test_nothing_is_left_when_a_row_fails(tmp_path):
    def failing():
        yield from rows(150)
        raise RuntimeError("broken clip")

    with pytest.raises(RuntimeError, match="broken clip"):
        write_shard(tmp_path / "data.arrow", FEATURES, failing())
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_when_writing_fails(tmp_path):
    (path,), written = write_split(tmp_path, [3])
    with pytest.raises(ZeroDivisionError):
        write_shard(path, FEATURES, (1 / 0 for _ in range(3)))
    assert_same(list(read_shard(path)), written)


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path):
    path = tmp_path / "data.bin"

    def write():
        with atomic_path(path) as part:
            part.write_bytes(b"begun")
            Path("/dev/full").write_bytes(b"more")  # every write there fails with ENOSPC

    with pytest.raises(InputError, match=r"data.bin: no space left"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((InputError, OSError)), atomic_path(tmp_path / "file" / "x.tsv"):
        pass

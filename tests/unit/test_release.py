import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearing_asr.errors import InputError
from hearing_asr.release import (
    COLUMNS,
    check_release,
    clip_columns,
    read_clips,
    read_table,
    shard_clips,
    write_clip_table,
)

HEADER = "\t".join(COLUMNS)


def table(tmp_path, *lines, header=HEADER):
    path = tmp_path / "train.tsv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def line(path, sentence="Hello there.", gender=""):
    return f"speaker\t{path}\tid\t{sentence}\t\t2\t0\t\t{gender}\t\t\ten\t"


def many(tmp_path, count):
    return table(tmp_path, *(line(f"common_voice_en_{k}.mp3") for k in range(count)))


def test_quotes_are_characters_like_any_other(tmp_path):
    sentences = ['"Never', 'She said "no".', "it's", '""', "'"]
    path = table(tmp_path, *(line(f"{k}.mp3", text) for k, text in enumerate(sentences)))
    assert [row["sentence"] for row in read_table(path)] == sentences


field = st.text(st.characters(exclude_characters="\t\n\r\x00", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(field, field, field), min_size=1, max_size=30))
def test_every_line_is_one_row_whatever_it_says(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "any.tsv"
    lines = ["a\tb\tc", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    assert [tuple(row.values()) for row in read_table(path)] == rows


def test_a_line_with_a_missing_field_is_named(tmp_path):
    path = table(tmp_path, line("a.mp3"), "speaker\tb.mp3\tid")
    with pytest.raises(InputError, match=r"train.tsv, line 3: 3 fields where the header has 13"):
        list(read_table(path))


def test_an_empty_file_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "train.tsv").write_text("")
    with pytest.raises(InputError, match=r"train.tsv: the file is empty"):
        list(read_table(tmp_path / "train.tsv"))
    with pytest.raises(InputError, match=r"dev.tsv: no such file.*corpus.release"):
        list(read_table(tmp_path / "dev.tsv"))


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(HEADER.encode() + b"\n" + line("a.mp3", "caf\xe9").encode("latin-1") + b"\n")
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        list(read_table(path))


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n1\t2\r\n")
    assert list(read_table(path)) == [{"a": "1", "b": "2"}]


def test_old_releases_get_the_columns_of_new_ones(tmp_path):
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tmood"
    row = "speaker\tabc\tHello.\t2\t0\ttwenties\tfemale\tus\thappy"
    (clip,) = read_clips(table(tmp_path, row, header=header))
    assert tuple(clip)[: len(COLUMNS)] == COLUMNS
    assert clip["path"] == "abc.mp3"
    assert clip["accents"] == "us"
    assert clip["gender"] == "female_feminine"
    assert clip["sentence_id"] == ""
    assert clip["mood"] == "happy"


def test_a_missing_column_is_named(tmp_path):
    path = table(tmp_path, "a\tb", header="client_id\tpath")
    with pytest.raises(InputError, match="no column sentence; found client_id, path"):
        list(read_clips(path))


def test_every_clip_is_in_one_shard_and_in_order(tmp_path):
    source = many(tmp_path, 500)
    write_clip_table(source, tmp_path / "clips.parquet", shards=7, max_clips=None)
    shards = [shard_clips(tmp_path / "clips.parquet", shard) for shard in range(7)]
    numbers = [[int(row["path"].split("_")[-1][:-4]) for row in shard] for shard in shards]
    assert sorted(itertools.chain.from_iterable(numbers)) == list(range(500))
    assert all(shard == sorted(shard) for shard in numbers)
    assert min(map(len, numbers)) > 40  # 71 on average, spread by a hash
    assert clip_columns(tmp_path / "clips.parquet") == list(COLUMNS)


def test_subsets_are_nested_and_clips_keep_their_shard(tmp_path):
    source = many(tmp_path, 300)
    chosen = {}
    for count in (20, 50, 300):
        write_clip_table(source, tmp_path / "clips.parquet", shards=4, max_clips=count)
        rows = pq.read_table(tmp_path / "clips.parquet", columns=["path", "shard"]).to_pylist()
        chosen[count] = {(row["path"], row["shard"]) for row in rows}
        assert len(chosen[count]) == count
    assert chosen[20] < chosen[50] < chosen[300]


def test_a_subset_is_not_the_beginning_of_the_table(tmp_path):
    write_clip_table(many(tmp_path, 300), tmp_path / "clips.parquet", shards=1, max_clips=100)
    rows = pq.read_table(tmp_path / "clips.parquet").to_pylist()
    numbers = [int(row["path"].split("_")[-1][:-4]) for row in rows]
    assert np.mean(numbers) == pytest.approx(150, abs=30)


def test_more_shards_than_clips_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"3 clips for 4 shards.*at most 3"):
        write_clip_table(many(tmp_path, 3), tmp_path / "c.parquet", shards=4, max_clips=None)
    assert not (tmp_path / "c.parquet").exists()


def test_a_clip_that_is_listed_twice_is_refused(tmp_path):
    source = table(tmp_path, line("a.mp3"), line("b.mp3"), line("a.mp3"))
    with pytest.raises(InputError, match=r"lines 2 and 4: clip a.mp3 is listed twice"):
        write_clip_table(source, tmp_path / "c.parquet", shards=1, max_clips=None)


def test_the_parent_of_a_release_is_told_from_the_release(tmp_path):
    release = tmp_path / "cv-corpus" / "en"
    (release / "clips").mkdir(parents=True)
    for split in ("train", "dev"):
        (release / f"{split}.tsv").write_text(HEADER)
    with pytest.raises(InputError, match=r"no test.tsv there"):
        check_release(release, ("train", "dev", "test"))
    with pytest.raises(InputError, match=r"Did you mean .*cv-corpus/en\?"):
        check_release(tmp_path / "cv-corpus", ("train", "dev"))
    check_release(release, ("train", "dev"))

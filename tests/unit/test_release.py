import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearing_asr.errors import InputError
from hearing_asr.release import COLUMNS, check_release, read_clips, read_table
from tests.unit.releases import HEADER, line, table

FIELD = st.text(st.characters(exclude_characters="\t\n\r\x00", exclude_categories=["Cs"]))


def test_quotes_are_characters_like_any_other(tmp_path):
    sentences = ['"Never', 'She said "no".', "it's", '""', "'", '"a" "b', "سلام \u202eabc"]
    path = table(tmp_path, *(line(f"{k}.mp3", text) for k, text in enumerate(sentences)))
    assert read_table(path).rows["sentence"].to_pylist() == sentences


@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=30))
def test_every_line_is_one_row_whatever_it_says(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "any.tsv"
    lines = ["a\tb\tc", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    read = read_table(path)
    assert [tuple(row.values()) for row in read.rows.to_pylist()] == rows
    assert read.damaged == []
    assert list(read.lines) == list(range(2, 2 + len(rows)))


GOOD = st.tuples(FIELD, FIELD, FIELD).map(lambda fields: ("\t".join(fields).encode(), fields))
SHORT = st.tuples(FIELD, FIELD).map(lambda fields: ("\t".join(fields).encode(), None))
LONG = st.lists(FIELD, min_size=4, max_size=6).map(lambda f: ("\t".join(f).encode(), None))
BINARY = st.just((b"a\t\xff\xfe\tb", None))


@given(st.lists(st.one_of(GOOD, SHORT, LONG, BINARY), max_size=30))
def test_damaged_lines_are_named_and_cost_no_other_row(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("tsv") / "any.tsv"
    path.write_bytes(b"\n".join([b"a\tb\tc", *(text for text, _ in lines)]) + b"\n")
    read = read_table(path)
    good = [row for _, row in lines if row is not None]
    assert [tuple(row.values()) for row in read.rows.to_pylist()] == good
    bad = [number for number, (_, row) in enumerate(lines, start=2) if row is None]
    told = [int(detail.split(":")[0].removeprefix("line ")) for *_, detail in read.damaged]
    assert told == bad
    assert sorted([*told, *read.lines]) == list(range(2, 2 + len(lines)))


def test_a_damaged_line_is_told_with_its_clip(tmp_path):
    path = table(tmp_path, line("a.mp3"), line("b.mp3", "a\ttab"), "speaker\tc.mp3\tid")
    read = read_table(path)
    assert read.rows["path"].to_pylist() == ["a.mp3"]
    assert read.damaged == [
        ("b.mp3", "damaged row", "line 3: 14 fields where the header has 13"),
        ("c.mp3", "damaged row", "line 4: 3 fields where the header has 13"),
    ]


def test_an_empty_file_and_a_missing_file_are_named(tmp_path):
    for content in (b"", b"\n", b"\xff\xfe\n", b"a\ta\n"):
        (tmp_path / "train.tsv").write_bytes(content)
        with pytest.raises(InputError, match=r"train.tsv: no header"):
            read_table(tmp_path / "train.tsv")
    with pytest.raises(InputError, match=r"dev.tsv: no such file.*corpus.release"):
        read_table(tmp_path / "dev.tsv")


def test_rows_in_another_encoding_are_damaged(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(HEADER.encode() + b"\n" + line("a.mp3", "caf\xe9").encode("latin-1") + b"\n")
    assert read_table(path).damaged == [("a.mp3", "damaged row", "line 2: not UTF-8")]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n1\t2\r\n")
    assert read_table(path).rows.to_pylist() == [{"a": "1", "b": "2"}]


def test_a_table_of_parquet_is_read_with_tabs_and_line_breaks(tmp_path):
    rows = {"client_id": ["s"], "path": ["a.mp3"], "sentence": ["a\tb\nc"]}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    clips = read_clips(tmp_path / "train.parquet").rows
    assert clips["sentence"].to_pylist() == ["a\tb\nc"]
    assert clips.column_names == list(COLUMNS)


def test_old_releases_get_the_columns_of_new_ones(tmp_path):
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tmood"
    row = "speaker\tabc\tHello.\t2\t0\ttwenties\tfemale\tus\thappy"
    (clip,) = read_clips(table(tmp_path, row, header=header)).rows.to_pylist()
    assert tuple(clip)[: len(COLUMNS)] == COLUMNS
    assert clip["path"] == "abc.mp3"
    assert clip["accents"] == "us"
    assert clip["gender"] == "female_feminine"
    assert clip["sentence_id"] == ""
    assert clip["mood"] == "happy"


def test_a_missing_column_and_a_taken_one_are_named(tmp_path):
    path = table(tmp_path, "a\tb", header="client_id\tpath")
    with pytest.raises(InputError, match="no column sentence; found client_id, path"):
        read_clips(path)
    path = table(tmp_path, "a\tb\tc\td", header="client_id\tpath\tsentence\tscale")
    with pytest.raises(InputError, match="uses the column name scale itself"):
        read_clips(path)


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

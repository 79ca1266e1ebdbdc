import errno
import io
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from hearing_asr.errors import InputError
from hearing_asr.hub import HubDataset, stream_clips, write_tables
from hearing_asr.hub_access import DataFile, Repository
from tests.fakes.hub import fake_hub

SENTENCES = [
    "مرحبا بالعالم",
    'She said\t"no".\nThen nothing.',
    "Ça va? 你好 𝄞 ",
    "it's",
    "‏שלום‎ world",
    "",
]
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMNS = {"audio": "audio", "path": "path", "sentence": "text", "client_id": "speaker"}
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
SECRET = "hf_QuiteSecret123"


def encoded(number: int, form: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(number).normal(0, 0.1, 800)
    sf.write(file, noise, 16000, format=form)
    return file.getvalue()


def rows(first: int, count: int, **columns) -> pa.Table:
    """Rows of a dataset, told apart by their number."""
    numbers = range(first, first + count)
    clips = [
        {"bytes": encoded(k, ("FLAC", "WAV")[k % 2]), "path": f"clips/{k}.{('flac', 'wav')[k % 2]}"}
        for k in numbers
    ]
    table = {
        "speaker": pa.array([f"speaker {k % 3}" for k in numbers]),
        "audio": pa.array(clips, AUDIO),
        "text": pa.array([SENTENCES[k % len(SENTENCES)] for k in numbers]),
        "up_votes": pa.array([None if k % 4 == 3 else k for k in numbers], pa.int64()),
    }
    return pa.table(table | columns)


def save(table: pa.Table, path: Path, group: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)


@pytest.fixture
def folder(tmp_path):
    """A dataset as the Hub has it, with the subsets ar (7 + 4, 2 and 3 clips) and en (1 each)."""
    root = tmp_path / "dataset"
    config = "- config_name: {0}\n  data_files:\n" + "".join(
        f"  - split: {split}\n    path: '{{0}}/{split}-*.parquet'\n" for split in SPLITS.values()
    )
    root.mkdir()
    (root / "README.md").write_text(
        f"---\nconfigs:\n{config.format('ar')}{config.format('en')}---\n# Title\n"
    )
    save(rows(0, 7), root / "ar/train-00000-of-00002.parquet")
    save(rows(7, 4), root / "ar/train-00001-of-00002.parquet")
    save(rows(20, 2), root / "ar/validation-00000-of-00001.parquet")
    save(rows(30, 3), root / "ar/test-00000-of-00001.parquet")
    for k, split in enumerate(SPLITS.values()):
        save(rows(40 + k, 1), root / f"en/{split}-00000-of-00001.parquet")
    return root


def plain(root: Path, table: pa.Table) -> HubDataset:
    """A dataset of one split, in the layout that needs no README.md."""
    save(table, root / "data/train-00000-of-00001.parquet")
    return dataset(root, subset=None, splits={"train": "train"})


def dataset(name, subset="ar", revision=None, streaming=False, splits=SPLITS, columns=COLUMNS):
    return HubDataset(str(name), subset, revision, streaming, splits, columns)


def tables(source, output):
    write_tables(source, output)
    return {name: pq.read_table(output / f"{name}.parquet").to_pydict() for name in source.splits}


def paths_of(source, output):
    return tables(source, output)["train"]["path"]


NUMBERS = {"train": range(11), "dev": (20, 21), "test": (30, 31, 32)}


def expected(split):
    numbers = NUMBERS[split]
    return {
        "client_id": [f"speaker {k % 3}" for k in numbers],
        "path": [f"{k}.{('flac', 'wav')[k % 2]}" for k in numbers],
        "sentence": [SENTENCES[k % 6] for k in numbers],
        "up_votes": ["" if k % 4 == 3 else str(k) for k in numbers],
    }


def expected_clips():
    return [
        (f"{k}.{('flac', 'wav')[k % 2]}", encoded(k, ("FLAC", "WAV")[k % 2]))
        for numbers in NUMBERS.values()
        for k in numbers
    ]


def test_the_tables_have_every_row_in_order_as_text(folder, tmp_path):
    found = tables(dataset(folder), tmp_path / "out")
    assert found == {split: expected(split) for split in SPLITS}
    assert list(found["train"]) == ["client_id", "path", "sentence", "up_votes"]
    assert set(pq.read_schema(tmp_path / "out/train.parquet").types) == {pa.string()}


def test_the_rows_are_those_of_load_dataset(folder, tmp_path):
    import datasets

    found = tables(dataset(folder), tmp_path / "out")
    clips = dict(stream_clips(dataset(folder), tmp_path / "out/release.json"))
    for ours, theirs in SPLITS.items():
        loaded = datasets.load_dataset(
            str(folder), "ar", split=theirs, cache_dir=str(tmp_path / "cache")
        ).to_list()
        assert [row["text"] for row in loaded] == found[ours]["sentence"]
        assert [r["audio"]["bytes"] for r in loaded] == [clips[p] for p in found[ours]["path"]]


def test_the_clips_have_the_names_of_the_tables_and_their_bytes(folder, tmp_path):
    write_tables(dataset(folder), tmp_path)
    clips = list(stream_clips(dataset(folder), tmp_path / "release.json"))
    assert clips == expected_clips()
    for skip in range(len(clips) + 2):
        assert list(stream_clips(dataset(folder), tmp_path / "release.json", skip)) == clips[skip:]


def test_the_record_tells_what_was_read(folder, tmp_path):
    write_tables(dataset(folder), tmp_path)
    record = json.loads((tmp_path / "release.json").read_text())
    path = folder / "ar/train-00001-of-00002.parquet"
    assert record["commit"] is None
    assert record["splits"]["train"]["rows"] == 11
    assert record["splits"]["train"]["files"][1] == {
        "name": "ar/train-00001-of-00002.parquet",
        "size": path.stat().st_size,
        "rows": 4,
        "mtime_ns": path.stat().st_mtime_ns,
    }


def test_missing_audio_is_none(tmp_path):
    clips = [{"bytes": b"x", "path": "a.wav"}, {"bytes": None, "path": "b.wav"}, None]
    clips.append({"bytes": b"", "path": "d.wav"})
    source = plain(tmp_path / "in", rows(0, 4, audio=pa.array(clips, AUDIO)))
    write_tables(source, tmp_path)
    found = [clip for _, clip in stream_clips(source, tmp_path / "release.json")]
    assert found == [b"x", None, None, b""]


def test_audio_may_be_a_plain_column_of_bytes(tmp_path):
    source = plain(tmp_path / "in", rows(0, 2, audio=pa.array([b"x", None], pa.large_binary())))
    write_tables(source, tmp_path)
    names = [f"train-{k:08d}.audio" for k in range(2)]
    clips = list(stream_clips(source, tmp_path / "release.json"))
    assert clips == list(zip(names, [b"x", None], strict=True))


def test_the_names_of_clips_come_from_the_path_column_first(tmp_path):
    paths = ["a/b/one.mp3", "C:\\clips\\two.mp3", "three", "…/четыре.mp3"]
    source = plain(tmp_path / "in", rows(0, 4, path=pa.array(paths)))
    names = ["one.mp3", "two.mp3", "three.audio", "четыре.mp3"]
    assert paths_of(source, tmp_path) == names
    assert [name for name, _ in stream_clips(source, tmp_path / "release.json")] == names


@pytest.mark.parametrize(
    "path", [None, "", "clips/", "..", "a\nb.mp3", "a\x7f.mp3", "x" * 300, "b/other.mp3", "other"]
)
def test_paths_that_do_not_serve_are_replaced_by_those_of_the_audio(path, tmp_path):
    others = ["other.mp3", "other.audio"]
    source = plain(tmp_path / "in", rows(0, 3, path=pa.array([*others, path])))
    assert paths_of(source, tmp_path) == ["0.flac", "1.wav", "2.flac"]


@pytest.mark.parametrize("path", ["0.flac", "a/0.flac", None, "", "\t"])
def test_names_are_made_where_those_of_the_audio_do_not_serve(path, tmp_path):
    clips = [{"bytes": b"x", "path": p} for p in ("0.flac", path)]
    source = plain(tmp_path / "in", rows(0, 2, audio=pa.array(clips, AUDIO)))
    assert paths_of(source, tmp_path) == ["train-00000000.audio", "train-00000001.audio"]


def test_names_are_unique_across_the_files_of_a_split(folder, tmp_path):
    save(rows(6, 4), folder / "ar/train-00001-of-00002.parquet")  # 6 is in the first file too
    found = tables(dataset(folder), tmp_path)
    assert found["train"]["path"] == [f"train-{k:08d}.audio" for k in range(11)]
    assert found["dev"]["path"] == expected("dev")["path"]
    clips = list(stream_clips(dataset(folder), tmp_path / "release.json"))
    assert [name for name, _ in clips[:11]] == found["train"]["path"]
    assert clips[7][1] == encoded(6, "FLAC")


def test_values_of_all_kinds_become_text(tmp_path):
    columns = {
        "validated": pa.array([True, None]),
        "score": pa.array([float("nan"), 2.5]),
        "age": pa.array(["twenties", None]).dictionary_encode(),
        "day": pa.array([datetime(2024, 2, 3, 4, 5), None], pa.timestamp("ms")),
        "gender": pa.array([1, -1]),
        "empty": pa.nulls(2),
    }
    names = ["male", "female"]
    features = {"gender": {"names": names, "_type": "ClassLabel"}, "age": {"_type": "Value"}}
    table = rows(0, 2, **columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    found = tables(plain(tmp_path / "in", table), tmp_path)["train"]
    assert found["validated"] == ["true", ""]
    assert found["score"] == ["", "2.5"]
    assert found["age"] == ["twenties", ""]
    assert found["day"] == ["2024-02-03 04:05:00.000", ""]
    assert found["gender"] == ["female", ""]
    assert found["empty"] == ["", ""]


def test_columns_that_would_clash_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO", "hearing_asr")
    texts = pa.array(["a", "b"])
    more = dict.fromkeys(("shard", "scale", "sentence", "client_id"), texts)
    more |= {"tags": pa.array([["a"], []]), "raw": pa.array([b"a", b"b"])}
    source = plain(tmp_path / "in", rows(0, 2, duration=pa.array([1.5, 2.0]), **more))
    found = tables(source, tmp_path)["train"]
    assert list(found) == ["client_id", "path", "sentence", "up_votes", "duration_s"]
    assert found["duration_s"] == ["1.5", "2"]
    assert found["sentence"] == SENTENCES[:2]
    for name in more:
        assert f"column {name} " in caplog.text
    source = plain(tmp_path / "in", rows(0, 2, duration=texts, duration_s=pa.array([1, 2])))
    found = tables(source, tmp_path)["train"]
    assert found["duration_s"] == ["1", "2"]
    assert "duration" not in found


def test_another_name_for_the_audio_column(tmp_path):
    columns = {**COLUMNS, "audio": "sound"}
    table = rows(0, 2).rename_columns({"audio": "sound"}).append_column("audio", [["x", "y"]])
    save(table, tmp_path / "in/data/train-00000-of-00001.parquet")
    source = dataset(tmp_path / "in", None, splits={"train": "train"}, columns=columns)
    assert list(tables(source, tmp_path)["train"]) == ["client_id", "path", "sentence", "up_votes"]
    assert list(stream_clips(source, tmp_path / "release.json")) == expected_clips()[:2]


def test_a_column_that_some_files_lack_is_empty_there(folder, tmp_path):
    extra = rows(7, 4, accent=pa.array(list("abcd")))
    save(extra, folder / "ar/train-00001-of-00002.parquet")
    assert tables(dataset(folder), tmp_path)["train"]["accent"] == [""] * 7 + list("abcd")


def test_columns_that_are_missing_are_named(folder, tmp_path):
    for ours in ("sentence", "client_id", "audio"):
        source = dataset(folder, columns={**COLUMNS, ours: "absent"})
        with pytest.raises(
            InputError,
            match=rf"no column 'absent'; found speaker, audio, text, up_votes. Set corpus.hub."
            rf"columns.{ours} ",
        ):
            write_tables(source, tmp_path)
    assert not list(tmp_path.glob("*.*"))
    with pytest.raises(InputError, match=r"column 'audio' of .* is not text.*columns.sentence"):
        write_tables(dataset(folder, columns={**COLUMNS, "sentence": "audio"}), tmp_path)


@pytest.mark.parametrize(
    "audio",
    [
        pa.array(["a.mp3", "b.mp3"]),
        pa.array([[0.1], [0.2]]),
        pa.array([{"array": [0.1], "sampling_rate": 16000}] * 2),
        pa.array([{"bytes": "text", "path": "a"}] * 2),
    ],
    ids=["path", "samples", "decoded", "text"],
)
def test_audio_that_is_not_encoded_bytes_is_refused(audio, tmp_path):
    with pytest.raises(InputError, match=r"column 'audio.* Expected the bytes of audio files"):
        write_tables(plain(tmp_path / "in", rows(0, 2, audio=audio)), tmp_path)


def test_a_dataset_with_mere_paths_of_audio_is_refused(tmp_path):
    clips = pa.array([{"bytes": None, "path": "a.mp3"}, {"bytes": None, "path": "b.mp3"}], AUDIO)
    with pytest.raises(InputError, match=r"audio.bytes of split 'train' holds no audio"):
        write_tables(plain(tmp_path / "in", rows(0, 2, audio=clips)), tmp_path)


def test_what_corpus_hub_says_wrongly_is_explained(folder, tmp_path):
    def refused(message, **keys):
        with pytest.raises(InputError, match=message):
            write_tables(dataset(**{"name": folder, **keys}), tmp_path)

    refused(r"corpus.hub.subset: is not set; .* has ar, en", subset=None)
    refused(r"corpus.hub.subset: there is no 'fr'; .* has ar, en", subset="fr")
    refused(
        r"corpus.hub.splits.dev: .* has no split 'dev'; it has train, validation, test",
        splits={"train": "train", "dev": "dev"},
    )
    refused(r"corpus.hub.dataset: \./absent is neither a folder", name="./absent")
    refused(r"corpus.hub.dataset: one/two/three is neither a folder", name="one/two/three")
    refused(r"corpus.hub.revision: .* is a folder", revision="main")


def test_what_is_not_made_of_parquet_files_is_refused(tmp_path):
    def refused(message):
        source = dataset(tmp_path / "in", None, splits={"train": "train"})
        with pytest.raises(InputError, match=message + r".*data-only form.*refs/convert/parquet"):
            write_tables(source, tmp_path)

    (tmp_path / "in").mkdir()
    refused("no data files there")
    (tmp_path / "in/train").mkdir()
    for name in ("a.wav", "b.wav", "metadata.csv"):
        (tmp_path / "in/train" / name).write_text("file_name\n")
    refused(r"split 'train' is not made of parquet files; found 2 .wav, 1 .csv files")
    (tmp_path / "in/in.py").write_text("")
    refused("Dataset scripts are no longer supported, but found in.py")


def test_data_from_elsewhere_is_refused(folder, tmp_path):
    save(rows(0, 1), tmp_path / "other/train.parquet")
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: ar\n  data_files: {tmp_path}/other/*.parquet\n---\n"
    )
    with pytest.raises(InputError, match=r"takes data from elsewhere \(.*other/train.parquet\)"):
        write_tables(dataset(folder), tmp_path)


def test_a_file_that_is_not_parquet_is_named(folder, tmp_path):
    (folder / "ar/test-00000-of-00001.parquet").write_bytes(b"PAR1 and not more")
    with pytest.raises(InputError, match=r"ar/test-00000-of-00001.parquet in .* cannot be read as"):
        write_tables(dataset(folder), tmp_path)


def test_files_that_have_changed_are_refused(folder, tmp_path):
    source, release = dataset(folder), tmp_path / "release.json"
    write_tables(source, tmp_path)
    path = folder / "ar/test-00000-of-00001.parquet"
    state, content = path.stat(), path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    with pytest.raises(InputError, match=r"test-00000-of-00001.parquet: the file is not the one"):
        next(stream_clips(source, release))
    path.write_bytes(content + b" ")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(InputError, match="the file is not the one"):
        next(stream_clips(source, release))
    path.unlink()
    with pytest.raises(InputError, match="the file is not the one"):
        next(stream_clips(source, release))


def test_tables_of_something_else_are_refused(folder, tmp_path):
    source, release = dataset(folder), tmp_path / "release.json"
    with pytest.raises(InputError, match="release.json: missing"):
        next(stream_clips(source, release))
    write_tables(source, tmp_path)
    with pytest.raises(InputError, match=r"made of .* \(subset ar, .*subset en"):
        next(stream_clips(dataset(folder, subset="en"), release))
    pq.write_table(pq.read_table(tmp_path / "train.parquet").slice(1), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"train.parquet: 10 rows where the dataset has 11"):
        next(stream_clips(source, release))


def test_tables_that_fail_leave_no_record(folder, tmp_path):
    write_tables(dataset(folder), tmp_path)
    with pytest.raises(InputError):
        write_tables(dataset(folder, subset="fr"), tmp_path)
    assert not (tmp_path / "release.json").exists()


def test_a_large_row_group_is_not_held_in_memory(tmp_path):
    noise = np.random.default_rng(0)
    clips = [{"bytes": noise.bytes(16_000), "path": None} for _ in range(5_000)]
    few = {"speaker": ["a"] * 5_000, "text": [""] * 5_000}
    table = pa.table({"audio": pa.array(clips, AUDIO), **few})
    root = tmp_path / "in"
    save(table, root / "data/train-00000-of-00001.parquet", group=5_000)
    del table, clips
    source = dataset(root, None, splits={"train": "train"})
    write_tables(source, tmp_path)
    before, most, count = pa.total_allocated_bytes(), 0, 0
    for _, clip in stream_clips(source, tmp_path / "release.json"):
        most = max(most, pa.total_allocated_bytes() - before)
        count += len(clip)
    assert count == 80_000_000
    assert most < 60_000_000  # of which a page of 1024 clips takes 16 MB


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("x: No space left on device")],
)
def test_a_full_disk_is_explained(error, monkeypatch):
    def full(*args, **keys):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(InputError, match="no space left for the download. Set HF_HOME"):
        Repository(dataset("lab/speech"), "0" * 40, remote=False).download(["a.parquet"])


def test_no_clip_comes_twice_when_a_connection_breaks_within_a_row_group(tmp_path, monkeypatch):
    table = pa.table({"number": list(range(40))})
    save(table, tmp_path / "a.parquet", group=20)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    whole, failures = Repository._group, iter([1, 0, 3, 2])  # batches before each failure

    def breaking(*args):
        count = next(failures, None)
        yield from islice(whole(*args), count)
        if count is not None:
            raise ConnectionResetError

    monkeypatch.setattr(Repository, "_group", breaking)
    monkeypatch.setattr(Repository, "local", lambda self, name: tmp_path / name)
    monkeypatch.setattr(Repository, "_open", lambda self, name: pa.OSFile(str(tmp_path / name)))
    hub = Repository(dataset("lab/speech"), "0" * 40, remote=True)
    file = DataFile("a.parquet", 0, 40)
    found = [
        n for b in hub.batches(file, ["number"], rows=6, skip=1) for n in b["number"].to_pylist()
    ]
    assert found == list(range(1, 40))


# The Hub: its address is read when its client is imported, so a process of its own talks to it.


def quick() -> None:
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, 0.002))


def in_client(function, source, output, token, *args):
    os.environ.pop("HF_TOKEN", None)
    if token is not None:
        os.environ["HF_TOKEN"] = token
    return function(source, output, *args)


def clips_in_client(source, output, skip=0, count=None):
    with closing(stream_clips(source, output / "release.json", skip)) as clips:
        return list(islice(clips, count))


@pytest.fixture(scope="module")
def server():
    with fake_hub() as server:
        yield server


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text("hf_saved")  # as `hf auth login` leaves it
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", server.url)
        environment.setenv("HF_HOME", str(home))
        environment.setenv("HF_HUB_DISABLE_XET", "1")
        environment.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE"):
            environment.delenv(name, raising=False)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=quick) as pool:

            def run(function, source, output, *args, token=None):
                return pool.submit(in_client, function, source, output, token, *args).result(60)

            yield run


@pytest.fixture
def hub(server, folder):
    """The Hub with the dataset lab/speech, whose text is little beside its audio."""
    server.reset()
    server.datasets.clear()
    for name, first in (("train-00000-of-00002", 0), ("train-00001-of-00002", 7)):
        table = rows(first, 7 if first == 0 else 4)
        big = [{**clip, "bytes": longer(clip["bytes"])} for clip in table["audio"].to_pylist()]
        save(table.set_column(1, "audio", [big]), folder / f"ar/{name}.parquet")
    server.push("lab/speech", files_of(folder))
    return server


def files_of(folder):
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return found | {".gitattributes": b"* -text\n"}


def longer(clip):
    return clip + np.random.default_rng(len(clip)).bytes(300_000)


def big_clips():
    return [
        (name, longer(clip) if k < 11 else clip) for k, (name, clip) in enumerate(expected_clips())
    ]


def test_a_dataset_is_streamed_at_its_commit(hub, client, folder, tmp_path):
    source = dataset("lab/speech", streaming=True)
    assert client(tables, source, tmp_path) == {split: expected(split) for split in SPLITS}
    trained = [
        name for name in hub.commits[hub.datasets["lab/speech"]["main"]] if "ar/train" in name
    ]
    size = sum((folder / name).stat().st_size for name in trained)
    assert sum(hub.sent[name] for name in trained) < 0.2 * size  # the footers, no audio
    record = json.loads((tmp_path / "release.json").read_text())
    assert record["commit"] == hub.datasets["lab/speech"]["main"]
    assert record["splits"]["dev"]["files"][0]["mtime_ns"] is None
    assert str(tmp_path) not in (tmp_path / "release.json").read_text()
    other = {"README.md": b"", "data/train-00000-of-00001.parquet": b"another"}
    hub.push("lab/speech", other)
    hub.sent.clear()
    assert client(clips_in_client, source, tmp_path) == big_clips()
    assert sum(hub.sent[name] for name in trained) < 1.1 * size
    assert hub.authorizations == {None}  # not that of `hf auth login`


def test_a_tag_is_read_as_it_is(hub, client, folder, tmp_path):
    (folder / "ar/test-00000-of-00001.parquet").rename(folder / "ar/test-1.parquet")
    commit = hub.push("lab/speech", files_of(folder), "v1")
    source = dataset("lab/speech", revision="v1", streaming=True)
    assert client(tables, source, tmp_path)["test"] == expected("test")
    record = json.loads((tmp_path / "release.json").read_text())
    assert (record["revision"], record["commit"]) == ("v1", commit)
    assert record["splits"]["test"]["files"][0]["name"] == "ar/test-1.parquet"


def test_skipped_clips_are_not_fetched(hub, client, folder, tmp_path):
    source = dataset("lab/speech", streaming=True)
    client(write_tables, source, tmp_path)
    hub.sent.clear()
    assert client(clips_in_client, source, tmp_path, 10, 1) == big_clips()[10:11]
    size = (folder / "ar/train-00001-of-00002.parquet").stat().st_size
    assert hub.sent["ar/train-00000-of-00002.parquet"] == 0
    assert hub.sent["ar/train-00001-of-00002.parquet"] < 0.5 * size  # one row group of two


def test_a_download_is_read_without_a_connection(hub, client, folder, tmp_path):
    source = dataset("lab/speech", revision="main")
    assert client(tables, source, tmp_path)["train"] == expected("train")
    assert not [name for name in hub.sent if name.startswith("en/")]
    assert str(folder.parent.parent) not in (tmp_path / "release.json").read_text()
    hub.requests.clear()
    assert client(clips_in_client, source, tmp_path) == big_clips()
    assert hub.requests == []
    record = json.loads((tmp_path / "release.json").read_text())
    home = Path(os.environ["HF_HOME"])
    (file,) = home.rglob(f"{record['commit']}/ar/test-00000-of-00001.parquet")
    file.unlink()
    with pytest.raises(InputError, match="ar/test-.* is no longer in the cache"):
        client(clips_in_client, source, tmp_path)


def test_nothing_is_downloaded_before_the_columns_are_right(hub, client, folder, tmp_path):
    source = dataset("lab/speech", columns={**COLUMNS, "client_id": "absent"})
    (folder / "x").write_text("")  # another commit than other tests have downloaded
    hub.push("lab/speech", files_of(folder))
    with pytest.raises(InputError, match="no column 'absent'"):
        client(write_tables, source, tmp_path)
    size = (folder / "ar/train-00000-of-00002.parquet").stat().st_size
    assert 0 < hub.sent["ar/train-00000-of-00002.parquet"] < 0.5 * size


def test_a_connection_that_breaks_is_taken_up_again(hub, client, tmp_path):
    source = dataset("lab/speech", streaming=True)
    client(write_tables, source, tmp_path)
    hub.breaks = 20  # the Hub's client tries a transfer six times itself
    hub.break_from, hub.spared = 100_000, 2  # row groups, from the third on
    assert client(clips_in_client, source, tmp_path) == big_clips()
    assert hub.breaks == 0
    hub.breaks = 10**6
    hub.requests.clear()
    with pytest.raises(InputError, match="no connection to the Hugging Face Hub"):
        client(clips_in_client, source, tmp_path, token=SECRET)
    assert len(hub.requests) < 100
    hub.breaks, hub.down = 0, 503
    with pytest.raises(InputError, match="answered 503"):
        client(clips_in_client, source, tmp_path)


def test_the_hubs_refusals_are_explained(hub, client, tmp_path):
    def refused(message, token=None, function=write_tables, **keys):
        source = dataset(**{"name": "lab/speech", "streaming": True, **keys})
        with pytest.raises(InputError, match=message) as caught:
            client(function, source, tmp_path, token=token)
        assert SECRET not in f"{caught.value} {caught.value.__cause__}"  # and its traceback

    refused(r"corpus.hub.dataset: lab/absent.* \(401\).*spelling.*HF_TOKEN", name="lab/absent")
    refused(r"corpus.hub.dataset: lab/absent.* \(404\)", token=SECRET, name="lab/absent")
    refused(r"corpus.hub.dataset: 'lab/a b' is neither", name="lab/a b")
    refused(r"corpus.hub.revision: lab/speech has no revision 'v9'", revision="v9")
    refused(r"corpus.hub.subset: is not set; lab/speech has ar, en", subset=None)
    refused(r"corpus.hub.splits.train: .* it has train, validation", splits={"train": "other"})
    refused(r"HF_TOKEN holds characters", token=f"{SECRET}\n{SECRET}")
    hub.tokens["lab/speech"] = {"hf_right"}
    refused(r"\(401\).*HF_TOKEN \(it is not set\)")
    refused(r"\(404\).*HF_TOKEN to a valid", token=SECRET)
    hub.tokens.clear()
    hub.gated["lab/speech"] = {"hf_right"}
    page = r"conditions on its page, http://127.0.0.1:\d+/datasets/lab/speech"
    for hub.shown in (set(), {"README.md"}):
        refused(rf"access denied.*{page}.*not set")
        refused(rf"access denied.*{page}", token=SECRET)
    client(write_tables, dataset("lab/speech", streaming=True), tmp_path, token="hf_right")
    hub.requests.clear()
    refused(rf"access denied \(403\).*{page}", token=SECRET, function=clips_in_client)
    assert sum("/resolve/" in request for request in hub.requests) == 1  # in vain again
    hub.down = 500
    refused(r"answered 500")
    text = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert "hf_right" not in text
    assert hub.authorizations == {None, f"Bearer {SECRET}", "Bearer hf_right"}


def test_the_token_opens_a_private_dataset(hub, client, tmp_path):
    hub.tokens["lab/speech"] = {"hf_right"}
    for streaming in (True, False):
        source = dataset("lab/speech", streaming=streaming)
        output = tmp_path / str(streaming)
        client(write_tables, source, output, token=" hf_right\n")
        assert client(clips_in_client, source, output, token="hf_right") == big_clips()
    assert hub.authorizations == {"Bearer hf_right"}


def test_what_the_hub_has_converted_is_read(hub, client, folder, tmp_path):
    files = {"README.md": b"---\n---\n", "speech.py": b"", "audio.tar": b""}
    hub.push("lab/speech", files)
    with pytest.raises(InputError, match=r"scripts.*speech.py.*refs/convert/parquet"):
        client(write_tables, dataset("lab/speech"), tmp_path)
    converted = {
        f"{subset}/{split}/0000.parquet": (
            folder / f"{subset}/{split}-00000-of-00001.parquet"
        ).read_bytes()
        for subset in ("ar", "en")
        for split in ("validation", "test")
    }
    hub.push("lab/speech", converted, "refs/convert/parquet")
    keys = {"revision": "refs/convert/parquet", "splits": {"dev": "validation", "test": "test"}}
    source = dataset("lab/speech", streaming=True, **keys)
    assert client(tables, source, tmp_path) == {k: expected(k) for k in ("dev", "test")}
    assert client(clips_in_client, source, tmp_path) == expected_clips()[11:]
    with pytest.raises(InputError, match="corpus.hub.subset: is not set; lab/speech has ar, en"):
        client(write_tables, dataset("lab/speech", None, **keys), tmp_path)
    card = "---\nconfigs:\n- config_name: ar\n  data_files:\n"
    card += "  - {split: validation, path: ar/test/0000.parquet}\n---\n"
    hub.push("lab/speech", {**converted, "README.md": card.encode()}, "named")
    source = dataset("lab/speech", "ar", "named", streaming=True, splits={"dev": "validation"})
    assert client(tables, source, tmp_path) == {"dev": expected("test")}

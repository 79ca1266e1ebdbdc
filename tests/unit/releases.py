"""Tables of releases, and clip tables made of them."""

import json

from hearing_asr.quarantine import read_quarantine
from hearing_asr.release import COLUMNS
from hearing_asr.selection import Selection, write_clip_table

HEADER = "\t".join(COLUMNS)
EVERYTHING = Selection(1, None, None, False, None, None)


def table(tmp_path, *lines, header=HEADER, name="train.tsv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8", newline="\n")
    return path


def line(path, sentence="Hello there.", gender="", client_id="speaker", **changed):
    row = {"client_id": client_id, "path": path, "sentence_id": "id", "sentence": sentence}
    row |= {"up_votes": "2", "down_votes": "0", "gender": gender, "locale": "en"} | changed
    return "\t".join(row.get(column, "") for column in COLUMNS)


def many(tmp_path, count):
    return table(tmp_path, *(line(f"common_voice_en_{k}.mp3", f"S {k}.") for k in range(count)))


def choose(table, output, selection=EVERYTHING, **changed):
    """Write a clip table; returns the counts, and what was left out."""
    excluded, counts = output.with_suffix(".tsv"), output.with_suffix(".json")
    given = {"split": "train", "max_damaged": 1.0} | changed
    write_clip_table(table, output, excluded, counts, selection=selection, **given)
    return json.loads(counts.read_text()), read_quarantine(excluded)

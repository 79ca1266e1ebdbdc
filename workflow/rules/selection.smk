# What the rules of sources.smk and corpus.smk have in common: where the release is, which of its
# tables a split is taken from, which clips are wanted.

from hearing_asr.archive import is_archive

SOURCE = config["corpus"]["source"]
DEMO = SOURCE == "demo"
HUB = SOURCE == "hub"
MDC = SOURCE == "mdc"
ARCHIVE = MDC or SOURCE == "release" and is_archive(config["corpus"]["release"])
STREAMED = ARCHIVE or HUB  # clips come one after the other, and are never files
FOLDER = not DEMO and not STREAMED
MISSING = FOLDER and not Path(config["corpus"]["release"]).exists()
RELEASE = config["corpus"]["release"] if FOLDER and not MISSING else f"{DATA}/release"

# Downloads are shared by all runs, and are nothing that a job could delete: they are no outputs.
DOWNLOAD = f"{config['data_dir']}/mdc/{config['corpus']['mdc']['dataset']}"
ARCHIVE_FILE = f"{DOWNLOAD}.tar.gz" if MDC else config["corpus"]["release"]
HUB_DATASET = config["corpus"]["hub"]

TABLE = "parquet" if HUB else "tsv"
TABLES = list(SPLITS)
if config["corpus"]["train_from"] == "validated":
    TABLES.append("validated")


def durations():
    """The table with the lengths of the clips, where the release has one."""
    table = f"{RELEASE}/clip_durations.tsv"
    known = DEMO or ARCHIVE or FOLDER and not MISSING and Path(table).exists()
    return [table] if known else []


def archive_there():
    """An archive as an input: what depends on it is made again when it changes."""
    if MDC:
        return [f"{DOWNLOAD}.json"]
    return [ARCHIVE_FILE] if Path(ARCHIVE_FILE).exists() else []


def released_table(wildcards):
    """The table that a split is taken from."""
    corpus = config["corpus"]
    train = wildcards.split == "train"
    return f"{RELEASE}/{corpus['train_from'] if train else wildcards.split}.{TABLE}"


def held_out(wildcards):
    """Tables whose speakers and sentences a split must not have."""
    chosen = (
        config["corpus"]["train_from"] == "validated" and wildcards.split == "train"
    )
    return [f"{RELEASE}/{split}.{TABLE}" for split in ("dev", "test")] if chosen else []


def selection(wildcards):
    """Which clips of a split are wanted."""
    corpus = config["corpus"]
    filters = dict(corpus["filters"])
    filtered = wildcards.split in filters.pop("splits")
    return {
        **corpus["splits"][wildcards.split],
        "stratify_by_speaker": corpus["stratify_by_speaker"],
        "filters": filters if filtered else None,
        "clip_list": corpus["clip_list"],
    }

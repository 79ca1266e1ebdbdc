# How much jobs ask for: memory in MB, run time in minutes. Generous: a job that asks for too much
# waits a little longer, one that asks for too little dies; each further attempt asks for more.
# Which partition, account and GPU model that means is the profile's business.

# On a cluster the memory of a job also holds the Snakemakes that start it, some 150 MB each.
SMALL = 2_000  # memory of jobs that hold a few clips at a time, whatever the size of the corpus
SHORT = 20  # run time of jobs that take seconds

# Rows of the tables of all of Common Voice English, before the tables are there.
CLIPS = {"train": 1_200_000, "validated": 2_000_000, "dev": 17_000, "test": 17_000}
ROW = (
    250  # bytes in a release's table; rather too few, for more clips are then expected
)


def per_attempt(amount):
    """A resource that grows with every attempt at a job."""
    return lambda wildcards, attempt: attempt * amount


def clips_of(split):
    """How many clips a split may have: of the table where there is one, else of all of English."""
    corpus = config["corpus"]
    name = corpus["train_from"] if split == "train" else split
    table = Path(corpus["release"] or "") / f"{name}.tsv"
    if corpus["source"] == "demo":
        known = corpus["demo"]["clips"][split]
    elif corpus["source"] == "release" and table.exists():
        known = table.stat().st_size // ROW
    else:
        known = CLIPS[name]
    return min(known, corpus["splits"][split]["max_clips"] or known)


CLIP_COUNTS = {split: clips_of(split) for split in SPLITS}
LARGEST_SHARD = max(
    CLIP_COUNTS[split] / config["corpus"]["splits"][split]["shards"] for split in SPLITS
)


def per_clip(clips):
    """Memory of a job that holds a kilobyte or two of each clip of its split."""
    return lambda wildcards, attempt: (
        attempt * (SMALL + CLIP_COUNTS[wildcards.split] // clips)
    )


def per_clip_of_all(clips):
    """Memory of a job that holds that of each clip of all splits."""
    return lambda wildcards, attempt: (
        attempt * (SMALL + sum(CLIP_COUNTS.values()) // clips)
    )


# The same for all shards of all splits: jobs of one array cannot ask for different amounts.
SHARD_RUNTIME = 10 + int(LARGEST_SHARD / 20 / 60)  # at 20 clips per second


# One pass over an archive, at 60 clips per second and CPU, all clips of a release included.
STREAM_RUNTIME = 30 + int(
    2 * sum(CLIP_COUNTS.values()) / config["corpus"]["num_cpus"] / 60 / 60
)


def stream_memory(wildcards, attempt, threads):
    """Each process decodes and buffers; the one that reads knows where each clip belongs."""
    return attempt * (450 * threads + SMALL + sum(CLIP_COUNTS.values()) // 2_000)


def training_memory(wildcards, attempt):
    """A quarter more with every attempt: most are needed for lack of time, not of memory."""
    return (4_000 if SCRATCH else 120_000) * (3 + attempt) // 4


# At every attempt: a training whose time is over goes on from its checkpoint in the next.
TRAINING_RUNTIME = 120 if SCRATCH else 2_880

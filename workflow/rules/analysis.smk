# Analyses: for whom, in which words and sounds, with what left to hear.
#
# in   predictions, the test split of the corpus and of every variant
# out  results/{run}/metrics/*.csv
#
# Where a model was trained with several seeds, words, sounds and confidence are those of the first.

FIRST_CELLS = [cell for cell in CELLS if cell[2] in (None, SEEDS[0])]
FIRST_PREDICTIONS = [
    file for file, cell in zip(PREDICTIONS, CELLS) if cell in FIRST_CELLS
]
SCORED = ("failures", "normalizers", "predictions", "scoring", "transcripts")


rule clip_facts:
    input:
        code=code("clip_facts", "audio", "mp3", "clip_facts", "shards"),
        corpus=f"{DATA}/corpus/test/state.json",
        shards=shard_files(f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow", "test"),
    output:
        f"{RESULTS}/metrics/clip_facts.parquet",
    log:
        f"{LOGS}/evaluation/clip_facts.log",
    benchmark:
        f"{BENCHMARKS}/clip_facts/clip_facts.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    script:
        "../scripts/clip_facts.py"


rule groups:
    input:
        code=code(
            "groups",
            "audio",
            "mp3",
            "cells",
            "clip_facts",
            "groups",
            "names",
            "score_tables",
            "shards",
            "uncertainty",
            *SCORED,
        ),
        predictions=PREDICTIONS,
        facts=f"{RESULTS}/metrics/clip_facts.parquet",
    output:
        report(
            f"{RESULTS}/metrics/groups.csv",
            caption="../report/groups.rst",
            category="Groups",
            labels={"result": "WER by group (table)"},
        ),
    log:
        f"{LOGS}/evaluation/groups.log",
    benchmark:
        f"{BENCHMARKS}/groups/groups.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **DRAWS,
        cells=CELLS,
        min_speakers=config["evaluation"]["min_speakers"],
        min_clips=config["evaluation"]["min_clips"],
    script:
        "../scripts/groups.py"


rule calibration:
    input:
        code=code(
            "calibration",
            "calibration",
            "cells",
            "names",
            "score_tables",
            "uncertainty",
            *SCORED,
        ),
        predictions=FIRST_PREDICTIONS,
    output:
        bins=report(
            f"{RESULTS}/metrics/calibration.csv",
            caption="../report/calibration.rst",
            category="Confidence",
            labels={"result": "WER by confidence (table)"},
        ),
        summary=report(
            f"{RESULTS}/metrics/confidence.csv",
            caption="../report/confidence.rst",
            category="Confidence",
            labels={"result": "confidence and calibration (table)"},
        ),
    log:
        f"{LOGS}/evaluation/calibration.log",
    benchmark:
        f"{BENCHMARKS}/calibration/calibration.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        cells=FIRST_CELLS,
    script:
        "../scripts/calibration.py"


rule words:
    input:
        code=code("words", "confusions", *SCORED),
        predictions=FIRST_PREDICTIONS,
    output:
        report(
            f"{RESULTS}/metrics/words.csv",
            caption="../report/words.rst",
            category="Misheard",
            labels={"result": "words (table)"},
        ),
    log:
        f"{LOGS}/evaluation/words.log",
    benchmark:
        f"{BENCHMARKS}/words/words.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        cells=FIRST_CELLS,
    script:
        "../scripts/words.py"


if ENGLISH:

    rule phonemes:
        input:
            code=code(
                "phonemes",
                "names",
                "phonemes",
                "pronunciation",
                "uncertainty",
                *SCORED,
            ),
            predictions=FIRST_PREDICTIONS,
        output:
            phonemes=report(
                f"{RESULTS}/metrics/phonemes.csv",
                caption="../report/phonemes.rst",
                category="Misheard",
                labels={"result": "phonemes (table)"},
            ),
            classes=report(
                f"{RESULTS}/metrics/phoneme_classes.csv",
                caption="../report/phoneme_classes.rst",
                category="Misheard",
                labels={"result": "classes of phonemes (table)"},
            ),
            losses=report(
                f"{RESULTS}/metrics/phoneme_losses.csv",
                caption="../report/phoneme_losses.rst",
                category="Misheard",
                labels={"result": "what each variant costs (table)"},
            ),
        log:
            f"{LOGS}/evaluation/phonemes.log",
        benchmark:
            f"{BENCHMARKS}/phonemes/phonemes.jsonl"
        conda:
            "../../envs/train.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(SHORT),
        params:
            **DRAWS,
            cells=FIRST_CELLS,
            reference=REFERENCE,
        script:
            "../scripts/phonemes.py"


rule information:
    input:
        code=code(
            "information",
            "audio",
            "mp3",
            "audiograms",
            "features",
            "information",
            "intelligibility",
            "models",
            "shards",
        ),
        corpus=f"{DATA}/corpus/test/state.json",
        audio=expand(f"{DATA}/{{v}}/audio/test/state.json", v=VARIANTS),
        logmel=expand(f"{DATA}/{{v}}/logmel/test/state.json", v=VARIANTS),
    output:
        floor=report(
            f"{RESULTS}/metrics/floor.csv",
            caption="../report/floor.rst",
            category="Hearing losses",
            labels={"result": "mel cells at the floor (table)"},
        ),
        spectrum=report(
            f"{RESULTS}/metrics/spectrum.csv",
            caption="../report/spectrum.rst",
            category="Hearing losses",
            labels={"result": "long-term spectrum (table)"},
        ),
        sii=report(
            f"{RESULTS}/metrics/sii.csv",
            caption="../report/sii.rst",
            category="Hearing losses",
            labels={"result": "Speech Intelligibility Index (table)"},
        ),
    log:
        f"{LOGS}/evaluation/information.log",
    benchmark:
        f"{BENCHMARKS}/information/information.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT + len(VARIANTS) * CLIP_COUNTS["test"] // 10_000),
    params:
        audio={UNMASKED: f"{DATA}/corpus/test"}
        | {name: f"{DATA}/{name}/audio/test" for name in VARIANTS},
        logmel={name: f"{DATA}/{name}/logmel/test" for name in VARIANTS},
        audiograms={
            name: variant["audiogram"] for name, variant in config["variants"].items()
        },
        num_mel_bins=config["features"]["num_mel_bins"],
    script:
        "../scripts/information.py"

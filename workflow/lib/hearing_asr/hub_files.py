"""Which parquet files make up the splits of a dataset on the Hugging Face Hub or in a folder."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from hearing_asr.errors import InputError
from hearing_asr.hub_access import HubDataset, hub_answer, hub_problem, hub_token, is_hub_error

# What the Hub's own conversion to parquet (refs/convert/parquet) names its files:
# {subset}/{split}/0000.parquet. It has no README.md that would say so to `datasets`.
CONVERTED = re.compile(r"(?P<subset>[^/]+)/(?P<split>[^/]+)/\d{4}\.parquet")
DATA_ONLY = (
    "Expected a dataset in data-only form, with the audio within parquet files. The Hub converts "
    "many datasets by itself: try corpus.hub.revision: refs/convert/parquet."
)


def find_files(source: HubDataset) -> tuple[str | None, dict[str, list[str]], dict[str, int]]:
    """The commit (None in a folder), each split's parquet files in order, and the files' sizes.

    Which files a split has is decided by `datasets`, as for its `load_dataset`.

    Raises:
        InputError: no such dataset, revision, subset or split; no access; no connection; or the
            dataset is not made of parquet files.
    """
    if (folder := source.folder) is not None:
        if not folder.is_dir():
            raise InputError(
                f"corpus.hub.dataset: {source.dataset} is neither a folder here nor the name of a "
                "dataset on the Hugging Face Hub (owner/name)."
            )
        if source.revision is not None:
            raise InputError(
                f"corpus.hub.revision: {source.dataset} is a folder, which has no revisions. Set "
                "null."
            )
        splits = _by_datasets(source, str(folder), None)
        chosen = _chosen_splits(source, {k: _within(source, folder, v) for k, v in splits.items()})
        names = {name for files in chosen.values() for name in files}
        return None, chosen, {name: (folder / name).stat().st_size for name in names}
    commit, sizes = _on_hub(source)
    root = PurePosixPath(f"hf:/datasets/{source.dataset}@{commit}")
    splits = _converted(source, sizes)
    if splits is None:
        found = _by_datasets(source, f"hf://datasets/{source.dataset}", commit)
        splits = {split: _within(source, root, files) for split, files in found.items()}
    return commit, _chosen_splits(source, splits), sizes


def _on_hub(source: HubDataset) -> tuple[str, dict[str, int]]:
    from huggingface_hub import HfApi, errors
    from huggingface_hub.hf_api import RepoFile

    hub, name = HfApi(token=hub_token()), source.dataset
    try:
        commit = hub.dataset_info(name, revision=source.revision).sha
        tree = hub.list_repo_tree(name, recursive=True, revision=commit, repo_type="dataset")
        return commit, {item.path: item.size for item in tree if isinstance(item, RepoFile)}
    except errors.HFValidationError:
        raise InputError(
            f"corpus.hub.dataset: {name!r} is neither a folder here nor a name on the Hugging "
            "Face Hub (owner/name)."
        ) from None
    except Exception as error:
        if not is_hub_error(error):
            raise
        raise InputError(hub_problem(source, error)) from None


def _converted(source: HubDataset, names: Iterable[str]) -> dict[str, list[str]] | None:
    """The splits of what the Hub has converted by itself; None if the dataset is not of that."""
    names = sorted(names)
    matches = [CONVERTED.fullmatch(name) for name in names if name.endswith(".parquet")]
    if "README.md" in names or not matches or not all(matches):
        return None
    subsets = list(dict.fromkeys(match["subset"] for match in matches))
    subset = source.subset or (subsets[0] if len(subsets) == 1 else None)
    if subset not in subsets:
        raise InputError(_subset_problem(source, subsets))
    splits: dict[str, list[str]] = {}
    for match in matches:
        if match["subset"] == subset:
            splits.setdefault(match["split"], []).append(match.string)
    return splits


def _by_datasets(source: HubDataset, path: str, commit: str | None) -> dict[str, list[str]]:
    import datasets

    with tempfile.TemporaryDirectory() as cache:  # an earlier answer must not stand in for this one
        try:
            builder = datasets.load_dataset_builder(
                path, source.subset, revision=commit, token=hub_token(), cache_dir=cache
            )
        except Exception as error:
            raise InputError(_why_no_files(source, path, commit, error)) from None
    return {str(split): list(files) for split, files in (builder.config.data_files or {}).items()}


def _why_no_files(source: HubDataset, path: str, commit: str | None, error: Exception) -> str:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    token = hub_token()
    if isinstance(error, DatasetNotFoundError):  # though it has a commit
        return hub_problem(source, error, gated=True)
    if isinstance(error, FileNotFoundError) and hub_answer(error)[0] is None:
        return f"{source.dataset}: no data files there. {DATA_ONLY}"
    if is_hub_error(error) and commit is not None:
        return hub_problem(source, error)
    try:
        subsets = datasets.get_dataset_config_names(path, revision=commit, token=token)
    except Exception:
        subsets = [source.subset]
    if source.subset not in subsets:
        return _subset_problem(source, subsets)
    said = str(error).replace(token, "***") if token else str(error)
    return f"{source.dataset}: its files cannot be told ({said}). {DATA_ONLY}"


def _subset_problem(source: HubDataset, subsets: Sequence[str]) -> str:
    wrong = "is not set" if source.subset is None else f"there is no {source.subset!r}"
    return (
        f"corpus.hub.subset: {wrong}; {source.dataset} has {', '.join(subsets)}. Choose one of "
        "them" + (", or null." if list(subsets) == ["default"] else ".")
    )


def _within(source: HubDataset, root: PurePosixPath, files: Iterable[str]) -> list[str]:
    names = []
    for file in files:
        path = PurePosixPath(file)
        if not path.is_relative_to(root) or ".." in path.parts:
            raise InputError(
                f"{source.dataset}: its README.md takes data from elsewhere ({file}). Only files "
                "of the dataset itself can be used; name the other dataset in corpus.hub.dataset."
            )
        names.append(str(path.relative_to(root)))
    return names


def _chosen_splits(source: HubDataset, splits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    chosen = {}
    for ours, theirs in source.splits.items():
        if not splits.get(theirs):
            raise InputError(
                f"corpus.hub.splits.{ours}: {source.dataset} has no split {theirs!r}; it has "
                f"{', '.join(splits) or 'none'}."
            )
        kinds = Counter(PurePosixPath(name).suffix for name in splits[theirs])
        if set(kinds) != {".parquet"}:
            found = ", ".join(f"{count} {kind or 'other'}" for kind, count in kinds.most_common(5))
            raise InputError(
                f"{source.dataset}: split {theirs!r} is not made of parquet files; found {found} "
                f"files. {DATA_ONLY}"
            )
        chosen[ours] = list(splits[theirs])
    return chosen

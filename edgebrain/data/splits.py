"""Divide clips into train, valid and test by a seed, and take parts of them.

Who goes where is decided by a hash of the seed and the name. A new file thus
leaves nearly all others where they are, on every machine.
"""

from collections.abc import Iterable, Mapping, Sequence
import hashlib

from edgebrain.data.layout import ROLES, SPLITS, Clip
from edgebrain.errors import UserError, unknown_name

#: Parts of train, valid and test.
FRACTIONS = {"train": 0.8, "valid": 0.1, "test": 0.1}


def hash_order(names: Iterable[str], seed: int) -> list[str]:
    """Return names in an order that depends on the seed and nothing else."""
    return sorted(
        names,
        key=lambda name: hashlib.sha256(
            f"{int(seed)}/{name}".encode("utf-8", errors="surrogateescape")
        ).digest(),
    )


def divide(
    units: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Return the split of each unit (speaker, file), if there are enough.

    Test takes the first of the hash order, valid the last and train the
    middle, each its fraction of their sum but at least one. So a new unit
    moves others only across the edges of train.
    """
    if len(units) < len(fractions):
        raise UserError(
            f"{len(units)} cannot be split into {', '.join(fractions)}"
        )
    whole = sum(fractions.values())
    counts = {
        split: max(1, round(len(units) * part / whole))
        for split, part in fractions.items()
    }
    # Train takes what is left; the others give way until it has one.
    while len(units) - sum(counts[s] for s in counts if s != "train") < 1:
        largest = max((s for s in counts if s != "train"), key=counts.get)
        counts[largest] -= 1
    order = hash_order(units, seed)
    result = dict.fromkeys(order, "train")
    first, last = counts.get("test", 0), counts.get("valid", 0)
    result.update(dict.fromkeys(order[:first], "test"))
    result.update(dict.fromkeys(order[len(order) - last :], "valid"))
    return result


def complete_splits(
    role: str,
    given: Mapping[str | None, list[Clip]],
    seed: int,
    valid_groups: Sequence[str] | None = None,
) -> tuple[dict[str, list[Clip]], list[str]]:
    """Make train, valid and test out of the sets that the folders give.

    Clips without a set (key None) are divided into all three; if only valid
    or test is missing it is taken out of train. Whole groups are divided if
    there are enough of them, at least one for each split, else single clips.
    ``valid_groups`` become the validation set instead of a random part. With
    the sets come notes on what was done, for people.
    """
    whole = None in given
    missing = [split for split in SPLITS if whole or split not in given]
    if valid_groups and "valid" not in missing:
        raise UserError(
            f"{role}: validation speakers are chosen, but there is a valid "
            "folder; leave one of the two out"
        )
    splits = {split: list(given.get(split, ())) for split in SPLITS}
    if not missing:
        return splits, []
    if "train" in missing and not whole:
        there = " and ".join(f"{split}/" for split in SPLITS if split in given)
        raise UserError(f"{role}: there is {there} but no train/; add it")
    pool = list(given[None if whole else "train"])
    fractions = {
        split: FRACTIONS[split]
        for split in SPLITS
        if split == "train" or split in missing
    }
    chosen, notes = _carve(role, pool, fractions, seed, valid_groups or ())
    splits["train"] = []
    for clip in pool:
        splits[chosen[clip.id]].append(clip)
    return splits, notes


def _carve(role, pool, fractions, seed, valid_groups):
    """Return clip id -> split, and notes; see :func:`complete_splits`."""
    groups = sorted({clip.group for clip in pool})
    fixed, notes = {}, []
    if valid_groups:
        for name in valid_groups:
            if name not in groups:
                raise unknown_name(
                    f"validation speaker of {role}", name, groups
                )
        fixed = dict.fromkeys(valid_groups, "valid")
        fractions = {s: part for s, part in fractions.items() if s != "valid"}
        notes.append(f"{role}: valid is {', '.join(valid_groups)}")
    free = [clip for clip in pool if clip.group not in fixed]
    units = sorted({clip.group for clip in free})
    by_group = len(units) >= max(len(fractions), 3 - len(fixed))
    if not by_group:
        units = [clip.id for clip in free]
    if len(units) < len(fractions):
        raise UserError(
            f"{role}: {len(units)} file{'s' * (len(units) != 1)} cannot be "
            f"split into {', '.join(fractions)}; add more, or put them into "
            "train/, valid/ and test/ folders"
        )
    assigned = divide(units, fractions, seed)
    if len(fractions) > 1:
        made = " and ".join(split for split in fractions if split != "train")
        notes.append(
            f"{role}: {made} split off by {ROLES[role] if by_group else 'file'}"
            f", seed {seed}"
        )
    chosen = {
        clip.id: fixed.get(clip.group)
        or assigned[clip.group if by_group else clip.id]
        for clip in pool
    }
    return chosen, notes


def take(
    clips: Sequence[Clip], number: int | float | None, seed: int
) -> list[Clip]:
    """Return a part of the clips, chosen by hash order, in their order.

    A whole number, a fraction in (0, 1], or None for all. A larger number
    with the same seed adds clips and drops none.
    """
    if number is None:
        return list(clips)
    if isinstance(number, float):
        number = max(1, round(number * len(clips)))
    kept = set(hash_order((clip.id for clip in clips), seed)[:number])
    return [clip for clip in clips if clip.id in kept]

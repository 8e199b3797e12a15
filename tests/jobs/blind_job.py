"""Folder of a finished job with counterfactuals, as far as a blind test needs it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def blind_table(*, wells: int = 6, sites: int = 2, kind: str = "typical") -> pd.DataFrame:
    """Fields of two classes, each with a counterfactual of the other one."""
    rows = []
    for label, other in (("DS", "TT"), ("TT", "DS")):
        for number in range(wells * sites):
            name = f"{label}{number // sites:02d}_f{number % sites}"
            rows.append(
                {
                    "Metadata_Plate": "P", "Metadata_Well": name.partition("_")[0], "Metadata_Site": number % sites,
                    "Metadata_Condition": label, "field": name, "seen": False, "predicted": label, "trust": "",
                    "counterfactual_target": other, f"counterfactual_{kind}_valid": True,
                    "picture_image": f"images/{name}/image.png",
                    f"picture_counterfactual_{kind}": f"images/{name}/counterfactual.png",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def write_blind_job(out: Path, table: pd.DataFrame | None = None) -> Path:
    """Write a job whose generated pictures are told from the real ones by their files."""
    table = blind_table() if table is None else table
    rng = np.random.default_rng(0)
    for name in [name for name in table if name.startswith("picture_")]:
        for path in table[name]:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            note = PngInfo()
            note.add_text("Software", name)
            level = 0 if name == "picture_image" else 6
            picture = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))
            picture.save(out / path, pnginfo=note, compress_level=level)
    table.to_parquet(out / "fields.parquet")
    (out / "job.json").write_text(json.dumps({"model": "models:/leigh-iresnet/1", "finished": True}))
    return out


def write_answers(out: Path, file: Path, *, person: str = "ada", right: bool = True, **changed: object) -> Path:
    """Write the answers of somebody who is always right, or always wrong."""
    key = json.loads((out / "blind" / "key.json").read_text())
    words = {name: ("real", "generated")[each["generated"] == right] for name, each in key["pictures"].items()}
    file.write_text(json.dumps({"test": key["test"], "person": person, "answers": words} | changed))
    return file

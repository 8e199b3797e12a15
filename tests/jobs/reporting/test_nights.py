"""Trends over nights come from the tables of finished jobs alone."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.reporting.nights import collect_nights
from leigh_mlops.report.job.trends_page import _trend_chart, write_trends
from leigh_mlops.trends import trends

SCRIPT = "<script>document.title = 'taken'</script>"


def write_job(folder: Path, day: int, *, flagged: int = 0, plate: str = "P", **changes: Any) -> Path:
    folder.mkdir(parents=True)
    job = {"begun": f"2026-11-{day:02d}T20:00:00+00:00", "model": "models:/leigh-iresnet/1", "fields": 11, "failed": 1}
    (folder / "job.json").write_text(json.dumps(job | {"finished": True} | changes))
    trust = ["defocus"] * flagged + ["other plate"] * (10 - flagged)
    pd.DataFrame({"Metadata_Plate": plate, "trust": trust}).to_parquet(folder / "fields.parquet")
    pd.DataFrame({"Metadata_Plate": [plate], "z_prime_log_odds": [0.1 * day]}).to_csv(folder / "plates.csv")
    verdicts = {"images": ["real fields", "nothing", "boundary", "typical", "typical"], "fields": [9, 9, 9, 30, 10]}
    shares = [None, 0.0, 0.1, 1.0, 0.6]
    pd.DataFrame(verdicts | {"most_oracles": shares}).to_csv(folder / "counterfactuals.csv")
    return folder


def test_nights_are_in_the_order_of_their_jobs(tmp_path: Path) -> None:
    folders = [write_job(tmp_path / "b", 3, flagged=2), write_job(tmp_path / "a", 5), write_job(tmp_path / "c", 4)]
    found = collect_nights(folders).table
    assert [Path(folder).name for folder in found["folder"]] == ["b", "c", "a"]
    assert found["flagged"].tolist() == [0.2, 0.0, 0.0]
    assert found["z_prime_log_odds"].tolist() == pytest.approx([0.3, 0.4, 0.5])
    assert found["believed"].tolist() == pytest.approx([0.9] * 3)
    assert found["failed"].tolist() == pytest.approx([1 / 11] * 3)


def test_what_is_no_finished_job_is_left_out_with_the_reason(tmp_path: Path) -> None:
    good = write_job(tmp_path / "good", 1)
    (good / "plates.csv").unlink()
    (good / "counterfactuals.csv").unlink()
    going = write_job(tmp_path / "going", 2, finished=False)
    torn = write_job(tmp_path / "torn", 3)
    (torn / "job.json").write_text("{")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    nights = collect_nights([good, going, torn, foreign])
    assert nights.table["folder"].tolist() == [str(good)]
    assert nights.table[["z_prime_log_odds", "believed"]].isna().all(axis=None)
    reasons = {folder.name: reason for folder, reason in nights.left_out.items()}
    assert (reasons["going"], reasons["foreign"]) == ("its job is not finished", "it holds no job")
    assert "is damaged" in reasons["torn"]
    with pytest.raises(LeighError, match=r"no finished job .*it holds no job"):
        collect_nights([foreign])


def test_a_night_in_which_every_field_failed_stays(tmp_path: Path) -> None:
    failed = write_job(tmp_path / "failed", 2, failed=11)
    pd.DataFrame({"Metadata_Plate": [], "trust": []}).to_parquet(failed / "fields.parquet")
    for name in ("plates.csv", "counterfactuals.csv"):
        (failed / name).unlink()
    nights = collect_nights([write_job(tmp_path / "good", 1), failed])
    assert nights.left_out == {}
    assert nights.table["failed"].tolist() == pytest.approx([1 / 11, 1.0])
    assert nights.table["plate"].tolist() == ["P", ""]
    for table in (nights.table, nights.table.iloc[1:]):
        page = write_trends(tmp_path / "t.html", {str(name): table[name].tolist() for name in table}, [])
        assert f"{len(table) - 1} plate{'s' if len(table) == 1 else ''} in" in page.read_text()
        assert "<h2>Fields that failed</h2>" in page.read_text()


def test_a_job_of_many_plates_weighs_as_one(tmp_path: Path) -> None:
    many = write_job(tmp_path / "many", 1, failed=0)
    trust = {"Metadata_Plate": ["P1", "P2", "P3"], "trust": ["defocus", "", ""]}
    pd.DataFrame(trust).to_parquet(many / "fields.parquet")
    table = collect_nights([many, write_job(tmp_path / "b", 2, failed=11)]).table
    assert table["failed"].tolist() == [0, 0, 0, 1]
    columns = {str(name): table[name].tolist() for name in table}
    for name, points, middle in (("failed", 2, 0.5), ("believed", 2, 0.9), ("flagged", 4, 0.0)):
        chart = _trend_chart(columns, name)
        dots, line = chart.figure.axes[0].lines
        assert len(dots.get_xdata()) == points  # type: ignore[arg-type]
        assert line.get_ydata() == pytest.approx([middle] * 2)
        assert f"median of a model's {'plates' if name == 'flagged' else 'jobs'}." in chart.description


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def test_the_page_is_static_and_escaped(tmp_path: Path) -> None:
    folders = [write_job(tmp_path / "a", 1, plate=SCRIPT, model=SCRIPT), write_job(tmp_path / "b", 2)]
    table = collect_nights(folders).table
    page = write_trends(tmp_path / "t.html", {str(name): table[name].tolist() for name in table}, [SCRIPT]).read_text()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.found
    assert tags.found.count("svg") == 4
    assert "script-src 'none'" in page
    assert "2 plates in 2 jobs, 2026-11-01 to 2026-11-02" in page


def test_the_command_says_what_it_left_out(tmp_path: Path) -> None:
    write_job(tmp_path / "a", 1)
    (tmp_path / "empty").mkdir()
    app = typer.Typer()
    app.command()(trends)
    page = tmp_path / "t.html"
    said = CliRunner().invoke(app, [str(tmp_path / "a"), str(tmp_path / "empty"), "--html", str(page)])
    assert said.exit_code == 0, said.output
    assert "it holds no job" in said.output
    assert page.exists()

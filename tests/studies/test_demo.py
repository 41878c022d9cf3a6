"""The main job at a small size: everything it promises to write, and what it refuses."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from ntkdip import networks, studies
from ntkdip.studies import demo as demo_module
from ntkdip.studies.figures import CAPTIONS
from ntkdip.studies.files import write_json
from ntkdip.studies.report import findings

SMALL = studies.DemoConfiguration(
    size=16, steps=120, decoder_width=64, decoder_blocks=2, wcnn_width=24, wcnn_depth=3
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[studies.DemoResult, Path]:
    out = tmp_path_factory.mktemp("demo") / "a folder é"
    return studies.run_demo(out, SMALL), out


@pytest.fixture(scope="module")
def numbers(run) -> dict:
    return json.loads((run[1] / "results.json").read_text())


def test_every_file_is_there(run) -> None:
    out = run[1]
    for name in CAPTIONS:
        assert (out / f"{name}.png").read_bytes()[1:4] == b"PNG"
        assert (out / f"{name}.pdf").read_bytes()[:4] == b"%PDF"
    assert not list(out.glob("*.partial"))


def test_results_are_complete_and_plain_json(numbers) -> None:
    assert numbers["complete"] is True
    assert numbers["configuration"]["size"] == 16
    assert {"versions", "devices", "python"} <= set(numbers["environment"])
    assert set(numbers["networks"]) == {"Deep Decoder", "WCNN"}
    assert len(numbers["checks"]) >= 8
    assert all(check["passed"] for check in numbers["checks"])
    assert numbers["peak_memory_bytes"] > 1e8
    assert _leaves(numbers)
    assert all(np.isfinite(v) for v in _leaves(numbers))


def _leaves(value) -> list[float]:
    """Every number, however deep; strings only where words belong."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for item in inner for leaf in _leaves(item)]
    assert value not in ("nan", "inf", "-inf", None)
    return [] if isinstance(value, str) else [value]


def test_nan_is_not_written(tmp_path) -> None:
    file = tmp_path / "numbers.json"
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(file, {"psnr_db": np.float64("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(file, {"steps": np.array([1.0, np.inf])})
    assert json.loads(file.read_text()) == {"steps": [1.0, "inf"]}


def test_prediction_and_training_agree(run) -> None:
    for comparison in run[0].comparisons:
        assert comparison.trained[0].shape == (16, 16)
        assert comparison.steps[0] == 0
        assert comparison.steps[-1] == 120
        # Measured at these widths: 0.073 and 0.057.
        assert comparison.distance[-1] < 0.15
        np.testing.assert_allclose(comparison.predicted_psnr, comparison.trained_psnr, atol=1.5)


def test_decoder_is_nearer_to_circulant_than_the_wide_cnn(run) -> None:
    decoder, cnn = run[0].comparisons
    # Measured: 0.15 and 0.37 (at the demo's full size 0.11 and 0.75).
    assert decoder.coupling.off_diagonal < 0.6 * cnn.coupling.off_diagonal


def test_arrays_reload_without_pickle(run) -> None:
    for name in ("deep_decoder", "wcnn"):
        with np.load(run[1] / f"{name}.npz", allow_pickle=False) as arrays:
            assert arrays["trained"].shape == arrays["predicted"].shape
            assert np.isfinite(arrays["limit"]).all()


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]


def test_report_is_self_contained_and_says_the_numbers(run, numbers) -> None:
    page = (run[1] / "report.html").read_text(encoding="utf-8")
    links = _Links()
    links.feed(page)
    assert len(links.sources) == len(CAPTIONS)
    assert all(source.startswith("data:image/png;base64,") for source in links.sources)
    for check in numbers["checks"]:
        assert check["name"] in page
    for network in numbers["networks"].values():
        assert f"{network['training']['final_trained_psnr_db']:.2f}" in page


def test_findings_follow_the_numbers(numbers) -> None:
    said = " ".join(findings(numbers))
    flipped = json.loads(json.dumps(numbers))
    flipped["networks"]["WCNN"]["training"]["final_trained_psnr_db"] += 100
    flipped["checks"][0]["passed"] = False
    assert " ".join(findings(flipped)) != said
    assert "above zero-filled" in " ".join(findings(flipped))
    count = len(numbers["checks"])
    assert f"{count - 1} of {count} hold" in " ".join(findings(flipped))


def test_same_key_same_arrays() -> None:
    truth, A, y, zero_filled = studies.reference_problem()
    net = networks.wide_cnn(8, 2, 3, complex_image=False)
    one, two, other = (
        studies.compare(
            net, networks.as_input(zero_filled), A, y, truth,
            record_at=np.array([0, 5]), key=jax.random.key(seed),
        )
        for seed in (0, 0, 1)
    )  # fmt: skip
    np.testing.assert_array_equal(one.trained, two.trained)
    np.testing.assert_array_equal(one.predicted, two.predicted)
    assert (one.trained != other.trained).any()


def test_an_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_module.theory, "verify", stop)
    with pytest.raises(KeyboardInterrupt):
        studies.run_demo(tmp_path, SMALL)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["complete"] is False
    assert set(kept["networks"]) == {"Deep Decoder", "WCNN"}
    assert (tmp_path / "wcnn.npz").exists()


@pytest.fixture
def no_work(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("work began before the input was checked")

    monkeypatch.setattr(demo_module, "_problem", fail)


@pytest.mark.usefixtures("no_work")
def test_bad_input_is_refused_before_any_work(tmp_path) -> None:
    with pytest.raises(ValueError, match="no multiple of 8"):
        studies.run_demo(tmp_path, studies.DemoConfiguration(size=42))
    with pytest.raises(ValueError, match="between 2 and 256"):
        studies.run_demo(tmp_path, studies.DemoConfiguration(size=512))
    with pytest.raises(MemoryError, match=r"size 256 .* needs about [0-9.,]+ GiB"):
        studies.run_demo(tmp_path, studies.DemoConfiguration(size=256))
    with pytest.raises(ValueError, match="at least 1; got 0"):
        studies.run_demo(tmp_path, studies.DemoConfiguration(steps=0))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        studies.run_demo(file, SMALL)
    with pytest.raises(OSError, match=r"cannot be written .*--out"):
        studies.run_demo(file / "below", SMALL)

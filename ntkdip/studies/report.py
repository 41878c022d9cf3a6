"""The demo's page: one self-contained HTML file, readable offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkdip.studies.figures import CAPTIONS
from ntkdip.studies.files import write_text
from ntkdip.studies.pages import embedded, render

if TYPE_CHECKING:
    from ntkdip.studies.demo import DemoResult


def write_report(result: DemoResult, folder: Path) -> Path:
    """Write ``report.html`` from a result whose figures are in ``folder`` already."""
    figures = [
        {"name": name, "title": title, "caption": caption, "data": embedded(folder, name)}
        for name, (title, caption) in CAPTIONS.items()
    ]
    numbers = result.numbers
    page = render(
        "report.html",
        findings=findings(numbers),
        figures=figures,
        numbers=numbers,
        checks=result.checks,
    )
    path = folder / "report.html"
    write_text(path, page)
    return path


def findings(numbers: dict[str, Any]) -> list[str]:
    """What the numbers say, one sentence each, computed from them."""
    zero_filled = numbers["zero_filled"]["psnr_db"]
    lines = []
    for name, network in numbers["networks"].items():
        training, prediction = network["training"], network["prediction"]
        gain = training["final_trained_psnr_db"] - zero_filled
        lines.append(
            f"{name}: after {training['iterations'][-1]} iterations the trained network reaches "
            f"{training['final_trained_psnr_db']:.2f} dB, the kernel predicted "
            f"{training['final_predicted_psnr_db']:.2f} dB; the two images are "
            f"{training['final_relative_distance']:.1%} apart. That is {abs(gain):.2f} dB "
            f"{'above' if gain > 0 else 'below'} zero-filled ({zero_filled:.2f} dB). The limit "
            f"of Theorem 1 lies at {prediction['limit_psnr_db']:.2f} dB."
        )
    kernel_facts = (
        ("off_diagonal_energy_share_in_fourier_basis", "{:.1%}",
         "Share of kernel energy that couples different frequencies"),
        ("leading_eigenvectors_mean_frequency_spread_cycles", "{:.1f} cycles",
         "Mean frequency spread of a leading eigenvector"),
    )  # fmt: skip
    for key, form, what in kernel_facts:
        values = (
            f"{name} {form.format(network['kernel'][key])}"
            for name, network in numbers["networks"].items()
        )
        lines.append(f"{what}: {', '.join(values)}.")
    passed = sum(check["passed"] for check in numbers["checks"])
    lines.append(f"Theorem checks: {passed} of {len(numbers['checks'])} hold.")
    return lines

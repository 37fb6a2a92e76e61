"""Write the README's results from the reports under eval/results: python eval/make_readme_table.py."""

from pathlib import Path

from routeret.evaluation import render, update_document

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
MARKER = "results"
REPORTS = [
    ROOT / "eval" / "results" / name for name in ("home/separate.json", "home/merged.json", "away/separate.json")
]


def main() -> None:
    update_document(README, MARKER, content=render(REPORTS))


if __name__ == "__main__":
    main()

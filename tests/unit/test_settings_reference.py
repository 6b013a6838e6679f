"""The reference of the settings is made of what checks them."""

from __future__ import annotations

from pathlib import Path

from preread.settings import Section, Settings, site_from
from preread.settings_reference import markdown


def keys_of(section: type[Section]) -> list[str]:
    found = []
    for field in section.model_fields.values():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found += keys_of(kind)
        else:
            assert field.description, f"{section.__name__}.{field.alias} is not described"
            found.append(str(field.alias))
    return found


def test_every_setting_has_its_line() -> None:
    lines = markdown().splitlines()
    for key in keys_of(Settings):
        assert len([line for line in lines if line.startswith(f"| `{key}` |")]) >= 1


def test_a_bar_does_not_break_the_table() -> None:
    for line in markdown().splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 5


def test_the_defaults_are_themselves_a_configuration(tmp_path: Path) -> None:
    import json

    text = markdown().split("```json\n")[1].split("```")[0]
    site = site_from(json.loads(text), tmp_path)
    assert site.settings == Settings()


def test_the_file_in_docs_is_up_to_date() -> None:
    kept = Path(__file__).parents[2] / "docs" / "settings.md"
    assert kept.read_text(encoding="utf-8") == markdown(), "run `make docs`"

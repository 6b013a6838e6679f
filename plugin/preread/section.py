"""What all sections of the configuration share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal


class Section(BaseModel):
    """One JSON object: keys in PascalCase, as in all of ``orthanc.json``, unknown ones refused."""

    model_config = ConfigDict(
        alias_generator=to_pascal, populate_by_name=True, extra="forbid", frozen=True
    )

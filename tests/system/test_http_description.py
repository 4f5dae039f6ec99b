"""The HTTP API of a real worker, called in every way its description allows and in many that it does not."""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis
from hypothesis import settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from presence_server.web.openapi import DESCRIPTION
from tests.support.budget import examples
from tests.support.tokens import mint
from tests.support.worker import Worker

# Tokens are given below; parameters that are not described are ignored, as promised, and so nothing to refuse.
_generation = GenerationConfig(deterministic=True, with_security_parameters=False, allow_extra_parameters=False)
_config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=_generation)))
described = schemathesis.openapi.from_dict(DESCRIPTION, config=_config)

_numbers = itertools.count()


@described.parametrize()
@settings(max_examples=examples(25), deadline=None)
def test_the_description_is_kept(case: schemathesis.Case[Any], shared_workers: list[Worker]) -> None:
    # An administrator of all teams, so that whatever team is made up exists, as it were; another one for each call,
    # because one would be told to slow down.
    token = mint(f"root-{next(_numbers)}", ["*"], admin=True)
    case.call_and_validate(shared_workers[0].http_url, headers={"Authorization": f"Bearer {token}"})

"""What schemathesis is told not to try, each with its reason. Read by it at the start of every run of `make fuzz`.

It leaves out single cases only: no route, no check and no parameter is left out as a whole.
"""

import re

import schemathesis
from schemathesis import GenerationMode


def impossible(case):
    """What cargo lambda watch answers itself, with a 500 of its own: bytes in a body or a header that are not UTF-8 or
    ASCII. API Gateway sends such a body in base64, which the suite does (`storm`)."""
    if any(not str(value).isascii() for value in (case.headers or {}).values()):
        return True
    if isinstance(case.body, bytes):
        try:
            case.body.decode()
        except UnicodeDecodeError:
            return True
    return False


def misjudged(case):
    """What is called valid and is not. A cursor has to be one that was given out with the same filters, and a time has
    to begin before it ends, which no schema of a parameter can say; real cursors are walked by the suite (`questions`).
    And a header's pattern is not looked at."""
    query = case.query or {}
    if "cursor" in query or str(query.get("from", "")) > str(query.get("to", "~")):
        return True
    for parameter in case.operation.definition.raw.get("parameters", []):
        pattern = parameter["schema"].get("pattern")
        if parameter["in"] == "header" and pattern and parameter["name"] in (case.headers or {}):
            return not re.search(pattern, str(case.headers[parameter["name"]]))
    return False


@schemathesis.hook
def filter_case(context, case):
    made_to_be_valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    return not impossible(case) and not (made_to_be_valid and misjudged(case))

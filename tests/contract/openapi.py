# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge exchanges by OpenAPI 2.0 documents: path, method, status and every property of the answer.

The documents are read as closed: what they do not name is an error, and an object whose type a
discriminator tells has the properties of that type only. That is stricter than they were meant,
and needs a list of what the real service adds (`tests/contract/deviations.py`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import jsonschema
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.contract.evidence import Exchange

if TYPE_CHECKING:
    from referencing._core import Resolver

_METHODS = ("get", "put", "post", "patch", "delete", "head")
_PLAIN = ("type", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength")

Json = Dict[str, Any]


@dataclass(frozen=True)
class Deviation:
    """Something that the real service does and its documents do not say."""

    #: The document's name and the definition's, such as `bms.ProtectedItem`.
    definition: str
    property: str
    #: A JSON schema of its values.
    schema: Json
    #: A recording that shows it, as `file:line`.
    seen: str
    why: str = ""


@dataclass(frozen=True)
class Operation:
    """A method of a path of a document."""

    name: str
    method: str
    path: re.Pattern[str]
    #: By status, and `default`; None where the answer has no body.
    answers: Mapping[str, Optional[Json]]
    body: Optional[Json]
    #: How many segments of the path are literal: of two that match, the one with more is meant.
    literal: int


@dataclass
class Verdict:
    """Problems of an exchange."""

    #: Empty when the documents do not describe the path.
    operation: str = ""
    problems: List[str] = field(default_factory=list)


def _discriminated(
    validator: Validator, by: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """Yield the schema of the variant that the instance says it is."""
    if not isinstance(instance, dict):
        yield jsonschema.ValidationError(f"{instance!r} is not an object")
        return
    value = instance.get(by["property"])
    variant = by["variants"].get(value) if isinstance(value, str) else None
    if variant is None:
        known = ", ".join(sorted(by["variants"]))
        yield jsonschema.ValidationError(f"{by['property']} is {value!r}, none of {known}")
        return
    # Only the stubs of the type lack it.
    yield from validator.descend(instance, variant)  # type: ignore[attr-defined]


# The library's own function has no types.
_Closed = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"x-discriminated": _discriminated}
)
_formats = jsonschema.FormatChecker(())


@_formats.checks("date-time")
def _is_time(value: object) -> bool:
    # The service also writes times without a zone.
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?"
    return not isinstance(value, str) or re.fullmatch(pattern, value) is not None


@_formats.checks("duration")
def _is_duration(value: object) -> bool:
    pattern = r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"
    return not isinstance(value, str) or re.fullmatch(pattern, value) is not None


@_formats.checks("byte", raises=(binascii.Error, ValueError))
def _is_base64(value: object) -> bool:
    return not isinstance(value, str) or base64.b64decode(value, validate=True) is not None


@_formats.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@_formats.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


class Documents:
    """All OpenAPI documents below a folder, as one description of the service."""

    def __init__(self, folder: Path, deviations: Sequence[Deviation] = ()) -> None:
        texts = {
            path.resolve().as_uri(): json.loads(path.read_text(encoding="utf-8"))
            for path in folder.rglob("*.json")
            if "examples" not in path.parts
        }
        self._documents: Dict[str, Json] = {
            uri: text for uri, text in texts.items() if text.get("swagger") == "2.0"
        }
        self._registry: Registry[Any] = Registry().with_resources(
            (uri, Resource.from_contents(text, default_specification=DRAFT4))
            for uri, text in self._documents.items()
        )
        self._deviations: Dict[str, List[Deviation]] = {}
        for deviation in deviations:
            self._deviations.setdefault(deviation.definition, []).append(deviation)
        self._definitions: Json = {}
        self._operations = [operation for uri in self._documents for operation in self._of(uri)]
        self._errors = self._reference(
            next(
                f"{uri}#/definitions/ErrorResponse"
                for uri, text in sorted(self._documents.items())
                if "ErrorResponse" in text.get("definitions", {})
            ),
            self._registry.resolver(),
        )

    # --- judging ------------------------------------------------------------------------------

    def operation(self, method: str, path: str) -> Optional[Operation]:
        """Return the operation that is meant, or None."""
        found = [
            operation
            for operation in self._operations
            if operation.method == method.lower() and operation.path.fullmatch(path)
        ]
        return max(found, key=lambda operation: operation.literal, default=None)

    def error(self, exchange: Exchange) -> Verdict:
        """Compare an error with the form that all errors of Azure Resource Manager have."""
        found = self._compare("answer", exchange.response, self._errors)
        return Verdict("an error", [*found, *_error_without_words(exchange.response)])

    def judge(self, exchange: Exchange) -> Verdict:
        """Compare an answer with the documents, and the request if it was answered well."""
        operation = self.operation(exchange.method, exchange.path)
        if operation is None:
            return Verdict()
        verdict = Verdict(operation.name)
        known = str(exchange.status) in operation.answers
        if not known and exchange.status < 400:
            verdict.problems.append(f"status {exchange.status} is not documented")
        elif known:
            schema = operation.answers[str(exchange.status)]
            verdict.problems += self._compare("answer", exchange.response, schema)
        else:
            # Some operations document no error at all; the gateway's answers are all of one form.
            errors = operation.answers.get("default") or self._errors
            verdict.problems += self._compare("answer", exchange.response, errors)
            verdict.problems += _error_without_words(exchange.response)
        if exchange.status < 400:
            verdict.problems += self._compare("request", exchange.request, operation.body)
        return verdict

    def _compare(self, what: str, content: Any, schema: Optional[Json]) -> List[str]:
        if schema is None:
            return [] if content is None else [f"the {what} has a body where none is documented"]
        if content is None:
            return [f"the {what} has no body"] if what == "answer" else []
        found = _Closed(
            {**schema, "$defs": self._definitions}, format_checker=_formats
        ).iter_errors(content)
        return [f"{what} {error.json_path}: {error.message[:300]}" for error in found]

    # --- reading the documents ----------------------------------------------------------------

    def _of(self, uri: str) -> Iterator[Operation]:
        """Yield the operations of a document."""
        document = self._documents[uri]
        resolver = self._registry.resolver(uri)
        for path, item in document.get("paths", {}).items():
            segments = path.strip("/").split("/")
            pattern = "/".join("[^/]+" if "{" in one else re.escape(one) for one in segments)
            for method in _METHODS:
                if method not in item:
                    continue
                raw = item[method]
                yield Operation(
                    name=raw["operationId"],
                    method=method,
                    path=re.compile(f"/{pattern}/?", re.IGNORECASE),
                    answers={
                        status: self._closed(answer["schema"], resolver)
                        if "schema" in answer
                        else None
                        for status, answer in raw["responses"].items()
                    },
                    body=self._body([*item.get("parameters", ()), *raw.get("parameters", ())], uri),
                    literal=sum("{" not in one for one in segments),
                )

    def _body(self, parameters: Iterable[Json], uri: str) -> Optional[Json]:
        for parameter in parameters:
            resolver = self._registry.resolver(uri)
            if "$ref" in parameter:
                found = resolver.lookup(parameter["$ref"])
                parameter, resolver = found.contents, found.resolver
            if parameter["in"] == "body":
                return self._closed(parameter["schema"], resolver)
        return None

    def _closed(self, node: Json, resolver: Resolver[Any]) -> Json:
        """Return the node as a JSON schema that allows only the properties that it names."""
        if "$ref" in node:
            return self._reference(node["$ref"], resolver)
        schema: Json = {key: node[key] for key in _PLAIN if key in node}
        if "items" in node:
            schema["items"] = self._closed(node["items"], resolver)
        properties, required, extra = self._members(node, resolver)
        if properties or "allOf" in node:
            schema["type"] = "object"
            schema["properties"] = properties
            schema["required"] = sorted(required)
            schema["additionalProperties"] = extra if extra is not None else False
        elif extra is not None:
            schema["additionalProperties"] = extra
        return schema

    def _members(
        self, node: Json, resolver: Resolver[Any]
    ) -> Tuple[Json, List[str], Optional[Json | bool]]:
        """Properties, required ones, and what else is allowed, with those of all bases."""
        properties: Json = {}
        required: List[str] = []
        extra: Optional[Json | bool] = None
        for base in node.get("allOf", ()):
            at, deviating = resolver, {}
            if "$ref" in base:
                deviating = self._deviating(*self._place(base["$ref"], resolver))
                found = resolver.lookup(base["$ref"])
                base, at = found.contents, found.resolver
            more, needed, open_to = self._members(base, at)
            properties.update({**more, **deviating})
            required += needed
            extra = open_to if open_to is not None else extra
        for name, value in node.get("properties", {}).items():
            properties[name] = self._closed(value, resolver)
        required += node.get("required", ())
        own = node.get("additionalProperties")
        if own is not None:
            extra = own if isinstance(own, bool) else self._closed(own, resolver)
        return properties, required, extra

    def _deviating(self, document: str, name: str) -> Json:
        known = self._deviations.get(f"{Path(document).stem}.{name}", ())
        return {one.property: one.schema for one in known}

    def _place(self, reference: str, resolver: Resolver[Any]) -> Tuple[str, str]:
        """Return the document and the name of the definition that is referred to."""
        contents = resolver.lookup(reference).contents
        name = reference.rpartition("/")[2]
        for document, text in self._documents.items():
            if text.get("definitions", {}).get(name) is contents:
                return document, name
        raise LookupError(reference)

    def _reference(self, reference: str, resolver: Resolver[Any]) -> Json:
        """Return a reference to the definition, which is read when it is first met."""
        document, name = self._place(reference, resolver)
        variants = dict(self._variants(document, name))
        if not variants:
            return self._define(document, name)
        by = {
            "property": self._discriminator(document, name),
            "variants": {value: self._define(document, one) for value, one in variants.items()},
        }
        return {"x-discriminated": by}

    def _define(self, document: str, name: str) -> Json:
        """Add the definition, closed, to those of the validator, and refer to it."""
        key = f"{Path(document).parent.parent.name}.{Path(document).stem}.{name}"
        if key not in self._definitions:
            self._definitions[key] = {}
            contents = self._documents[document]["definitions"][name]
            closed = self._closed(contents, self._registry.resolver(document))
            if "properties" in closed:
                closed["properties"] = {**closed["properties"], **self._deviating(document, name)}
            self._definitions[key] = closed
        return {"$ref": f"#/$defs/{key}"}

    def _bases(self, document: str, name: str) -> List[str]:
        """Return the definition and those that it builds on, in the same document."""
        definitions = self._documents[document]["definitions"]
        found = [name]
        for base in definitions[name].get("allOf", ()):
            inner = base.get("$ref", "")
            if inner.startswith("#/definitions/"):
                found += self._bases(document, inner.rpartition("/")[2])
        return found

    def _discriminator(self, document: str, name: str) -> str:
        definitions = self._documents[document]["definitions"]
        for base in self._bases(document, name):
            if "discriminator" in definitions[base]:
                return str(definitions[base]["discriminator"])
        return ""

    def _variants(self, document: str, name: str) -> Iterator[Tuple[str, str]]:
        """Yield the variants of a definition: pairs of the discriminator's value and the name."""
        if not self._discriminator(document, name):
            return
        definitions = self._documents[document]["definitions"]
        for other, contents in definitions.items():
            if name in self._bases(document, other) and (
                other == name or "x-ms-discriminator-value" in contents
            ):
                value = contents.get("x-ms-discriminator-value")
                if value is None and "discriminator" in contents:
                    continue  # Nothing is only that.
                yield value or other, other


def _error_without_words(answer: Any) -> List[str]:
    """Return what an error must have, though the documents require nothing of it."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict) and error.get("code") and isinstance(error.get("message"), str):
        return []
    return ["the error has no code or no message"]

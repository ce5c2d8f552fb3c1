"""The Go skill that `skillops new` starts from: it answers the manifest's examples, and says so of everything else."""

from __future__ import annotations

import json
import textwrap

from agent.domain.skill import Manifest
from agent.languages.document import document

_SKILL = """
// Package skill: {title}
//
// A start made by `skillops new`: it knows the examples in examples.json and nothing else. Put the real work in Execute.
package {package}

import (
	_ "embed"
	"encoding/json"
	"reflect"
)

//go:embed examples.json
var examplesJSON []byte

// fault is an error with a code: Code is what a caller sees of it, beside the message.
type fault struct{{ code, message string }}

func (f fault) Error() string {{ return f.message }}
func (f fault) Code() string  {{ return f.code }}

// Execute gives the outputs for `inputs`, which are as encoding/json reads them: numbers are float64. `context` holds request_id,
// deadline, traceparent and caller.
func Execute(inputs, context map[string]any) (map[string]any, error) {{
	var examples []struct{{ Inputs, Outputs map[string]any }}
	err := json.Unmarshal(examplesJSON, &examples)
	for _, example := range examples {{
		if reflect.DeepEqual(example.Inputs, inputs) {{
			return example.Outputs, err
		}}
	}}
	if err == nil {{
		err = fault{{"not-written-yet", "only the examples of skill.yaml are answered so far"}}
	}}
	return nil, err
}}
"""

_TESTS = """
package tests

import (
	"encoding/json"
	"reflect"
	"testing"

	skill "{module}"
)

func object(t *testing.T, text string) map[string]any {{
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(text), &value); err != nil {{
		t.Fatal(err)
	}}
	return value
}}
{tests}
func TestSaysSoWhereItHasNoAnswer(t *testing.T) {{
	_, err := skill.Execute(map[string]any{{"this is": "no example"}}, nil)
	coded, ok := err.(interface{{ Code() string }})
	if !ok || coded.Code() != "not-written-yet" || err.Error() != "only the examples of skill.yaml are answered so far" {{
		t.Fatalf("got the error %v", err)
	}}
}}
"""

_TEST = """
func TestAnswersExample{number}(t *testing.T) {{
	outputs, err := skill.Execute(object(t, {inputs}), nil)
	if expected := object(t, {outputs}); err != nil || !reflect.DeepEqual(outputs, expected) {{
		t.Fatalf("got %v and the error %v, not %v", outputs, err, expected)
	}}
}}
"""


def files(manifest: Manifest) -> dict[str, bytes]:
    """`SKILL.md`, `skill.go` (at the manifest's entrypoint), the examples beside it, its tests, and go.mod for Go's own tools."""
    folder, _, file = manifest.entrypoint.rpartition("/")
    examples = [{"inputs": example.inputs, "outputs": example.outputs} for example in manifest.examples]
    tests = "".join(
        _TEST.format(number=number, inputs=_literal(example.inputs), outputs=_literal(example.outputs))
        for number, example in enumerate(manifest.examples, 1)
    )
    title = textwrap.shorten(manifest.description, 100)
    return {
        "SKILL.md": document(manifest).encode(),
        "go.mod": b"module skill\n\ngo 1.22\n",
        manifest.entrypoint: _SKILL.format(title=title, package=_package(folder)).lstrip().encode(),
        f"{folder}/examples.json".lstrip("/"): (json.dumps(examples, indent=2, ensure_ascii=False) + "\n").encode(),
        f"tests/{file.removesuffix('.go')}_test.go": _TESTS.format(module=f"skill/{folder}".rstrip("/"), tests=tests).lstrip().encode(),
    }


def _package(folder: str) -> str:
    name = "".join(char for char in folder.rpartition("/")[2].lower() if char.isalnum())
    return name if name[:1].isalpha() else "skill"


def _literal(value: object) -> str:
    """JSON as a string literal of Go."""
    text = json.dumps(value, ensure_ascii=False)
    if "`" not in text and "\r" not in text:
        return f"`{text}`"
    return json.dumps(text, ensure_ascii=False).replace("\\/", "/")

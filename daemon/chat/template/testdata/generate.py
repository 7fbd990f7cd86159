"""Writes golden/ with what Python's jinja2, set up as transformers does, makes of every template and conversation.

Usage: python3 generate.py   (needs jinja2 3.1)
"""
import json
from datetime import datetime
from pathlib import Path

from jinja2.ext import Extension, loopcontrols
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).parent
NOW = datetime(2026, 7, 9, 8, 5, 3)


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Refused(Exception):
    pass


def refuse(message):
    raise Refused(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = refuse
    env.globals["strftime_now"] = NOW.strftime
    return env


def messages(conversation, empty, as_text):
    out = []
    for m in conversation["messages"]:
        d = {"role": m["role"], "content": m["content"]}
        if not m["content"] and m.get("tool_calls"):
            d["content"] = empty
        for key in ("reasoning_content", "name"):
            if m.get(key):
                d[key] = m[key]
        if m.get("tool_calls"):
            d["tool_calls"] = [
                {"id": c["id"], "type": "function", "function": {
                    "name": c["function"]["name"],
                    "arguments": c["function"]["arguments"] if as_text else json.loads(c["function"]["arguments"])}}
                for c in m["tool_calls"]]
        if m.get("tool_call_id"):
            d["tool_call_id"] = m["tool_call_id"]
        out.append(d)
    return out


def render(template, conversation):
    """Tries the ways in which templates expect calls and missing tools, the most usual first, as template.go does."""
    error = None
    for as_text, empty, no_tools in [(t, e, n) for n in (None, []) for t in (False, True) for e in (None, "")]:
        try:
            return {"text": template.render(
                **conversation.get("args", {}), messages=messages(conversation, empty, as_text),
                tools=conversation.get("tools") or no_tools, documents=None,
                add_generation_prompt=conversation.get("add_generation_prompt", True),
                bos_token="<BOS>", eos_token="<EOS>")}
        except Refused as e:
            return {"refused": str(e)}
        except Exception as e:  # what the template cannot handle
            error = error or {"error": type(e).__name__}
    return error


def main():
    conversations = json.loads((HERE / "conversations.json").read_text())
    files = sorted((HERE / "models").glob("*.jinja")) + sorted((HERE / "own").glob("*.jinja"))
    for file in files:
        template = environment().from_string(file.read_text())
        golden = {c["name"]: render(template, c) for c in conversations}
        (HERE / "golden" / (file.stem + ".json")).write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


main()

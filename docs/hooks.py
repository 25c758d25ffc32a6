"""Write the reference pages of the site when it is built: the public API and the command line (a hook of mkdocs)."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from auricle.cli.flags import VerbParser

SECTION = re.compile(r"^(Args|Attributes|Example|Examples|Raises|Returns|Yields):\s*$")
ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*)(?: \(([^)]*)\))?: +(.*)$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    for name, content in (("reference/api.md", api_page()), ("reference/commands.md", commands_page())):
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name a file of the project that is no page (benchmarks/RESULTS.md) in place of a link to it."""
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[2].partition("#")[0]))
        if target.is_relative_to(config.docs_dir):
            return link[0]
        path = target.relative_to(Path(config.docs_dir).parent).as_posix()
        return link[1] if path in link[1] else f"{link[1]} (`{path}`)"

    return re.sub(r"\[([^\]]+)\]\((\.\./[^)\s]+)\)", named, markdown)


# ---------------------------------------------------------------------------------------------- the public API


def api_page() -> str:
    """Return the page of everything in ``auricle.__all__``, from signatures and docstrings."""
    import auricle

    parts = ["# Python\n", "Everything that `import auricle` offers. Names load when they are first used.\n"]
    for name in auricle.__all__:
        parts.extend(entry(name, getattr(auricle, name)))
    return "\n".join(parts)


def entry(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of one public name: heading, signature, docstring, and the methods of a class."""
    yield f"## `auricle.{name}`\n"
    if not (inspect.isclass(value) or callable(value)):
        yield f"`{value!r}`\n" if isinstance(value, str) else markdown(inspect.getdoc(value) or "")
        return
    yield signature_block(f"auricle.{name}", value)
    yield markdown(inspect.getdoc(value) or "")
    if inspect.isclass(value):
        for method, function in public_methods(value):
            yield f"### `{name}.{method}`\n"
            yield signature_block(method, function)
            yield markdown(inspect.getdoc(function) or "")


def public_methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the documented methods and properties that Auricle defines on a class, in the order of the source."""
    for base in kind.__mro__:
        if not base.__module__.startswith("auricle"):
            continue
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if name.startswith("_") and name != "__call__":
                continue
            if inspect.isfunction(function) and inspect.getdoc(function) and getattr(kind, name, None) is not None:
                owner = next(owner for owner in kind.__mro__ if name in vars(owner))
                if owner is base:
                    yield name, function


def signature_block(name: str, function: Callable[..., Any]) -> str:
    """Return the signature in a code block, one parameter a line where it is long."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    parameters = [plain(parameter) for parameter in signature.parameters.values() if parameter.name != "self"]
    kinds = [parameter.kind for parameter in signature.parameters.values() if parameter.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = signature.return_annotation
    ends = "" if returned is signature.empty or inspect.isclass(function) else f" -> {annotation(returned)}"
    line = f"{name}({', '.join(parameters)}){ends}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {text},\n" for text in parameters) + f"){ends}"
    return f"```python\n{line}\n```\n"


def plain(parameter: inspect.Parameter) -> str:
    """Return a parameter as it is written in the source."""
    text = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
    given = parameter.default is not parameter.empty
    if parameter.annotation is parameter.empty:
        return f"{text}={parameter.default!r}" if given else text
    typed = f"{text}: {annotation(parameter.annotation)}"
    return f"{typed} = {parameter.default!r}" if given else typed


def annotation(kind: Any) -> str:
    """Return an annotation as it is written in the source."""
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown: sections as lists, examples as code, links from this page."""
    lines: list[str] = []
    section = ""
    for line in from_reference(docstring.replace("``", "`")).splitlines():
        found = SECTION.match(line)
        if found:
            section = found[1]
            lines += ["", f"**{section}**", ""]
        elif not line.startswith(" ") and line:
            section = ""
            lines.append(line)
        elif section in ("Example", "Examples"):
            lines.append(line)
        elif section and (item := ENTRY.match(line.strip())) and section != "Returns" and indent(line) <= 4:
            kind = f" ({item[2]})" if item[2] else ""
            lines.append(f"- `{item[1]}`{kind}: {item[3]}")
        else:
            lines.append(f"  {line.strip()}" if section and line.strip() else line)
    return "\n".join(lines) + "\n"


def indent(line: str) -> int:
    """Return the number of spaces that a line starts with."""
    return len(line) - len(line.lstrip())


def from_reference(text: str) -> str:
    """Return the text with links that start at the root of the project (docs/audio.md) as links from ``reference/``."""
    return text.replace("](docs/", "](../")


# -------------------------------------------------------------------------------------------- the command line


def commands_page() -> str:
    """Return the page of all verbs, from their parsers."""
    from auricle.cli.main import TOPICS, parser_of

    parts = [
        "# Command line\n",
        "Every verb with its options. `auricle VERB --help` prints the usual ones, `--help all` all.\n",
    ]
    for topic, verbs in TOPICS.items():
        parts.append(f"| {topic} | |\n|---|---|")
        parts += [f"| [{name}](#{anchor(name)}) | {escaped(verb.summary)} |" for name, verb in verbs.items()]
        parts.append("")
    for name in (name for verbs in TOPICS.values() for name in verbs):
        parser = parser_of(name)
        parts.append(f'## <a id="{anchor(name)}"></a>auricle {name}\n')
        parts.append(described(parser.description or ""))
        parts.extend(options(parser))
        if name == "pretrain":
            parts.extend(methods_of_pretrain())
    return "\n".join(parts)


def anchor(verb: str) -> str:
    return f"auricle-{verb.replace(' ', '-')}"


def described(text: str) -> str:
    """Return a description: its sentences as text, its command lines as a block."""
    parts = []
    for block in text.strip().split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        if all("auricle " in line for line in lines):
            parts.append("```console\n" + "\n".join(f"$ {line}" for line in lines) + "\n```\n")
        else:
            parts.append(escaped(from_reference(" ".join(lines))) + "\n")
    return "\n".join(parts)


def options(parser: VerbParser, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a table of options for each heading, those of the short help first, without those already known."""
    usual = {action.dest for actions in parser.sections(everything=False).values() for action in actions}
    for title, actions in parser.sections(everything=True).items():
        rows = [action for action in actions if action.dest not in known | {"help"}]
        if not rows:
            continue
        yield f"| {escaped(title)} | |\n|---|---|"
        for action in sorted(rows, key=lambda action: action.dest not in usual):
            formatter = parser._get_formatter()
            spelling = formatter._format_action_invocation(action).replace("|", "\\|")
            yield f"| `{spelling}` | {escaped(formatter._expand_help(action) if action.help else '')} |"
        yield ""


def methods_of_pretrain() -> Iterator[str]:
    """Yield the settings that each method of pre-training adds to the common ones."""
    from auricle.cli.main import parser_of
    from auricle.methods.registry import METHODS

    parsers = {method: parser_of("pretrain", ["--method", method]) for method in METHODS}
    common = frozenset.intersection(
        *(frozenset(action.dest for action in parser._actions) for parser in parsers.values())
    )
    for method, parser in parsers.items():
        yield f"### pretrain --method {method}\n"
        yield from options(parser, common)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, also inside a table."""
    parts = re.split(r"(\[[^\]]*\]\([^)]*\)|`[^`]*`)", text.replace("``", "`"))
    return "".join(
        part if index % 2 else re.sub(r"([|*_])", r"\\\1", part).replace("<", "&lt;")
        for index, part in enumerate(parts)
    )

"""Links, anchors and citations of the documentation resolve, and every page can be reached."""

import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SPECIFIED = sorted(page.stem for page in (DOCS / "specification").glob("*.md") if page.stem != "index")
PAGES = sorted([*(ROOT / name for name in ("README.md", "CHANGELOG.md", "LAB.md")), *DOCS.rglob("*.md")])

FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*(?:\n[^`\n]+)?`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
EXPLICIT = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
LINK_IN_CODE = re.compile(r"\[([^\[\]\n]*)\]\((docs/[^)\s]+)\)")
NUMBER = r"\d+(?:\.\d+)*"


@cache
def text_of(page: Path) -> str:
    """Return the page without fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links_of(page: Path) -> list[str]:
    """Return the targets of all links and images of a page, without those to other sites."""
    text = INLINE_CODE.sub("", text_of(page))
    targets = [*LINK.findall(text), *REFERENCE.findall(text)]
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def heading_texts(page: Path) -> list[str]:
    """Return the visible text of each heading: no anchors, no code marks, only the words of links."""
    stripped = (re.sub(r"<[^>]+>", "", heading).replace("`", "") for heading in HEADING.findall(text_of(page)))
    return [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in stripped]


def git_host_slug(heading: str) -> str:
    """Return the anchor that a Git host gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def site_slug(heading: str) -> str:
    """Return the anchor that the documentation site gives a heading."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def numbered(slugs: list[str], separator: str) -> set[str]:
    """Return the slugs with repeated ones numbered."""
    seen: dict[str, int] = {}
    result = set()
    for slug in slugs:
        result.add(f"{slug}{separator}{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return result


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """Return the anchors that work both on a Git host and on the site."""
    headings = heading_texts(page)
    on_git_host = numbered([git_host_slug(heading) for heading in headings], "-")
    on_site = numbered([site_slug(heading) for heading in headings], "_")
    return frozenset(on_git_host & on_site) | frozenset(EXPLICIT.findall(text_of(page)))


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """Return the file and the anchor that a link of a page points at."""
    path, _, anchor = target.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


def problem(page: Path, target: str) -> str | None:
    """Return what is wrong with a link, or None."""
    file, anchor = resolve(page, target)
    if not file.exists():
        return f"{target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors_of(file):
        return f"{target}: no such anchor"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    assert [wrong for target in links_of(page) if (wrong := problem(page, target))] == []


def pages_in_nav() -> set[Path]:
    """Return the pages that mkdocs.yml lists."""
    config = ROOT / "mkdocs.yml"
    if not config.is_file():
        return set()
    return {(DOCS / name).resolve() for name in re.findall(r"[\w./-]+\.md\b", config.read_text(encoding="utf-8"))}


def test_every_page_can_be_reached() -> None:
    reached: set[Path] = set()
    ahead = {page for page in (ROOT / "README.md", DOCS / "index.md") if page.is_file()} | pages_in_nav()
    while ahead:
        page = ahead.pop()
        reached.add(page)
        files = {resolve(page, target)[0] for target in links_of(page)} if page.is_file() else set()
        ahead |= {file for file in files if file.suffix == ".md"} - reached
    assert [page.relative_to(ROOT).as_posix() for page in DOCS.rglob("*.md") if page.resolve() not in reached] == []


def test_pages_of_the_navigation_exist() -> None:
    generated = DOCS / "reference"  # made when the site is built
    missing = [page for page in pages_in_nav() if not page.is_file() and generated not in page.parents]
    assert missing == []


def source_files() -> list[Path]:
    """Return the files of code; ``benchmarks/plain`` and the fixtures are kept word for word."""
    files = [
        file
        for folder in ("src", "tests", "benchmarks")
        for pattern in ("*.py", "*.yaml")
        for file in sorted((ROOT / folder).rglob(pattern))
    ]
    return [file for file in files if not {"plain", "fixtures"} & set(file.parts) and file != Path(__file__)]


def one_line(file: Path) -> str:
    """Return a source file with the broken lines of its docstrings and comments joined."""
    return re.sub(r"\n\s*(?:#:? ?)?", " ", file.read_text(encoding="utf-8"))


def test_links_in_docstrings_and_comments_resolve() -> None:
    links = [(file, target) for file in source_files() for _, target in LINK_IN_CODE.findall(one_line(file))]
    assert len(links) > 150, "the pattern of links no longer matches the source"
    wrong = [f"{file.relative_to(ROOT)}: {reason}" for file, target in links if (reason := problem(ROOT / "x", target))]
    assert wrong == []


def wrong_label(label: str, target: str) -> bool:
    """Return True if a link to the specification does not show the page and the section that it leads to."""
    page, _, anchor = target.removeprefix("docs/specification/").partition("#")
    shown = re.fullmatch(rf"(?:({'|'.join(SPECIFIED)}) )?({NUMBER})", label)
    return not shown or f"{shown[1] or Path(page).stem}.md" != page or f"s{shown[2].replace('.', '-')}" != anchor


def test_citations_show_the_section_that_they_lead_to() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: [{label}]({target})"
        for file in source_files()
        for label, target in LINK_IN_CODE.findall(one_line(file))
        if target.startswith("docs/specification/") and wrong_label(label, target)
    ]
    assert wrong == []


def test_every_citation_is_a_link() -> None:
    name = "|".join(SPECIFIED)
    plain = re.compile(rf"(?:(?<!\[)\b(?:{name})|\b[Ss]pecifications?) (?:(?:{name}) )?{NUMBER}")
    found = [
        f"{file.relative_to(ROOT)}: {citation[0]}"
        for file in source_files()
        for citation in plain.finditer(one_line(file))
    ]
    assert found == [], "write [m2d 5.2](docs/specification/m2d.md#s5-2)"

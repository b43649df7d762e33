"""Spelling: no common misspelling anywhere, and British words in what we write."""

import re
import subprocess
import sys

import pytest

# Words that codespell takes for mistakes: shapes of tensors, and mistakes that tests make on purpose.
FINE = ("fro", "valu", "vlue", "probabilty", "wieght", "summar")
# American spellings of words that we use, as what we write instead.
AMERICAN = {
    r"colou?r": "colour",
    r"gray": "grey",
    r"cent(?:er|ers|ered|ering)": "centre",
    r"behavior\w*": "behaviour",
    r"neighbor\w*": "neighbour",
    r"favorite\w*": "favourite",
    r"catalog": "catalogue",
    r"(?:normal|optim|visual|general|regular|random|initial|summar|minim|maxim|recogn|organ|equal|penal)"
    r"iz(?:e|es|ed|er|ers|ing|ation|ations)": "…ise",
    r"analyz\w+": "analyse",
    r"(?:label|model|travel|cancel)(?:ed|ing)": "…lled",
    r"defense": "defence",
    r"artifact\w*": "artefact",
}
WORDS = {pattern.replace("ou?r", "or(?:s|ed|ing|ful)?"): ours for pattern, ours in AMERICAN.items()}


def listed(root):
    """Every text that we write by hand; notebooks are made from their sources."""
    pages = [*root.glob("*.md"), *(root / "cnnlab").rglob("*.md"), *root.glob("docs/**/*.md")]
    code = [
        *(root / "cnnlab").rglob("*.py"),
        *(root / "solutions").glob("*.py"),
        *(root / "tests").rglob("*.py"),
    ]
    data = [
        *(root / "cnnlab" / "course" / "quizzes").glob("*.toml"),
        *(root / "cnnlab/course/presenting/lab").glob("*.html"),
    ]
    return sorted([*pages, *code, *data])


def test_no_common_misspelling(root):
    pytest.importorskip("codespell_lib", reason="codespell is in requirements.txt, not here")
    command = [sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare", "-L", ",".join(FINE)]
    done = subprocess.run([*command, *map(str, listed(root))], capture_output=True, text=True)
    assert not done.stdout and done.returncode == 0, done.stdout + done.stderr


def test_ci_installs_what_the_spell_check_needs(root):
    """So that there it is never left out."""
    assert re.search(r"^codespell>=", (root / "requirements.txt").read_text(), re.MULTILINE)
    assert "-r requirements.txt" in (root / ".ci" / "run").read_text()


def prose(path):
    """(line number, text) of what is written for readers: text cells, docstrings, comments, pages."""
    import io
    import tokenize

    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and '"""' in token.string):
            yield from enumerate(token.string.splitlines(), token.start[0])


def american(text):
    """The American spellings of a line. Code, names in code, addresses and titles of papers keep theirs."""
    if re.search(r"\b(?:18|19|20)\d\d\b", text) or text.lstrip("# ").startswith("Paper:"):
        return []  # a reference: author, title, year
    text = re.sub(r"`[^`]*`|https?://\S+|\w*[_.(=]\w+\S*|<[^>]+>|\w+=\S+", " ", text)
    return [
        w for pattern in WORDS for w in re.findall(rf"(?<![\w.\"'])(?:{pattern})(?![\w(=:\"'])", text, re.I)
    ]


def test_we_write_british_words(root):
    pages = [path for path in listed(root) if "tests" not in path.parts and path.suffix != ".html"]
    found = [
        f"{path.relative_to(root)}:{line}: {', '.join(words)}"
        for path in pages
        for line, text in prose(path)
        if (words := american(text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ("# The color of the center is normalized.", ["color", "center", "normalized"]),
        ("Gray neighbors, colored by their behavior", ["colored", "Gray", "behavior", "neighbors"]),
        ("the grey centre of a colour, normalised and labelled", []),
        ("Use `color=` and plt.center(gray), or colors.normalize", []),
        ("Olah et al., Feature visualization, 2017", []),
        ("the model's size, a filter's prize", []),
    ),
)
def test_american_words_are_seen_and_code_is_left_alone(text, words):
    assert sorted(american(text)) == sorted(words)

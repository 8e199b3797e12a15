"""Names are words that a stranger would search for; docstrings begin with a noun or a verb."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import leigh_mlops

PACKAGE = Path(leigh_mlops.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def words(text: str) -> set[str]:
    return set(text.split())


PREPOSITIONS = words(
    "about above across after against along among around at before below beneath beside besides between beyond by "
    "down during for from in inside into of off on onto out outside over past per since through to toward towards "
    "under until up upon with within without"
)
ADVERBS = words(
    "again ago ahead alone already also always apart away else elsewhere enough ever everywhere forward further here "
    "hence however indeed instead just later never nowhere now often once only otherwise rather so somewhere still "
    "there thereby therefore thus together too twice unsaid uphill well whole wholes yet"
)
ADJECTIVES = words(
    "able absent active advanced awake best better big bright common comparable concurrent dependent different empty "
    "every finite first fine fresh front full good great half known largest last least left likely little local long "
    "many more most much narrow nearest new next none nothing numeric old other others own plain positive preferred "
    "printable probable readable real relative same short silent similar small some such sure thin top trainable true "
    "typical unfit unreadable unusable usual warm whole wide"
)
IRREGULAR_PARTICIPLES = words(
    "asked become begun built chosen cut dealt done drawn fed felt found frozen given gone grown heard held hidden "
    "kept known laid left lost made meant met put said seen shown sold spent spoken sung taken taught thought "
    "told torn understood written"
)
# Nouns and verbs of the field that end as participles do.
NO_PARTICIPLES = {"embed", "feed", "need", "proceed", "seed", "shed", "speed"}
CONJUNCTIONS = words("and as because but if nor or than that though unless whereas while")
QUESTIONS = {"how", "what", "when", "where", "whether", "which", "who", "whom", "whose", "why"}
PRONOUNS = words("anything everybody everything he i it its nobody something they this these those we you")

# Names that a library calls.
OVERRIDDEN = {"forward": "torch.nn.Module", "backward": "torch.autograd.Function"}


def is_participle(word: str) -> bool:
    regular = word.endswith("ed") and len(word) > 4 and word not in NO_PARTICIPLES
    return regular or word in IRREGULAR_PARTICIPLES


def is_poor_name(name: str) -> bool:
    """Whether a function's name is a lone participle, preposition, adverb or adjective, or ends in a preposition."""
    words = [word for word in name.lower().split("_") if word]
    lone = PREPOSITIONS | ADVERBS | ADJECTIVES | QUESTIONS | PRONOUNS | CONJUNCTIONS
    if len(words) == 1:
        return words[0] in lone or is_participle(words[0])
    return bool(words) and words[-1] in PREPOSITIONS


def is_poor_opening(docstring: str) -> bool:
    """Whether a docstring opens with a question word, a preposition, a pronoun, a conjunction or an adverb."""
    first = docstring.split(maxsplit=1)[0].strip("`'\",.:;()*").lower()
    return first in QUESTIONS | PREPOSITIONS | PRONOUNS | CONJUNCTIONS | ADVERBS


def functions(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(module.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def label(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("name", ["_said", "kept", "over", "again", "drawn", "begun_with", "fields_of", "wide", "now"])
def test_poor_names_are_known(name: str) -> None:
    assert is_poor_name(name)


@pytest.mark.parametrize("name", ["seed", "read_field", "wells", "train", "is_finite", "embed", "set_seed", "log_prob"])
def test_good_names_are_known(name: str) -> None:
    assert not is_poor_name(name)


@pytest.mark.parametrize("module", MODULES, ids=label)
def test_functions_are_named_for_what_they_do_or_give(module: Path) -> None:
    poor = {node.name: node.lineno for node in functions(module) if is_poor_name(node.name)}
    assert not {name: line for name, line in poor.items() if name not in OVERRIDDEN}


@pytest.mark.parametrize("module", MODULES, ids=label)
def test_docstrings_begin_with_a_noun_or_a_verb(module: Path) -> None:
    tree = ast.parse(module.read_text())
    documented = [tree, *(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)), *functions(module)]
    texts = [ast.get_docstring(node) for node in documented]
    assert not [text.splitlines()[0] for text in texts if text and is_poor_opening(text)]


@pytest.mark.parametrize("text", ["What is asked.", "Where it is.", "Of all rows.", "``How`` it is."])
def test_poor_openings_are_known(text: str) -> None:
    assert is_poor_opening(text)


def test_public_classes_have_names_of_their_own() -> None:
    names = [
        node.name
        for module in MODULES
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert not {name: count for name, count in Counter(names).items() if count > 1}


def test_modules_have_names_of_their_own() -> None:
    packages = {module.parent.name for module in MODULES if module.stem == "__init__" and module.parent != PACKAGE}
    names = Counter([*packages, *(module.stem for module in MODULES if module.stem != "__init__")])
    assert not {name: count for name, count in names.items() if count > 1}

import math

import pytest

from skill import execute


def part(name, text, **options):
    return execute({"text": text, "parts": [name], **options}, {})[name]


def figure(name, text):
    return part("statistics", text)[name]


def score(*values):
    total = sum(values)
    return round(total / math.sqrt(total**2 + 15), 4)


def test_gives_all_parts_unless_some_are_named():
    assert list(execute({"text": "Fine."}, {})) == ["statistics", "keywords", "sentiment"]
    assert list(execute({"text": "Fine.", "parts": ["sentiment", "statistics"]}, {})) == ["sentiment", "statistics"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"parts": ["tone"]}, "there is no part 'tone'; there are statistics, keywords, sentiment"),
        ({"top": 0}, "top is a number from 1 to 100"),
        ({"top": 101}, "top is a number from 1 to 100"),
    ],
)
def test_refuses_what_there_is_not(inputs, message):
    with pytest.raises(ValueError) as caught:
        execute({"text": "x", **inputs}, {})
    assert str(caught.value) == message


# ---- statistics


def test_counts_everything():
    assert part("statistics", "Dr. Who paid 3.50. Why?\n\nNobody knows.") == {
        "characters": 38,
        "characters_without_spaces": 31,
        "words": 7,
        "unique_words": 7,
        "sentences": 3,
        "paragraphs": 2,
        "lines": 2,
        "average_word_length": 3.86,
        "average_sentence_length": 2.33,
        "reading_seconds": 2,
    }


@pytest.mark.parametrize("text", ["", " \n\n\t ", "... --- !!!"])
def test_a_text_without_words_gives_zeros(text):
    counted = part("statistics", text)
    assert [
        counted[name]
        for name in ("words", "unique_words", "sentences", "average_word_length", "average_sentence_length")
    ] == [0] * 5
    assert part("keywords", text) == []
    assert part("sentiment", text) == {"label": "neutral", "score": 0, "positive_words": [], "negative_words": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two  three\nfour", 4),
        ("well-known don't it’s", 3),
        ("3.50 1,000 a.b", 4),
        ("snake_case", 2),
        ("- ' – 😀", 0),
        ("Ärger naïve 東京", 3),
        ("e\u0301te\u0301", 1),
    ],
)
def test_what_a_word_is(text, words):
    assert figure("words", text) == words


def test_capitals_and_apostrophes_make_no_other_word():
    assert figure("unique_words", "It's it’s IT'S its") == 2


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four… Five", 5),
        ("Really?! Yes.", 2),
        ("He said “stop.” Then (he left.) Gone", 3),
        ("Mr. Smith met Dr. Jones, e.g. at 5.30 p.m", 1),
        ("J. R. Tolkien wrote.", 1),
        ("So am I. Me too.", 2),
        ("A title\n\nA sentence.", 2),
        ("one line\nanother line", 1),
        ("Visit example.com now", 1),
        ("行った。来た。", 2),
        ("Wait ... what", 2),
        ("(Dr. Who)", 1),
        ("A very long sentence before it: Prof. Who", 1),
        ("Was it Dr? No.", 2),
    ],
)
def test_what_a_sentence_is(text, sentences):
    assert figure("sentences", text) == sentences


def test_long_runs_take_no_long_time():
    assert figure("sentences", "." * 30_000 + "x " + "Dr. " * 30_000) == 1


def test_lines_and_paragraphs_that_are_empty_do_not_count():
    text = "\r\na\r\nb\r\n \r\n\r\nc\rd\n"
    assert (figure("lines", text), figure("paragraphs", text)) == (4, 2)
    assert figure("characters", "a\r\nb") == 3
    assert figure("characters_without_spaces", "a b\tc\u00a0d\n") == 4


def test_reading_takes_a_minute_for_238_words():
    assert figure("reading_seconds", "word " * 238) == 60
    assert figure("average_word_length", "a bb cccc") == 2.33


# ---- keywords


def test_keywords_are_the_most_frequent_words_that_say_something():
    text = "The cat and the dog. The dog's bed, 2024, ok, THE CAT is a cat"
    assert part("keywords", text) == [
        {"word": "cat", "count": 3, "share": 0.2},
        {"word": "dog", "count": 2, "share": 0.1333},
        {"word": "bed", "count": 1, "share": 0.0667},
    ]


def test_gives_as_many_keywords_as_asked_for():
    text = " ".join(f"word{letter}" for letter in "abcdefghijkl")
    assert len(part("keywords", text)) == 10
    assert [found["word"] for found in part("keywords", text, top=2)] == ["worda", "wordb"]
    assert len(part("keywords", text, top=100)) == 12


# ---- sentiment


@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("Great.", "positive", score(2)),
        ("TERRIBLE!", "negative", score(-3)),
        ("A table.", "neutral", 0),
        ("great bad", "neutral", 0),
        ("very good", "positive", score(2 * 1.3)),
        ("slightly bad", "negative", score(-2 * 0.6)),
        ("not good", "negative", score(2 * -0.74)),
        ("it isn't very good", "negative", score(2 * 1.3 * -0.74)),
        ("never a bad day", "positive", score(-2 * -0.74)),
        ("not in any way good", "positive", score(2)),
        ("not by far good", "negative", score(2 * -0.74)),
        ("no, good", "positive", score(2)),
        ("isn’t good", "negative", score(2 * -0.74)),
        ("very. good", "positive", score(2)),
        ("nice issue nice", "positive", score(1)),
    ],
)
def test_scores_words_with_negation_and_degree(text, label, value):
    found = part("sentiment", text)
    assert (found["label"], found["score"]) == (label, value)


def test_names_the_words_that_counted_once():
    found = part("sentiment", "Good, good food; very rude and not clean, and I don't hate it.")
    assert found["positive_words"] == ["good", "not hate"]
    assert found["negative_words"] == ["very rude", "not clean"]


def test_a_score_stays_within_its_bounds():
    assert part("sentiment", "awful " * 2_000)["score"] == -1
    assert part("sentiment", "great " * 2_000)["score"] == 1

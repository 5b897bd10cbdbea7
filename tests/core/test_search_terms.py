"""The words a task is found by."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from receiver.core.search_terms import (
    MAX_TERM_CHARS,
    MAX_TERMS,
    MAX_TEXT_CHARS,
    _terms_in,
    fold_early,
    fold_text,
    search_terms,
)

LAWS = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("Tides of March",), "tides of march"),
        (("  order-17/B_x  ",), "order 17 b x"),
        (("Don't stop", "don’t START"), "dont stop start"),
        (("Straße", "STRASSE"), "strasse"),
        (("Ｈｅｌｌｏ ﬁre",), "hello fire"),
        (("ΣΊΣΥΦΟΣ σίσυφος",), "σισυφοσ"),
        (("Ёлка Йод",), "елка иод"),
        (("春の歌", "한국어 ｶﾞ"), "春 の 歌 한국어 カ"),
        (("", " ", "—…!?"), ""),
        ((), ""),
    ],
)
def test_words_are_folded_distinct_and_in_their_order(texts, words):
    assert search_terms(*texts) == words


def test_an_accent_in_one_character_or_in_two_is_the_same():
    assert search_terms("Caf\u00e9") == search_terms("Cafe\u0301") == "cafe"


@pytest.mark.parametrize(
    ("text", "words"), [("Café №7", "cafe no7"), ("ℌello 𝐖orld", "hello world"), ("Brand™", "brandtm")]
)
def test_letters_that_stand_in_one_sign_are_folded_too(text, words):
    assert search_terms(text) == words


def test_the_sign_between_two_names_is_no_word():
    assert search_terms("ジョン・レノン") == search_terms("ジョン レノン")


def test_a_quote_or_an_operator_of_a_search_language_is_no_part_of_a_word():
    assert search_terms("""a "b c" d* (e) f:g h&i|j !k <-> l\\m\0n""") == "a b c d e f g h i j k l m n"


def test_what_is_long_is_cut_alike_where_it_is_kept_and_where_it_is_sought():
    long = "x" * (MAX_TERM_CHARS + 5)
    assert search_terms(long) == search_terms(long + "y") == "x" * MAX_TERM_CHARS


def test_only_the_first_words_are_kept_and_repetitions_take_no_place():
    many = " ".join(f"w{number}" for number in range(2 * MAX_TERMS))
    assert search_terms("again " * 500, many).split() == [
        "again",
        *(f"w{number}" for number in range(MAX_TERMS - 1)),
    ]


@LAWS
@example("№")
@example("ᾳ İ ŉ ǰ ﷺ")
@given(st.text(max_size=30))
def test_folding_twice_is_folding_once(text):
    assert fold_text(fold_text(text)) == fold_text(text)


@LAWS
@given(st.text(max_size=30))
def test_whatever_is_stored_is_found_by_each_of_its_own_words(text):
    terms = search_terms(text).split()
    for word in text.split():
        assert set(search_terms(word).split()) <= set(terms)


@LAWS
@given(st.lists(st.text(max_size=100), max_size=20))
def test_words_are_few_short_and_distinct(texts):
    words = search_terms(*texts).split(" ") if search_terms(*texts) else []
    assert len(words) == len(set(words)) <= MAX_TERMS
    assert all(0 < len(word) <= MAX_TERM_CHARS and word.replace("_", "-").isalnum() for word in words)


MARKS = "\u0315\u0300\u0345\u0344\u302e\U0001d165\uff9e\u1bf2"
SIZE = 20_000
EVIL_TEXTS = {
    "marks of two classes": "a" + "\u0315" * SIZE + "\u0300" * SIZE,
    "marks of many classes": "a" + MARKS * (SIZE // 4),
    "marks without a letter": "\u0315" * SIZE + "\u0300" * SIZE,
    "marks that are letters where case is folded": "\u0345" * SIZE + "\u0300" * SIZE,
    "marks that are no accents": "\U0001d16d" * SIZE + "\U0001d165" * SIZE,
    "signs that come apart": "\ufdfa" * SIZE,
    "signs that come apart into marks": "\u0344" * SIZE + "\uff9e" * SIZE,
    "syllables that are put together": "\u1100\u1161\u11a8" * SIZE,
    "one long word": "ж" * SIZE,
    "many short words": "ж " * SIZE,
    "apostrophes": "’" * SIZE,
    "what is no word": "—" * SIZE,
}


def cost_s(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def any_of_three(holds):
    """Whatever else this machine is doing."""
    return any(holds() for _ in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL_TEXTS.values(), ids=EVIL_TEXTS.keys())
def test_folding_twice_as_much_costs_about_twice_as_much(text):
    half = text[: len(text) // 2]
    assert any_of_three(lambda: cost_s(lambda: fold_text(text)) <= 3 * cost_s(lambda: fold_text(half)) + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL_TEXTS.values(), ids=EVIL_TEXTS.keys())
def test_the_words_of_many_long_texts_are_found_in_no_time(text):
    texts = [f"{number} {text}" for number in range(100)]
    assert any_of_three(lambda: cost_s(lambda: search_terms(*texts)) < 0.1)


def test_a_run_of_marks_does_not_hide_the_word_that_it_stands_in():
    assert search_terms("Cafe" + "\u0301" * 50 + " Zürich") == "cafe zurich"


def test_a_long_text_is_read_up_to_the_end_of_a_word():
    assert search_terms("again " * MAX_TEXT_CHARS) == "again"


def test_what_was_prepared_is_found_without_folding_it_again():
    fold_early(["Ÿ" * MAX_TEXT_CHARS])
    before = _terms_in.cache_info()
    assert search_terms("Ÿ" * MAX_TEXT_CHARS)
    assert _terms_in.cache_info().misses == before.misses

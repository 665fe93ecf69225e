"""Posts of no known topic fall into groups by what they are about; what is about nothing stays outside."""

import random

import numpy as np

from chains.monitoring.new_topics import find_new_topics

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def make_posts(*, sizes, alone=60, seed=1, dimensions=64):
    """Texts and vectors: groups around a point each, and posts that lie anywhere."""
    chance, random_vectors = random.Random(seed), np.random.default_rng(seed)
    texts, vectors = [], []
    for name, size in sizes.items():
        centre = random_vectors.normal(size=dimensions)
        for _ in range(size):
            texts.append(f"the {name} is {' '.join(chance.sample(WORDS, 3))}")
            vectors.append(centre + random_vectors.normal(0, 0.3, dimensions))
    for _ in range(alone):
        texts.append(f"the {' '.join(chance.sample(WORDS, 4))}")
        vectors.append(random_vectors.normal(size=dimensions))
    order = random.Random(seed).sample(range(len(texts)), len(texts))
    return [texts[at] for at in order], np.array([vectors[at] for at in order], dtype=np.float32)


def test_each_group_is_found_with_its_word():
    texts, vectors = make_posts(sizes={"outage": 40, "merger": 25, "停电": 15})
    topics = find_new_topics(texts, vectors)
    assert [topic.words[0] for topic in topics] == ["outage", "merger", "停电"]
    for topic, (name, size) in zip(topics, {"outage": 40, "merger": 25, "停电": 15}.items(), strict=True):
        inside = sum(name in texts[place] for place in topic.posts)
        assert inside / len(topic.posts) > 0.9
        assert inside / size > 0.8
        assert all(name in texts[place] for place in topic.examples)
        assert "the" not in topic.words[:3]


def test_a_topic_that_most_posts_are_about_is_found_whole():
    texts, vectors = make_posts(sizes={"outage": 150}, alone=100)
    topic = find_new_topics(texts, vectors)[0]
    assert topic.words[0] == "outage"
    assert sum("outage" in texts[place] for place in topic.posts) > 120
    assert len(topic.posts) < 170  # and does not swallow the others


def test_no_post_is_in_two_topics():
    texts, vectors = make_posts(sizes={"outage": 30, "merger": 30})
    places = [place for topic in find_new_topics(texts, vectors) for place in topic.posts]
    assert len(places) == len(set(places))


def test_few_posts_and_posts_about_nothing_make_no_topics():
    assert find_new_topics([], np.zeros((0, 8), dtype=np.float32)) == []
    assert find_new_topics(["a"] * 5, np.ones((5, 8), dtype=np.float32)) == []
    texts, vectors = make_posts(sizes={}, alone=200)
    assert sum(len(topic.posts) for topic in find_new_topics(texts, vectors)) < 100


def test_the_same_posts_give_the_same_topics():
    texts, vectors = make_posts(sizes={"outage": 40, "merger": 25})
    assert find_new_topics(texts, vectors) == find_new_topics(texts, vectors)

import pytest

from tests.chains.customer_service.shops import make_chain, write_articles


@pytest.fixture(scope="session")
def articles(tmp_path_factory):
    """The folder of the shop's articles; do not change it."""
    return write_articles(tmp_path_factory.mktemp("knowledge"))


@pytest.fixture(scope="session")
def chain(articles):
    return make_chain(articles)

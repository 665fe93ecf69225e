import pytest

from tests.chains.recommendation.worlds import make_chain, train_model


@pytest.fixture(scope="session")
def interest():
    return train_model()


@pytest.fixture(scope="session")
def chain(interest):
    return make_chain(interest)

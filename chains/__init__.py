"""The use cases: what a question, a post or a visit means, and what follows from it.

Here belong prompts, inputs, outputs and decisions, one folder per use case; no folder knows another. Models and
stores are passed in as LangChain objects.
"""

from chains.customer_service import build_customer_service_chain
from chains.monitoring import build_monitoring_chain
from chains.recommendation import build_recommendation_chain

__all__ = ["build_customer_service_chain", "build_monitoring_chain", "build_recommendation_chain"]

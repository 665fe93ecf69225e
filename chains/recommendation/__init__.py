"""Recommendation of items with a reason each: personal from a user's first event, popular items before it.

Here belongs what "a good list" means: user profile, interest, order, variety, reasons, and how they are measured. The
matrices, item-item models and ranking metrics underneath know nothing of it and live in `retrievers`; settings and
files are for `apps`.
"""

from chains.recommendation.chain import RecommendationChain, RecommendationOptions, build_recommendation_chain
from chains.recommendation.click_model import InterestModel
from chains.recommendation.evaluation import (
    EvaluationOptions,
    RankByScore,
    RecommendationReport,
    build_baselines,
    compare_reports,
    evaluate_recommender,
    rank_with_chain,
)
from chains.recommendation.explanation import PHRASES, ReasonPhrases
from chains.recommendation.exploration import ExplorationOptions
from chains.recommendation.features import BehaviourRecord, FeatureOptions
from chains.recommendation.item_models import ItemModels, embed_catalogue, follow_catalogue, learn_item_models
from chains.recommendation.ranking import RankingOptions
from chains.recommendation.replay import (
    PastRecord,
    ReplayOptions,
    ReplayReport,
    collect_places,
    estimate_value,
    replay_lists,
)
from chains.recommendation.schema import (
    RankedItem,
    Recommendation,
    RecommendationRequest,
    SimilarFinder,
    SimilarItem,
    SimilarItems,
    SimilarRequest,
    UnderstoodQuery,
)
from chains.recommendation.training import InterestOptions, train_interest_model

__all__ = [
    "PHRASES",
    "BehaviourRecord",
    "EvaluationOptions",
    "ExplorationOptions",
    "FeatureOptions",
    "InterestModel",
    "InterestOptions",
    "ItemModels",
    "PastRecord",
    "RankByScore",
    "RankedItem",
    "RankingOptions",
    "ReasonPhrases",
    "Recommendation",
    "RecommendationChain",
    "RecommendationOptions",
    "RecommendationReport",
    "RecommendationRequest",
    "ReplayOptions",
    "ReplayReport",
    "SimilarFinder",
    "SimilarItem",
    "SimilarItems",
    "SimilarRequest",
    "UnderstoodQuery",
    "build_baselines",
    "build_recommendation_chain",
    "collect_places",
    "compare_reports",
    "embed_catalogue",
    "estimate_value",
    "evaluate_recommender",
    "follow_catalogue",
    "learn_item_models",
    "rank_with_chain",
    "replay_lists",
    "train_interest_model",
]

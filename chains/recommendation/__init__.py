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
from chains.recommendation.features import FeatureOptions
from chains.recommendation.item_models import ItemModels, embed_catalogue, follow_catalogue, learn_item_models
from chains.recommendation.ranking import RankingOptions
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
    "EvaluationOptions",
    "FeatureOptions",
    "InterestModel",
    "InterestOptions",
    "ItemModels",
    "RankByScore",
    "RankedItem",
    "RankingOptions",
    "ReasonPhrases",
    "Recommendation",
    "RecommendationChain",
    "RecommendationOptions",
    "RecommendationReport",
    "RecommendationRequest",
    "SimilarFinder",
    "SimilarItem",
    "SimilarItems",
    "SimilarRequest",
    "UnderstoodQuery",
    "build_baselines",
    "build_recommendation_chain",
    "compare_reports",
    "embed_catalogue",
    "evaluate_recommender",
    "follow_catalogue",
    "learn_item_models",
    "rank_with_chain",
    "train_interest_model",
]

"""A training script for `accelerate launch`: each process writes what it was given back, and what it saw."""

import json
import sys
from pathlib import Path

from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.trainer.files import count_processes, is_main_process

WORDS = {
    "card": ["my card is lost", "card stolen", "where is the card", "lost card"],
    "money": ["refund my money", "money back", "where is my money", "the refund is late"],
}
ENDINGS = ["", " please", " help", " order", " 卡"]


def main(base: str, folder: Path, method: str) -> None:
    rows = [
        LabelledText(text + ending, label) for label, texts in WORDS.items() for text in texts for ending in ENDINGS
    ]
    options = ClassifierOptions(
        base=base,
        method=method,
        epochs=2,
        batch_size=8,
        held_out_share=0.2,  # of 40 rows, so that 32 are left: four whole batches
        checkpoint_steps=2,
        learning_rate=None if method == "head" else 1e-3,
        device="cpu",
        precision="float32",
        show_progress=False,
    )
    trained = finetune_classifier(LabelledTexts(rows), folder, options)
    told = {
        "processes": count_processes(),
        "main": is_main_process(),
        "complete": (trained.folder / "manifest.json").exists(),
        "metrics": trained.metrics,
        "history": trained.history,
    }
    name = f"told-by-{'main' if is_main_process() else 'other'}.json"
    (folder.parent / name).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])

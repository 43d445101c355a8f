"""Captions to token ids, without a network: from a tokenizer's folder, or trained on the user's captions."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from core.checkpoints.files import atomic_folder

MOST_BYTES = 64 * 2**20
"""Of a vocabulary's file; the largest have 20 MB."""

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # in the order of their ids


TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"),
)

SMALL: list[dict[str, Any]] = [{"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}]
"""The first steps of a tokenizer for which all letters are small."""
SMALL_LETTERS = "small_letters"
"""How its configuration says so."""

SECOND = "second"
"""The folder within a folder of ours that holds the second tokenizer."""


def tokenizer_files(folder: str | Path) -> dict[str, Path]:
    """The files of a folder, by name, that say what its tokenizer is: those that `TextTokenizer.load` reads."""
    files = {name: Path(folder) / name for name in TOKENIZER_FILES if (Path(folder) / name).is_file()}
    second = Path(folder) / SECOND
    return files | {
        f"{SECOND}/{name}": second / name for name in TOKENIZER_FILES if files and (second / name).is_file()
    }


class TextTokenizer:
    """Texts to rows of `length` ids: cut to fit, padded to the end, start and end tokens included.

    backend: a `tokenizers.Tokenizer` that adds the start and end tokens itself.
    length: ids in a row (77 for BERT and CLIP text encoders).
    pad_token: "[PAD]" for BERT, the end token for Stable Diffusion 1, "!" for Stable Diffusion 2.
    kind: the class that transformers reads the saved folder with, "BertTokenizer", "CLIPTokenizer" or "T5Tokenizer".
    second: another tokenizer, whose ids of the same text follow in each row: T5's after CLIP's in Stable Diffusion 3.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        length: int,
        pad_token: str,
        kind: str,
        second: TextTokenizer | None = None,
    ) -> None:
        pad_id = backend.token_to_id(pad_token)
        if pad_id is None:
            raise ValueError(f"The padding token {pad_token!r} is not in the tokenizer's vocabulary.")
        self.backend, self.length, self.pad_token, self.kind, self.second = backend, length, pad_token, kind, second
        backend.enable_truncation(length)
        backend.enable_padding(length=length, pad_id=pad_id, pad_token=pad_token)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(b, length) int64 ids, and after them those of the second tokenizer. The empty text is the null condition."""
        ids = torch.tensor([encoding.ids for encoding in self.backend.encode_batch(list(texts))])
        return ids if self.second is None else torch.cat([ids, self.second(texts)], dim=1)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return int(self.backend.get_vocab_size())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` gives back an equal tokenizer."""
        rules = self.backend.to_str()
        own = {"backend": rules, "length": self.length, "pad_token": self.pad_token, "kind": self.kind}
        return own if self.second is None else own | {"second": self.second.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TextTokenizer:
        """Inverse of `to_dict`."""
        second = cls.from_dict(data["second"]) if "second" in data else None
        return cls(**data | {"backend": tokenizers.Tokenizer.from_str(data["backend"]), "second": second})

    def beside(self, second: TextTokenizer | None) -> TextTokenizer:
        """The same, with the ids of a second tokenizer after its own; None for its own alone."""
        own = {name: value for name, value in self.to_dict().items() if name != "second"}
        return type(self).from_dict(own if second is None else own | {"second": second.to_dict()})

    def of_length(self, length: int) -> TextTokenizer:
        """The same, with so many ids in a row."""
        return type(self).from_dict(self.to_dict() | {"length": length})

    def in_small_letters(self) -> TextTokenizer:
        """The same, for which all letters are small and texts have no blanks around them, as PixArt's captions."""
        if self._is_small():
            return self
        rules = json.loads(self.backend.to_str())
        own = [rules["normalizer"]] if rules["normalizer"] else []
        rules["normalizer"] = {"type": "Sequence", "normalizers": [*SMALL, *own]}
        return type(self).from_dict(self.to_dict() | {"backend": json.dumps(rules)})

    def _is_small(self) -> bool:
        first: list[Any] = (json.loads(self.backend.to_str())["normalizer"] or {}).get("normalizers", [])
        return first[: len(SMALL)] == SMALL

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers and diffusers read too."""
        config: dict[str, Any] = {
            "tokenizer_class": self.kind,
            "model_max_length": self.length,
            "pad_token": self.pad_token,
        }
        if self._is_small():
            config[SMALL_LETTERS] = True  # transformers makes the rules of some kinds anew
        with atomic_folder(folder) as temporary:
            self.backend.save(str(temporary / "tokenizer.json"))
            (temporary / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
            if self.second is not None:
                self.second.save(temporary / SECOND)

    @classmethod
    def load(cls, folder: str | Path, length: int | None = None) -> TextTokenizer:
        """Read a tokenizer's folder: ours, or any that transformers reads (vocab.txt, vocab.json + merges.txt).

        Code that the folder brings is never run, and nobody is asked whether it may be.
        length: ids in a row where the folder's own `model_max_length` is not wanted, or missing.
        Raises FileNotFoundError or ValueError naming the folder and what it lacks.
        """
        from transformers import AutoTokenizer  # seconds to import, and only needed to read a folder

        folder, files = Path(folder), tokenizer_files(folder)
        names = ("tokenizer.json", "vocab.txt", "vocab.json")
        if not any(name in files for name in names):
            raise FileNotFoundError(f"{folder} holds no tokenizer: expected one of {', '.join(names)}.")
        if large := [name for name, file in files.items() if file.stat().st_size > MOST_BYTES]:
            raise ValueError(f"{folder / large[0]} has more than {MOST_BYTES:,} bytes, which no vocabulary has.")
        try:
            with tempfile.TemporaryDirectory() as copy:  # so that nothing but these files is read
                for name in TOKENIZER_FILES:
                    if name in files:
                        shutil.copyfile(files[name], Path(copy) / name)
                loaded: Any = AutoTokenizer.from_pretrained(copy, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers raises whatever its parsers raise
            if "trust_remote_code" in str(error):
                raise ValueError(
                    f"{folder} holds a tokenizer that wants to run Python code of its own, which is never done; "
                    "use a folder with a tokenizer.json of a kind that transformers knows"
                ) from error
            raise ValueError(f"{folder} holds a tokenizer that transformers cannot read: {error}") from error
        kind = type(loaded).__name__.removesuffix("Fast")
        length = length or loaded.model_max_length
        if not isinstance(length, int) or not 0 < length <= 100_000:  # transformers says so where the folder does not
            length = 77
        pad_token = loaded.pad_token or loaded.eos_token
        if not isinstance(pad_token, str):
            raise ValueError(f"{folder} names no padding token; add pad_token to its tokenizer_config.json.")
        second = cls.load(folder / SECOND) if any(name.startswith(f"{SECOND}/") for name in files) else None
        try:
            made = cls(loaded.backend_tokenizer, length, pad_token, kind, second)
            return made.in_small_letters() if loaded.init_kwargs.get(SMALL_LETTERS) else made
        except Exception as error:  # of a folder whose parts do not belong together
            raise ValueError(f"{folder} holds a tokenizer that cannot be used: {error}") from error


def train_wordpiece(captions: Iterable[str], vocab_size: int = 4096, length: int = 77) -> TextTokenizer:
    """A lower-casing WordPiece tokenizer in BERT's form, its vocabulary learned from the captions.

    vocab_size: at most this many tokens; few captions give fewer. The same captions give the same vocabulary.
    """
    captions = list(captions)
    normalizer = normalizers.BertNormalizer(lowercase=True)
    letters = sorted({letter for caption in captions for letter in normalizer.normalize_str(caption)} - {" "})
    # The trainer numbers the letters inside words in a hash map's order, which also breaks ties between merges; given
    # as special tokens they have fixed numbers.
    fixed = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=fixed, show_progress=False)
    learner = _bert(models.WordPiece(unk_token="[UNK]"), normalizer)
    learner.train_from_iterator(captions, trainer)
    return TextTokenizer(
        _bert(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"), normalizer), length, "[PAD]", "BertTokenizer"
    )


def _bert(model: models.Model, normalizer: normalizers.Normalizer) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.add_special_tokens([token for token in SPECIAL_TOKENS if model.token_to_id(token) is not None])
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    ends = [("[CLS]", SPECIAL_TOKENS.index("[CLS]")), ("[SEP]", SPECIAL_TOKENS.index("[SEP]"))]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return backend

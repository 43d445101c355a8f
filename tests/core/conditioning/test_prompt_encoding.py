"""Long, weighted, changing and joined prompts give what A1111, ComfyUI and compel compute, written out here anew."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.checkpoints.textual_inversion import teach
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import PARTS, Context
from core.conditioning.prompt_chunks import rows
from core.conditioning.prompt_encoding import encode_prompts
from core.conditioning.prompt_schedule import Fragment
from core.conditioning.prompt_syntax import Style
from core.conditioning.prompted import Prompted, denoise_prompt
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import TextTokenizer, train_wordpiece
from core.models.denoiser import Takes

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
from tiny_ldm import VOCAB
from tiny_pipelines import tiny_clip_tokenizer

CPU = torch.device("cpu")
SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "tokenizer"
    tiny_clip_tokenizer(path).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> TextTokenizer:
    return TextTokenizer.load(folder)


@pytest.fixture(scope="module")
def clip() -> CLIPTextEmbedder:
    torch.manual_seed(0)
    model = CLIPTextEmbedder(vocab_size=VOCAB, **SMALL).requires_grad_(False).eval()
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * 0.1)
    return model


def ids(tokenizer: TextTokenizer, text: str) -> list[int]:
    """The ids of a text alone, however long."""
    encoding = tokenizer.backend.encode(text)
    pieces = [encoding, *encoding.overflowing]
    return [
        id
        for piece in pieces
        for id, special, real in zip(piece.ids, piece.special_tokens_mask, piece.attention_mask, strict=True)
        if real and not special
    ]


def frame(tokenizer: TextTokenizer, inside: list[int]) -> list[int]:
    start, end = tokenizer.backend.token_to_id("<|startoftext|>"), tokenizer.backend.token_to_id("<|endoftext|>")
    return [start, *inside, *[end] * (76 - len(inside))]


def one_context(encoder: nn.Module, tokenizer: TextTokenizer, prompt: str, style: Style) -> Tensor:
    context = encode_prompts(encoder, tokenizer, [prompt], style, CPU).context
    assert context is not None
    return context[0]


def test_a1111_weighs_tokens_and_keeps_the_mean(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    pieces = [("a ", 1.0), ("red", 1.3), (" cat ", 1.0), ("dog", 1.1), (" ", 1.0), ("bird", 1 / 1.1)]
    found = one_context(clip, tokenizer, "a (red:1.3) cat (dog) [bird]", "a1111")
    inside = [id for text, _ in pieces for id in ids(tokenizer, text)]
    weights = [weight for text, weight in pieces for _ in ids(tokenizer, text)]
    z = clip(torch.tensor([frame(tokenizer, inside)]))[0]
    weighted = z * torch.tensor([1.0, *weights, *[1.0] * (76 - len(weights))])[:, None]
    torch.testing.assert_close(found, weighted * (z.mean() / weighted.mean()))


def test_comfyui_weighs_towards_the_empty_prompt(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    found = one_context(clip, tokenizer, "[a] (red:1.3) ((cat))", "comfyui")
    pieces = [("[a] ", 1.0), ("red", 1.3), (" ", 1.0), ("cat", 1.21)]
    inside = [id for text, _ in pieces for id in ids(tokenizer, text)]
    weights = [weight for text, weight in pieces for _ in ids(tokenizer, text)]
    z, empty = clip(torch.tensor([frame(tokenizer, inside), frame(tokenizer, [])]))
    expected = z.clone()
    for place, weight in enumerate(weights, 1):
        expected[place] = (z[place] - empty[place]) * weight + empty[place]
    torch.testing.assert_close(found, expected)


def test_compel_hides_words_below_one(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    found = one_context(clip, tokenizer, "a (red:.4) cat (dog:1.5) (bird:0)", "compel")
    pieces = [("a ", 1.0), ("red", 0.4), (" cat ", 1.0), ("dog", 1.5), (" ", 1.0), ("bird", 0.0)]
    parts = [ids(tokenizer, text) for text, _ in pieces]
    tokens = torch.tensor([frame(tokenizer, [id for part in parts for id in part])])
    weights = torch.ones(77)
    places, start = [], 1
    for part, (_, weight) in zip(parts, pieces, strict=True):
        places.append(slice(start, start + len(part)))
        weights[places[-1]] = weight
        start += len(part)
    empty = clip(torch.tensor([frame(tokenizer, [])]))[0]

    def weighted(hidden: slice | None) -> Tensor:
        mask = torch.ones(1, 77, dtype=torch.long)
        if hidden is not None:
            mask[:, hidden] = 0
        return empty + (clip(tokens, mask)[0] - empty) * weights[:, None]

    shares = [1.0, math.tan(0.6 * math.pi / 2), math.tan((1 - 1e-5) * math.pi / 2)]
    means = [weighted(None), weighted(places[1]), weighted(places[5])]
    expected = sum(share * mean for share, mean in zip(shares, means, strict=True)) / sum(shares)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a red cat", "a red cat"),
        ("a (red:1.4) cat", "a (red)1.4 cat"),
        ("a (red:.4) cat", "a (red)0.4 cat"),
        ("(a red:.7) cat (dog:1.3) bird (bed:.2)", "(a red)0.7 cat (dog)1.3 bird (bed)0.2"),
    ],
)
def test_compel_itself_gives_the_same(clip: CLIPTextEmbedder, folder: Path, ours: str, theirs: str) -> None:
    import compel
    from transformers import CLIPTokenizer

    told = compel.Compel(CLIPTokenizer.from_pretrained(folder, model_max_length=77), clip.transformer)(theirs)
    torch.testing.assert_close(
        one_context(clip, TextTokenizer.load(folder), ours, "compel"), told[0], atol=2e-5, rtol=1e-5
    )


def a1111_rows(inside: list[int], comma: int) -> list[list[int]]:
    """Seventy-five by seventy-five, and back to a comma that is at most twenty tokens away."""
    found, row, last = list[list[int]](), list[int](), -1
    for token in inside:
        if token == comma:
            last = len(row)
        elif len(row) == 75 and last != -1 and 75 - last <= 20:
            found.append(row[: last + 1])
            row, last = row[last + 1 :], -1
        if len(row) == 75:
            found.append(row)
            row, last = [], -1
        row = [*row, token]
    return [*found, row]


@pytest.mark.parametrize("comma_at", [54, 55, 56, 60, 73, 74, 75, 76, 130])
@pytest.mark.parametrize("count", [74, 75, 76, 150, 151, 200])
def test_a1111_moves_what_follows_a_near_comma(tokenizer: TextTokenizer, comma_at: int, count: int) -> None:
    text = " ".join("," if place == comma_at else "abc"[place % 3] for place in range(count))
    comma = tokenizer.backend.token_to_id(",</w>")
    found = rows(tokenizer, [[Fragment(text, 1.0)]], "a1111")
    expected = a1111_rows(ids(tokenizer, text), comma)
    assert [row.ids for row in found] == [frame(tokenizer, each) for each in expected]


def test_comfyui_keeps_short_fragments_whole_and_cuts_long_ones(tokenizer: TextTokenizer) -> None:
    def cut(*texts: str) -> list[int]:
        """How many tokens each row has."""
        found = rows(tokenizer, [[Fragment(text, 1.0) for text in texts]], "comfyui")
        return [sum(source >= 0 for source in row.sources) for row in found]

    assert cut("a " * 200) == [75, 75, 50]
    assert cut("a " * 72, "b " * 7) == [72, 7]
    assert cut("a " * 72, "b " * 8) == [75, 5]
    assert cut("a " * 75, "b") == [75, 1]
    assert cut("") == [0]


def test_break_begins_a_row(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    found = one_context(clip, tokenizer, "red BREAK blue BREAK", "a1111")
    apart = torch.cat([one_context(clip, tokenizer, text, "a1111") for text in ("red", "blue")])
    torch.testing.assert_close(found, apart)


def test_a_long_prompt_is_rows_after_one_another(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    text = "a b c " * 40
    inside = ids(tokenizer, text)
    expected = clip(torch.tensor([frame(tokenizer, inside[:75]), frame(tokenizer, inside[75:])])).flatten(0, 1)
    for style in ("a1111", "comfyui", "compel"):
        torch.testing.assert_close(one_context(clip, tokenizer, text, style), expected)


def test_a_prompt_of_more_than_64_rows_is_refused(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match="at most 64 are encoded; shorten it"):
        encode_prompts(clip, tokenizer, ["a " * 75 * 65], "a1111", CPU)


def test_prompts_whose_rows_cannot_be_made_alike_are_refused(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match=r"the prompts have 5, 7, 8 rows .* give each a text_context"):
        encode_prompts(clip, tokenizer, ["a " * 75 * count for count in (5, 7, 8)], "comfyui", CPU)


def test_learned_words_stand_for_themselves(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    taught = teach(clip, tokenizer, "my-cat", torch.randn(3, 32), "my-cat.pt")
    marked, bare = "a embedding:my-cat (bed:1.2)", "a My-Cat (bed:1.2)"
    found = one_context(taught.text_encoder, taught.tokenizer, marked, "a1111")
    torch.testing.assert_close(one_context(taught.text_encoder, taught.tokenizer, bare, "a1111"), found)
    assert not torch.allclose(one_context(taught.text_encoder, taught.tokenizer, "a my-cats (bed:1.2)", "a1111"), found)
    changing = encode_prompts(taught.text_encoder, taught.tokenizer, ["[embedding:my-cat:bed:.5]"], "compel", CPU)
    assert len(changing[Prompted].contexts) == 2
    for style in ("a1111", "comfyui"):  # a word's tokens stay together
        cut = rows(taught.tokenizer, [[Fragment("a " * 74 + "embedding:my-cat", 1.0)]], style)
        assert [sum(source >= 0 for source in row.sources) for row in cut] == [74, 3]


def test_what_a_prompt_says_does_not_depend_on_those_beside_it(
    clip: CLIPTextEmbedder, tokenizer: TextTokenizer
) -> None:
    both = encode_prompts(clip, tokenizer, ["red", "a " * 80], "a1111", CPU).context
    assert both is not None
    alone = one_context(clip, tokenizer, "red", "a1111")
    query = torch.randn(1, 1, 5, 32)

    def read(context: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, context[None, None], context[None, None])

    assert len(both[0]) == 2 * len(alone)
    torch.testing.assert_close(read(both[0]), read(alone))


def test_the_papers_transformer_reads_long_prompts_too() -> None:
    tokenizer = train_wordpiece(["a red circle left of a blue square"], 64, 8)
    torch.manual_seed(0)
    encoder = BERTEmbedder(16, 1, tokenizer.vocab_size, 8).requires_grad_(False).eval()
    found = one_context(encoder, tokenizer, "a red circle left of a blue square", "comfyui")
    first = tokenizer(["a red circle left of a"])
    assert int((first != tokenizer.backend.token_to_id("[PAD]")).sum()) == 8
    torch.testing.assert_close(found, torch.cat([encoder(first)[0], encoder(tokenizer(["blue square"]))[0]]))
    with pytest.raises(ValueError, match="this is a BERTEmbedder; choose another style"):
        encode_prompts(encoder, tokenizer, ["a"], "compel", CPU)


class Told(nn.Module):
    """Predicts the mean of what it is told."""

    takes = Takes(may=(Context,))

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        return z + condition[Context].tokens.mean((1, 2)).view(-1, 1, 1, 1)


def test_prompts_change_and_join_row_by_row(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    prompts = ["[red:blue:.5] cat", "dog AND bird :0.5", "[a|b]"]
    condition = encode_prompts(clip, tokenizer, prompts, "a1111", CPU)
    assert condition[Prompted].weights.tolist() == [[1, 0], [1, 0.5], [1, 0]]
    z, uncond = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    said = [[["red cat"], ["dog", "bird"], ["a"]], [["red cat"], ["dog", "bird"], ["b"]]]
    said += [[["blue cat"], *rest] for _, *rest in said]
    kept = Conditioning.from_tree(condition.to_tree()) if PARTS.holds(Prompted) else condition
    for step, texts in enumerate(said):
        found = denoise_prompt(Told(), z, torch.tensor(1), kept, step, step / 4, uncond)
        for row, each in enumerate(texts):
            expected = uncond[row].clone()
            for text, weight in zip(each, (1, 0.5), strict=False):
                mean = one_context(clip, tokenizer, text, "a1111").mean()
                expected += weight * (z[row] + mean - uncond[row])
            torch.testing.assert_close(found[row], expected)
    with pytest.raises(ValueError, match="joins several by AND; wire the prediction under the null condition"):
        denoise_prompt(Told(), z, torch.tensor(1), condition, 0, 0.0)


def test_a_prompt_that_changes_alone_needs_no_null_prediction(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    condition = encode_prompts(clip, tokenizer, ["[red:blue:1]"], "compel", CPU)
    z = torch.randn(2, 4, 2, 2)
    for step, text in enumerate(["red", "blue"]):
        expected = z + one_context(clip, tokenizer, text, "compel").mean()
        torch.testing.assert_close(denoise_prompt(Told(), z, torch.tensor(1), condition, step, 0.0), expected)


def test_an_ordinary_denoiser_names_the_node_that_reads_it(clip: CLIPTextEmbedder, tokenizer: TextTokenizer) -> None:
    from core.models.denoiser import denoise

    condition = encode_prompts(clip, tokenizer, ["[red|blue]"], "a1111", CPU)
    with pytest.raises(ValueError, match=r"takes no prompt .*which the node denoise_prompt reads"):
        denoise(Told(), torch.randn(1, 4, 2, 2), torch.tensor(1), condition)


@pytest.fixture(scope="module")
def two(tokenizer: TextTokenizer) -> SDXLTextEmbedder:
    torch.manual_seed(0)
    end = tokenizer([""])[0, 1].item()
    second = SMALL | {"hidden_size": 48, "hidden_act": "gelu", "vocab_size": VOCAB}
    model = SDXLTextEmbedder(SMALL | {"vocab_size": VOCAB}, second, projection_dim=12, end=end, pads=(end, 0))
    model = model.requires_grad_(False).eval()
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * 0.1)
    return model


LONG = "a (red:1.4) circle, " + "a blue square " * 30


@pytest.mark.parametrize("style", ["a1111", "comfyui"])
def test_two_encoders_side_by_side_are_weighted_each_for_itself(
    two: SDXLTextEmbedder, tokenizer: TextTokenizer, style: Style
) -> None:
    told = encode_prompts(two, tokenizer, [LONG], style, CPU)
    rest = LONG.removeprefix("a (red:1.4)")
    cut = rows(tokenizer, [[Fragment("a ", 1.0), Fragment("red", 1.4), Fragment(rest, 1.0)]], style)
    assert len(cut) > 1
    tokens = torch.tensor([row.ids for row in cut])
    weights = torch.tensor([row.weights for row in cut])[..., None]
    context, vectors = two(tokens, pooled=True)
    torch.testing.assert_close(told.y, vectors[:1])  # A1111's and ComfyUI's: the first row's
    null = two(tokenizer([""]))
    wanted = []
    for each, empty in zip(context.split([32, 48], -1), null.split([32, 48], -1), strict=True):
        if style == "comfyui":
            wanted.append(empty + weights * (each - empty))
        else:
            made = each * weights
            wanted.append(
                made * torch.stack([a.mean() / b.mean() for a, b in zip(each, made, strict=True)])[:, None, None]
            )
    torch.testing.assert_close(told.context, torch.cat(wanted, -1).flatten(0, 1)[None])


@pytest.mark.parametrize(
    ("prompt", "style", "told"),
    [
        ("a [red:blue:.5] circle", "a1111", "neither change on the way nor join several by AND"),
        ("a circle AND a square", "a1111", "neither change on the way nor join several by AND"),
        ("a (red:0.5) circle", "compel", "this is a SDXLTextEmbedder; choose another style"),
    ],
)
def test_what_two_encoders_cannot_say_is_refused(
    two: SDXLTextEmbedder, tokenizer: TextTokenizer, prompt: str, style: Style, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        encode_prompts(two, tokenizer, [prompt], style, CPU)

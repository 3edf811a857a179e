"""A tag that plain text only speaks of opens no thought; whatever could be a thought stays one, and hides nothing."""

from __future__ import annotations

from tables import each

from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import StreamParser, closes_unopened, from_split, parse
from r1hf.verify import final_answer

FRAME = "Use:\n```xml\n<think>your steps</think>\n<answer>your result</answer>\n```\nas the frame."
SPOKEN_OF = [
    "Write `<think>` to open a thought and `</think>` to close it.",
    "``Write `<think>` to open a thought``",
    "`<think>` opens a thought.",
    "Thoughts begin with ``<think>``.",
    'The tag "<think>" opens a thought, "</think>" ends it.',
    "The tags '<think>' and '</think>' frame it.",
    "“<think>” and “</think>” frame it.",
    "用「<think>」开始思考，用「</think>」结束。",
    "The opening tag (<think>) comes first.",
    "The opening tag **<think>** comes first.",
    "It is <code><think></code> in HTML.",
    "Frame it as `<think>steps</think> <answer>result</answer>`, please.",
    FRAME,
    "Use:\r\n```\r\n<think>a</think>\r\n```\r\nas the frame.",
    "Use:\n~~~\n<think>\na\n</think>\n~~~\nas the frame.",
    'Split on it:\n```python\nthought = text.split("<think>")[1]\n```\n',
    "For example:\n\n   ````md\n```\n<think>a</think>\n```\n````\n",
    "Write <think> to open a thought and </think> to close it.",
    "Models like R1 put a <think> tag before their thoughts.",
    "DeepSeek's <think> tokens cost time.",
    "It is called <think>, and it comes first.",
    "模型用 <think> 标签开始思考。",
    "在<think>和</think>之间写下思考。",
]
# text, reasoning, answer
MEANT = [
    ("`<think>14 is a guess</think> <answer>14</answer>", "14 is a guess", "14"),
    ("A ` b `` <think>14</think> 15", "14", "15"),
    ("`<think>` opens it. <think>a</think> 14", "a", "14"),
    ("`a` <think>b</think> 14", "b", "14"),
    ("```\n<think>a</think>\n<answer>14</answer>\n```", "a", "14"),
    ("\n ```xml\n<think>a</think>\n<answer>14</answer>", "a", "14"),
    ("Use:\n```\n<think>never closed", "never closed", None),
    ("So:\n```\n<think>a</think> <answer>14</answer>", "a", "14"),
    ("So:\n```\nx\n```\n<think>a</think> 14", "a", "14"),
    ("```\nx\n```\n<think>a</think> 14\n```\ny\n```", "a", "14\n```\ny\n```"),
    ("So:\n```\nx\n```python\n<think>a</think>\n``", "a", "``"),
    ("`<think>the box \\boxed{7}</think>` and 14", "the box \\boxed{7}", "` and 14"),
    (
        "`<think>maybe <answer>7</answer></think>` <answer>14</answer>",
        "maybe <answer>7</answer>",
        "` <answer>14</answer>",
    ),
    ("So:\n```\n<think>\\boxed{7}\n```\n", "\\boxed{7}\n```", None),
    ("So:\n```\n<think> <answer>7</answer>\n```\n", "<answer>7</answer>\n```", None),
    ("`<think>a\nb</think>` 14", "a\nb", "` 14"),
    ('"<think>a</think> 14', "a", "14"),
    ("(<think>a</think>) 14", "a", ") 14"),
    ("**<think>a</think>** 14", "a", "** 14"),
    ("Well. <think>a</think> 14", "a", "14"),
    ("Sure: <think> the tag</think> 14", "the tag", "14"),
    ("Let me think <think> so we add</think> 14", "so we add", "14"),
    ("I will use the <think>First we add.</think> 14", "First we add.", "14"),
    ("I use the <think>\nadd\n</think> 14", "add", "14"),
    ("- <think> to be sure</think> 14", "to be sure", "14"),
    ("<think>I will write `</think>` when done.</think> 14", "I will write `", "` when done.</think> 14"),
    ("<think>write `<think>` here</think> 14", "write `<think>` here", "14"),
    ("<think>\n```\n</think>\n```\n14", "```", "```\n14"),
    ("| special_token | a | special_token | Summary: `<think>` is it", "a", "`<think>` is it"),
]


def streamed(text: str, size: int) -> StreamParser:
    parser = StreamParser()
    for start in range(0, len(text), size):
        parser.feed(text[start : start + size])
    parser.close()
    return parser


@each("text", SPOKEN_OF)
def test_what_is_only_spoken_of_opens_nothing(text: str) -> None:
    response = parse(text)
    assert (response.form, response.reasoning, response.answer, response.leading) == ("none", None, None, text.strip())
    assert not closes_unopened(text)
    assert all(streamed(text, size).response == response for size in (1, 2, 3, 7))


@each("text, reasoning, answer", MEANT)
def test_what_could_be_a_thought_is_one(text: str, reasoning: str, answer: str | None) -> None:
    response = parse(text)
    assert (response.reasoning, response.answer) == (reasoning, answer)
    assert all(streamed(text, size).response == response for size in (1, 2, 3, 7))


@each("text", [text for text in SPOKEN_OF if text != FRAME] + [text for text, *_ in MEANT])
def test_no_backtick_makes_a_well_formed_response_or_an_answer_of_a_thought(text: str) -> None:
    if not text.startswith("<think>"):
        assert not is_well_formed(text) and not is_well_formed(text, "think_only")
    assert final_answer(text) != "7" and (final_answer(text) is None or "7" not in str(final_answer(text)))


def test_an_answer_tag_that_is_spoken_of_holds_no_answer() -> None:
    assert parse("Put the result between `<answer>` and `</answer>`.").form == "none"
    assert parse("So the answer is <answer>14</answer>").answer == "14"
    assert parse("`<answer>14</answer>`").answer == "14"
    assert parse("The tag `<answer>` holds it: <answer>14</answer>").answer == "14"
    assert parse("It is `| special_token |` that parts them.").form == "none"


def test_a_servers_split_reads_the_rest_alike() -> None:
    assert from_split(None, SPOKEN_OF[0]).reasoning is None
    assert from_split("a", SPOKEN_OF[0]).answer == SPOKEN_OF[0]


@each(
    "text, closed",
    [
        ("First we add.\n</think>\n\n14", True),
        ("First we add.</think>14", True),
        ("We speak of `</think>` and\n</think>\n14", True),
        ("The tag `</think>` ends a thought.", False),
        ("Nothing.", False),
        ("<think>a</think> 14", False),
        ("The <think>a</think> 14", False),
    ],
)
def test_a_closing_tag_that_nothing_opened(text: str, closed: bool) -> None:
    assert closes_unopened(text) == closed
    assert closes_unopened(text + "\n" + " " * 20, final=False) == closed


def test_a_stream_speaks_as_soon_as_it_knows() -> None:
    parser = StreamParser()
    assert parser.feed("<think>") == [] and parser.feed("a") == [("reasoning", "a")]  # nothing to wait for
    parser = StreamParser()
    assert parser.feed("Write `<think>") == [("text", "Write `")]
    assert parser.feed("` ") == [("text", "<think>"), ("text", "`")]

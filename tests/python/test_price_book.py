"""The price book generator, on a small data set made by hand: no network, no data set installed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gotoai.price_book import (
    DATED,
    FAMILIES,
    Entry,
    InexpressibleError,
    Report,
    build,
    carry_dates,
    decimal_of,
    differences,
    exact_rate,
    litellm_prices,
    litellm_tiers,
    prices_in_force,
    render,
    sheet_lines,
)

DAY = "2026-06-01"


def equals(*names: str) -> dict[str, Any]:
    return {"or": [{"equals": name} for name in names]}


GENAI: list[dict[str, Any]] = [
    {
        "id": "openai",
        "models": [
            {
                "id": "mini",
                "match": equals("mini", "Mini-2024-07-18"),
                "context_window": 128_000,
                "prices": {
                    "input_mtok": "0.15",
                    "cache_read_mtok": "0.0375",
                    "output_mtok": "0.6",
                    "web_searches_kcount": "10",
                },
            },
            {
                "id": "tiered",
                "match": {"or": [{"starts_with": "tiered-"}, {"regex": r"^tiered_\d$"}]},
                "prices": {
                    "input_mtok": {"base": "2.5", "tiers": [{"start": 272_000, "price": "5"}]},
                    "output_mtok": {"base": "15", "tiers": [{"start": 272_000, "price": "22.5"}]},
                },
            },
            {"id": "shadowed", "match": {"or": [{"equals": "shadowed"}, {"starts_with": "tiered-x"}]}, "prices": {}},
            {"id": "moderation", "match": {"contains": "moderation"}, "prices": {}},
            {
                "id": "painter",
                "match": equals("painter"),
                "prices": {"input_mtok": "1", "output_mtok": "2", "output_image_mtok": "30"},
            },
        ],
    },
    {
        "id": "openrouter",
        "models": [
            {
                "id": "openai/mini",
                "match": equals("openai/mini"),
                "prices": {"input_mtok": "0.15", "output_mtok": "0.6"},
            },
            {"id": "x/gift:free", "match": equals("x/gift:free"), "prices": {}},
            {"id": "x/preview", "match": equals("x/preview"), "prices": {}},
        ],
    },
]
MAP: dict[str, Any] = json.loads(
    """{
    "mini": {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1, "max_output_tokens": 16384,
        "supports_vision": true, "supports_function_calling": true, "input_cost_per_token": 9e-07},
    "tiered_7": {"litellm_provider": "openai", "mode": "chat", "max_output_tokens": 5},
    "embed": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 3.75e-08,
        "output_cost_per_token": 0.0, "input_cost_per_token_batches": 1e-08},
    "gratis": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "1024-x-1024/pixels": {"litellm_provider": "openai", "mode": "image_generation"},
    "groq/vendor/fast": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-07,
        "output_cost_per_token": 2e-07, "output_cost_per_token_above_128k_tokens": 4e-07},
    "groq-up-to-4b": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-07}
    }""",
    parse_float=Decimal,
)


def book(report: Report | None = None) -> dict[str, Entry]:
    entries = build(GENAI, MAP, None, DAY, report or Report())
    return {f"{entry.provider}/{entry.id}": entry for entry in entries}


def test_prices_are_exact() -> None:
    mini = book()["openai/mini"]
    assert mini.lines == [
        ("input_uncached", 150_000, 1),
        ("cache_read", 37_500, 1),
        ("output_text", 600_000, 1),
        ("searches", 10_000_000_000, 1),
    ]
    assert exact_rate(Decimal("0.0375"), 10**6) == (37_500, 1)
    assert exact_rate(Decimal("0.04"), 3600) == (100_000_000, 9)
    assert exact_rate(Decimal("0.0000000001"), 10**6) == (1, 10_000)
    assert (
        exact_rate(Decimal("0.0833333333333333"), 10**6)
        == exact_rate(Decimal("0.08333333333333334"), 10**6)
        == (250_000, 3)
    )
    with pytest.raises(InexpressibleError):
        exact_rate(Decimal("0.12345678901234567"), 10**6)


@pytest.mark.parametrize("value", [0.15, True, None])
def test_a_float_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        decimal_of(value)


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity"])
def test_no_price_is_negative_or_endless(value: str) -> None:
    with pytest.raises(InexpressibleError):
        decimal_of(value)


def test_tiers_follow_their_base() -> None:
    assert book()["openai/tiered"].lines == [
        ("input_uncached", 2_500_000, 1),
        ("input_uncached", 5_000_000, 1, 272_000),
        ("output_text", 15_000_000, 1),
        ("output_text", 22_500_000, 1, 272_000),
    ]


def test_names_and_prefixes_keep_the_data_sets_order() -> None:
    entries = book()
    assert entries["openai/mini"].names == {"mini", "mini-2024-07-18"}
    assert entries["openai/tiered"].prefixes == {"tiered-"}
    assert entries["openai/tiered"].names == {"tiered_7"}, "a name that only a regular expression matches"
    assert entries["openai/shadowed"].prefixes == set(), "an earlier model's shorter prefix wins"


def test_what_cannot_be_expressed_has_no_price() -> None:
    report = Report()
    entries = book(report)
    for name in ("openai/painter", "openai/gratis", "openrouter/x/preview", "openai/shadowed"):
        assert entries[name].lines == [], name
        assert any(name in models for reason, models in report.notes.items() if reason.startswith("no price")), name


def test_zero_needs_a_declaration() -> None:
    entries = book()
    for name in ("openrouter/x/gift:free", "openai/moderation"):
        assert entries[name].lines == [("input_uncached", 0, 1), ("output_text", 0, 1)]


def test_the_model_map_fills_the_gaps() -> None:
    entries = book()
    mini = entries["openai/mini"]
    assert (mini.context_window, mini.max_output, mini.capabilities) == (128_000, 16_384, ("tools", "vision"))
    assert mini.source == "genai-prices"
    assert entries["openrouter/openai/mini"].capabilities == mini.capabilities
    embed = entries["openai/embed"]
    assert (embed.mode, embed.source) == ("embedding", "litellm")
    assert embed.lines == [("input_uncached", 37_500, 1), ("output_text", 0, 1)]
    assert embed.factors == {"batch": [4, 15]}
    assert entries["groq/vendor/fast"].lines[-1] == ("output_text", 400_000, 1, 128_000)
    assert not entries.keys() & {"groq/groq-up-to-4b", "openai/1024-x-1024/pixels"}


def test_service_tiers_stand_apart_and_unknown_costs_are_kept() -> None:
    row = {
        "input_cost_per_token_flex": Decimal(1),
        "input_cost_per_token": Decimal("1e-6"),
        "cost_per_song": Decimal(3),
    }
    assert litellm_prices(row) == {"input_mtok": 1, "cost_per_song": 3}
    with pytest.raises(InexpressibleError, match="cost_per_song"):
        sheet_lines(litellm_prices(row), "chat")


def test_lines_that_repeat_their_fallback_are_left_out() -> None:
    prices = {"input_mtok": "1", "output_mtok": "2", "output_reasoning_mtok": "2", "cache_write_mtok": "1"}
    for hour, want in (("1", []), ("2", [("cache_write_1h", 2_000_000, 1)])):
        lines, left_out = sheet_lines({**prices, "cache_write_1h_mtok": hour, "cache_audio_read_mtok": "3"}, "chat")
        assert [line for line in lines if line[0] not in {"input_uncached", "output_text"}] == want
        assert left_out == ["cache_audio_read_mtok counted as cache_read"]


def test_cache_writes_for_five_minutes_and_an_hour() -> None:
    prices = {"input_mtok": "3", "output_mtok": "15", "cache_write_5m_mtok": "3.75", "cache_write_1h_mtok": "6"}
    lines, left_out = sheet_lines(prices, "chat")
    assert lines[1:3] == [("cache_write", 3_750_000, 1), ("cache_write_1h", 6_000_000, 1)]
    assert left_out == []


def test_audio_by_the_hour_is_for_transcription_only() -> None:
    hours = {"audio_hours": "0.04", "input_audio_hours": "0.04"}
    assert sheet_lines(hours, "transcription")[0] == [("seconds", 100_000_000, 9)]
    with pytest.raises(InexpressibleError):
        sheet_lines(hours, "chat")


def test_images_and_speech_have_their_own_units() -> None:
    painter = {"litellm_provider": "openai", "output_cost_per_image": Decimal("0.04")}
    assert sheet_lines(litellm_prices(painter), "image")[0] == [("image_out", 40_000_000_000, 1)]
    speaker = {"input_cost_per_character": Decimal("0.000015")}
    assert sheet_lines(litellm_prices(speaker), "speech")[0] == [("characters", 15_000_000, 1)]
    both = {**painter, "input_cost_per_token": Decimal("1e-6"), "output_cost_per_token": Decimal("2e-6")}
    with pytest.raises(InexpressibleError, match="by number and by token"):
        sheet_lines(litellm_prices(both), "image")


def test_searches_take_the_dearest_size() -> None:
    sizes = {"search_context_size_low": Decimal("0.025"), "search_context_size_high": Decimal("0.03")}
    assert litellm_prices({"search_context_cost_per_query": sizes}) == {"web_searches_kcount": 30}


def variant(tier: str, start: str = "", **prices: str) -> dict[str, Any]:
    when = {"processing": tier} if tier == "batch" else {"service_tier": tier}
    return {"when": when, "constraint": {"start_date": start} if start else {}, "prices": prices}


def entry_of(model: dict[str, Any], report: Report | None = None) -> Entry:
    named = {"id": "m", "match": equals("m"), **model}
    (entry,) = build([{"id": "deepseek", "models": [named]}], {}, ["deepseek"], DAY, report or Report())
    return entry


def test_a_tier_is_a_factor_or_lines() -> None:
    ordinary = {"input_mtok": "2", "cache_read_mtok": "0.5", "output_mtok": "8", "output_reasoning_mtok": "8"}
    whole = variant("batch", input_mtok="1", cache_read_mtok="0.25", output_mtok="4", output_reasoning_mtok="4")
    part = variant("flex", input_mtok="1", output_mtok="4", output_reasoning_mtok="4")
    report = Report()
    entry = entry_of({"prices": ordinary, "price_variants": [whole, part, variant("galaxy", input_mtok="9")]}, report)
    assert entry.factors == {"batch": [1, 2]}
    assert entry.lines[3:] == [
        ("input_uncached", 1_000_000, 1, {"tier": "flex"}),
        ("output_text", 4_000_000, 1, {"tier": "flex"}),
    ]
    assert report.notes == {"variant {'service_tier': 'galaxy'} left out": ["deepseek/m"]}


def test_a_tier_without_a_long_price_keeps_the_ordinary_one() -> None:
    row = {
        "input_cost_per_token": Decimal("2e-6"),
        "input_cost_per_token_above_272k_tokens": Decimal("4e-6"),
        "output_cost_per_token": Decimal("8e-6"),
        "input_cost_per_token_flex": Decimal("1e-6"),
        "input_cost_per_token_above_272k_tokens_priority": Decimal("8e-6"),
        "input_cost_per_token_priority": Decimal("4e-6"),
        "output_cost_per_token_priority": Decimal("16e-6"),
        "cost_per_song_flex": Decimal(1),
    }
    assert litellm_tiers(row)["flex"] == {"input_mtok": 1}
    (entry,) = build([], {"m": {**row, "litellm_provider": "openai", "mode": "chat"}}, ["openai"], DAY, Report())
    assert entry.factors == {"priority": [2, 1]}
    assert entry.lines[3:] == [
        ("input_uncached", 1_000_000, 1, {"tier": "flex"}),
        ("input_uncached", 4_000_000, 1, {"above": 272_000, "tier": "flex"}),
    ]


def test_the_price_of_the_day_is_chosen() -> None:
    old, new, next_one = {"input_mtok": "1"}, {"input_mtok": "2"}, {"input_mtok": "3"}
    prices = [
        {"prices": old},
        {"constraint": {"start_date": "2026-05-01"}, "prices": new},
        {"constraint": {"start_date": "2027-01-01"}, "prices": next_one},
    ]
    now = prices_in_force({"prices": prices}, DAY)
    assert (now.prices, now.since, now.next_change) == (new, "2026-05-01", "2027-01-01")
    before = prices_in_force({"prices": prices}, "2026-01-01")
    assert (before.prices, before.since, before.next_change) == (old, None, "2026-05-01")


def test_announced_prices_are_in_the_book() -> None:
    change = {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": "3", "output_mtok": "6"}}
    entry = entry_of({"prices": [{"prices": {"input_mtok": "1", "output_mtok": "2"}}, change]})
    assert entry.lines == [("input_uncached", 1_000_000, 1), ("output_text", 2_000_000, 1)]
    lines = [["input_uncached", 3_000_000, 1], ["output_text", 6_000_000, 1]]
    assert entry.row()["later"] == [{"effective_at": "2027-01-01", "lines": lines}]


def test_a_tier_holds_from_its_day_and_its_change_is_announced() -> None:
    fast = {"input_mtok": "2", "output_mtok": "4"}
    slow = {"input_mtok": "0.5", "output_mtok": "1"}
    variants = [
        variant("fast", start="2027-01-01", input_mtok="4", output_mtok="8"),
        variant("fast", start="2026-02-01", **fast),
        variant("priority", start="2026-02-01", **fast),
        variant("flex", start="2027-02-01", **slow),
        variant("default"),
    ]
    entry = entry_of({"prices": {"input_mtok": "1", "output_mtok": "2"}, "price_variants": variants})
    assert entry.factors == {"priority": [2, 1]}, "fast is another name of priority"
    assert [(change["effective_at"], change["factors"]) for change in entry.later] == [
        ("2027-01-01", {"priority": [4, 1]}),
        ("2027-02-01", {"flex": [1, 2], "priority": [4, 1]}),
    ]


def resold(name: str, **prices: str) -> dict[str, Any]:
    return {"id": "openrouter", "models": [{"id": name, "match": equals(name), "prices": prices}]}


def test_storage_of_a_cache_is_billed_beside_the_input() -> None:
    tiered = {"base": "1", "tiers": [{"start": 200_000, "price": "2"}]}
    model = {"input_mtok": tiered, "cache_write_mtok": "0.375", "output_mtok": "9"}
    for write, want in (("0.375", [1_375_000, 2_375_000]), ("1.25", [1_250_000])):
        provider = resold("google/g", **{**model, "cache_write_mtok": write})  # type: ignore[arg-type]
        (entry,) = build([provider], {}, ["openrouter"], DAY, Report())
        assert [line[1] for line in entry.lines if line[0] == "cache_write"] == want
    assert [line[1] for line in entry_of({"prices": model}).lines if line[0] == "cache_write"] == [375_000]


def test_no_fee_for_a_cache_write_is_not_no_price() -> None:
    prices = {"input_mtok": "3", "output_mtok": "15", "cache_write_mtok": "0"}
    assert [line[0] for line in sheet_lines(prices, "chat")[0]] == ["input_uncached", "output_text"]


def test_what_would_be_sold_below_cost_has_no_price() -> None:
    report = Report()
    for name in ("~x/latest", "x/audio-1"):
        (entry,) = build([resold(name, input_mtok="1", output_mtok="2")], {}, ["openrouter"], DAY, report)
        assert entry.lines == []
    assert set(report.notes) == {
        "no price (an alias of whatever model is the newest)",
        "no price (audio at the price of text)",
    }


def test_a_resold_model_has_its_vendors_audio_price() -> None:
    text = {"input_mtok": "1", "output_mtok": "2"}
    own = {"id": "m", "match": equals("m"), "prices": {**text, "input_audio_mtok": "9"}}
    vendor = {"id": "openai", "models": [own]}
    for price, want in (("2", [9_000_000]), ("3", [])):
        seller = resold("openai/m", input_mtok="1", output_mtok=price)
        entries = build([vendor, seller], {}, ["openai", "openrouter"], DAY, Report())
        assert [line[1] for line in entries[1].lines if line[0] == "audio_in"] == want


def both(genai: dict[str, str], row: dict[str, Any], name: str = "m", report: Report | None = None) -> list[Entry]:
    provider = {"id": "openai", "models": [{"id": "m", "match": equals("m", "n"), "prices": genai}]}
    full = {"litellm_provider": "openai", "mode": "chat", **{key: Decimal(cost) for key, cost in row.items()}}
    return build([provider], {name: full}, ["openai"], DAY, report or Report())


def test_the_dearer_of_two_data_sets_holds() -> None:
    genai = {"input_mtok": "1", "output_mtok": "2", "cache_read_mtok": "0.1"}
    row = {"input_cost_per_token": "1e-6", "output_cost_per_token": "3e-6", "cache_read_input_token_cost": "1e-7"}
    (risen,) = both(genai, row)
    assert (risen.source, [line[1] for line in risen.lines]) == ("litellm", [1_000_000, 100_000, 3_000_000])
    report = Report()
    (mixed,) = both(genai, {**row, "input_cost_per_token": "5e-7"}, report=report)
    assert mixed.source == "genai-prices"
    assert report.notes == {"the data sets disagree": ["openai/m"]}
    named, apart = both(genai, row, name="n")
    assert (named.id, named.names, apart.id, apart.source) == ("m", {"m"}, "n", "litellm")


def test_tiers_that_only_the_second_knows_are_added_where_both_agree() -> None:
    row = {
        "input_cost_per_token": "1e-6",
        "output_cost_per_token": "2e-6",
        "input_cost_per_token_ultrafast": "6e-6",
        "output_cost_per_token_ultrafast": "12e-6",
    }
    (same,) = both({"input_mtok": "1", "output_mtok": "2"}, row)
    assert (same.source, same.factors) == ("genai-prices", {"ultrafast": [6, 1]})
    (more,) = both({"input_mtok": "1", "output_mtok": "2", "cache_read_mtok": "0.5"}, row)
    assert more.factors == {}, "what the tier makes of a meter that the second does not price is unknown"


def test_a_search_of_every_call_is_in_the_price_of_the_request() -> None:
    row = {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": Decimal("1e-6"),
        "output_cost_per_token": Decimal("2e-6"),
        "search_context_cost_per_query": {"search_context_size_low": Decimal("0.025")},
    }
    name = "gpt-4o-search-preview"
    plain = {"id": name, "match": equals(name), "prices": {"input_mtok": "1", "output_mtok": "2"}}
    for providers in ([], [{"id": "openai", "models": [plain]}]):
        (entry,) = build(providers, {name: row}, ["openai"], DAY, Report())
        assert entry.lines[-1] == ("request", 25_000_000_000, 1)


def timed(start: str, end: str, **prices: str) -> dict[str, Any]:
    return {"constraint": {"start_time": start, "end_time": end}, "prices": prices}


def test_another_price_for_a_part_of_the_day_has_its_window() -> None:
    noon = timed("01:00:00+00:00", "04:30:00+08:00", input_mtok="1", cache_read_mtok="1", output_mtok="4")
    report = Report()
    night = {"input_mtok": "1", "cache_read_mtok": "0.5", "output_mtok": "2"}
    entry = entry_of({"prices": [{"prices": night}, noon]}, report)
    assert entry.lines[3:] == [
        ("cache_read", 1_000_000, 1, {"window": [60, 1230]}),
        ("output_text", 4_000_000, 1, {"window": [60, 1230]}),
    ]
    assert report.notes == {}


def test_the_dearest_time_of_day_is_taken_where_no_window_can_say_it() -> None:
    night = {"input_mtok": "1", "output_mtok": "2"}
    noon = timed("01:00:00", "04:00:00", input_mtok="2", output_mtok="4")
    report = Report()
    entry = entry_of({"prices": [{"prices": night}, noon]}, report)
    assert entry.lines == [("input_uncached", 2_000_000, 1), ("output_text", 4_000_000, 1)]
    assert report.notes == {"dearest time of day taken": ["deepseek/m"]}


def test_a_change_without_a_date_has_the_books() -> None:
    def book_of(price: str, since: str | None) -> list[Entry]:
        prices = {"input_mtok": price, "output_mtok": "2"}
        entry = entry_of({"prices": [{"constraint": {"start_date": since}, "prices": prices}] if since else prices})
        return [entry]

    sources = [{"name": "genai-prices", "version": "1", "licence": "MIT"}]
    old = render(book_of("1", None), sources, "2026-01-01")
    same, entries = book_of("1", None), book_of("3", None)
    carry_dates(same, old, DAY)
    carry_dates(entries, old, DAY)
    assert (same[0].effective_at, entries[0].effective_at) == (None, DAY)
    again = book_of("3", None)
    carry_dates(again, render(entries, sources, DAY), "2026-07-01")
    assert again[0].effective_at == DAY, "the date stays while the price does"
    dated = book_of("4", "2026-05-01")
    carry_dates(dated, render(entries, sources, DAY), "2026-07-01")
    assert dated[0].effective_at == "2026-05-01"


@pytest.mark.parametrize("suffix", ["-2024-07-18", "-20250805", "-0125", "-2407"])
def test_snapshot_suffixes(suffix: str) -> None:
    assert DATED.sub("", f"m{suffix}") == "m"
    assert DATED.sub("", f"m{suffix}-x") == f"m{suffix}-x"


@pytest.mark.parametrize("name", ["m-8192", "m-1234567", "m-2024-13-01", "m0125"])
def test_other_numbers_are_no_snapshot(name: str) -> None:
    assert DATED.sub("", name) == name


def test_the_text_is_the_same_whatever_the_order() -> None:
    sources = [{"name": "genai-prices", "version": "1", "licence": "MIT"}]
    backwards = dict(reversed(MAP.items()))
    text = render(build(GENAI, MAP, None, DAY, Report()), sources, DAY)
    again = render(build(GENAI[::-1], backwards, [f.name for f in FAMILIES][::-1], DAY, Report()), sources, DAY)
    assert text == again
    parsed = json.loads(text)
    assert (parsed["dated"], parsed["currency"], parsed["sources"]) == (DAY, "USD", sources)
    assert list(differences(text, again)) == []
    assert list(differences(text, text.replace("37500,1]", "37501,1]"))) == [
        "changed openai/embed",
        "changed openai/mini",
    ]


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        build(GENAI, MAP, ["openai", "nowhere"], DAY, Report())
    assert {e.provider for e in build([*GENAI, {"id": "avian", "models": []}], MAP, ["all"], DAY, Report())} == {
        "groq",
        "openai",
        "openrouter",
    }

//! Owns: each format against a sample with the fields its provider documents (`tests/golden/billing`).

use super::*;
use crate::base::Exact;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/billing/");

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{GOLDEN}{name}")).unwrap()
}

/// Reads samples as the format that is detected in them.
fn bill(names: &[&str]) -> Bill {
    let mut bill = Bill::default();
    for name in names {
        let bytes = sample(name);
        let format = detect(&bytes, "").unwrap_or_else(|| panic!("{name} is not recognised"));
        read(format, &bytes, &mut bill).unwrap();
    }
    bill
}

/// A row as one line, so that a test shows what is read: day, kind, model, key/group, tier, requests, counts, cost in nano-USD.
fn shown(row: &BillRow) -> String {
    let counts: Vec<String> = row.usage.iter().map(|(counter, count)| format!("{}={count}", counter.name())).collect();
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let cost = row.cost.map_or("-".into(), |cost: Exact| cost.to_string());
    let requests = row.requests.map_or("-".into(), |requests| requests.to_string());
    let charged = row.charged.map_or("-", Counter::name);
    format!(
        "{} {} {} {}/{} {} {requests} [{}] {cost} {charged}",
        &row.day.start().to_string()[5..10],
        row.kind.name(),
        text(&row.model),
        text(&row.key),
        text(&row.group),
        text(&row.service_tier),
        counts.join(" ")
    )
}

fn rows(bill: &Bill) -> Vec<String> {
    bill.rows.iter().map(shown).collect()
}

fn reasons(bill: &Bill) -> Vec<(u64, &str)> {
    bill.unread.iter().map(|unread| (unread.row, unread.why.as_str())).collect()
}

#[test]
fn openai_completions() {
    let bill = bill(&["openai_completions_usage.json"]);
    assert_eq!(
        rows(&bill),
        [
            "09-01 usage gpt-4o-mini-2024-07-18 key_abc/proj_abc default 5 [input_uncached=200 cache_read=800 audio_in=0 output_text=500 audio_out=0] - -",
            "09-01 usage gpt-4o-audio-preview-2024-12-17 key_abc/proj_abc batch 2 [input_uncached=150 cache_read=60 audio_in=60 image_in=30 output_text=50 audio_out=40] - -",
        ]
    );
    assert_eq!(reasons(&bill), [(3, "its parts are more than its totals")]);
    let day = |text| crate::base::Date::parse(text).unwrap();
    assert_eq!(bill.days, Some((day("2026-09-01"), day("2026-09-02"))), "an empty bucket is about its day too");
}

#[test]
fn openai_other_kinds() {
    let bill = bill(&["openai_other_usage.json"]);
    assert_eq!(
        rows(&bill),
        [
            "09-01 usage text-embedding-3-small -/- - 2 [input_uncached=16] - -",
            "09-01 usage tts-1 -/- - 1 [characters=45] - -",
            "09-01 usage whisper-1 -/- - 1 [seconds=37] - -",
            "09-01 usage dall-e-3 -/- - 2 [image_out=2] - -",
            "09-01 tool - -/- - - [] - -",
        ]
    );
    assert_eq!(reasons(&bill), [(6, "'organization.usage.dreams.result' is not known")]);
}

#[test]
fn openai_costs() {
    let bill = bill(&["openai_costs.json"]);
    assert_eq!(
        rows(&bill),
        [
            "09-01 usage gpt-4o-mini-2024-07-18 -/proj_abc - - [] 30000 input_uncached",
            "09-01 usage gpt-4o-mini-2024-07-18 -/proj_abc - - [] 60000 cache_read",
            "09-01 usage gpt-4o-mini-2024-07-18 -/proj_abc - - [] 300000 output_text",
            "09-01 tool - -/proj_abc - - [] 25000000 -",
        ]
    );
    assert_eq!(reasons(&bill), [(5, "its currency is eur, the ledger's is USD")]);
}

#[test]
fn anthropic_reports() {
    let bill = bill(&["anthropic_usage.json", "anthropic_cost.json"]);
    let workspace = "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ";
    assert_eq!(
        rows(&bill),
        [
            format!(
                "09-01 usage claude-sonnet-4-20250514 apikey_01Rj2N8SVvo6BePZj99NhmiT/{workspace} standard - [input_uncached=1500 cache_read=200 cache_write=500 cache_write_1h=1000 output_text=500 searches=10] - -"
            ),
            format!("09-01 usage claude-sonnet-4-20250514 -/{workspace} standard - [] 4500000 input_uncached"),
            format!("09-01 usage claude-sonnet-4-20250514 -/{workspace} standard - [] 6000000 cache_write_1h"),
            format!("09-01 tool - -/{workspace} - - [] 100000000 -"),
        ]
    );
}

#[test]
fn openrouter_activity() {
    assert_eq!(
        rows(&bill(&["openrouter_activity.json"])),
        [
            "09-01 usage openai/gpt-4.1 -/- - 5 [input_uncached=50 output_text=100 output_reasoning=25] 15000000 -",
            "09-02 usage deepseek/deepseek-chat -/- - 1 [input_uncached=40 output_text=12 output_reasoning=0] 33000 -",
        ]
    );
    let table = bill(&["openrouter_activity.csv"]);
    assert_eq!(
        rows(&table),
        [
            "09-01 usage anthropic/claude-4.5-sonnet-20250929 gateway/- - 1 [input_uncached=40 cache_read=60 output_text=15 output_reasoning=5] 123000 -",
            "09-01 usage deepseek/deepseek-chat-v3.1:free gateway/- - 1 [input_uncached=30 cache_read=0 output_text=10 output_reasoning=0] 0 -",
        ]
    );
    assert_eq!((reasons(&table), table.repeated), (vec![(5, "'n/a' is no decimal number")], 1));
}

#[test]
fn aws_lines_of_bedrock() {
    let bill = bill(&["aws_cur2.csv", "aws_cur_legacy.csv"]);
    let user = "arn:aws:iam::123456789012:user/gateway/123456789012";
    assert_eq!(
        rows(&bill),
        [
            format!("09-01 usage NovaPro {user} - - [input_uncached=1500] 1200000 input_uncached"),
            format!("09-01 usage NovaPro {user} - - [cache_read=250] 50000 cache_read"),
            "09-01 usage us.anthropic.claude-sonnet-4-6-20260217-v1:0 -/123456789012 - - [output_text=321] 4815000 output_text".into(),
            "09-01 credit NovaPro -/123456789012 - - [] -120000 input_uncached".into(),
            "09-01 tax NovaPro -/123456789012 - - [] 30000000 input_uncached".into(),
            "09-02 usage Claude Haiku 4.5 -/123456789012 - - [input_uncached=1500] 1650000 input_uncached".into(),
            "09-02 usage Claude Haiku 4.5 -/123456789012 - - [] 330000 cache_read".into(),
        ]
    );
    assert_eq!(reasons(&bill), [(7, "it is of more than one day: export with daily or hourly granularity")]);
    assert_eq!(bill.foreign, 1);
}

#[test]
fn focus_lines_of_models() {
    let bill = bill(&["focus.csv"]);
    assert_eq!(
        rows(&bill),
        [
            "09-01 usage gpt-4o -/proj_abc - - [input_uncached=480] 1200000 input_uncached",
            "09-01 usage gpt-4o-2024-08-06 -/proj_abc - - [cache_read=16] 20000 cache_read",
            "09-01 credit - -/proj_abc - - [] -100000 -",
            "09-01 tax - -/proj_abc - - [] 250000000 -",
        ]
    );
    assert_eq!((bill.unread.len(), bill.foreign), (0, 1));
}

#[test]
fn formats_are_detected_by_content_then_by_name() {
    for (name, format) in [
        ("openai_completions_usage.json", Format::OpenAi),
        ("openai_other_usage.json", Format::OpenAi),
        ("openai_costs.json", Format::OpenAi),
        ("anthropic_usage.json", Format::Anthropic),
        ("anthropic_cost.json", Format::Anthropic),
        ("openrouter_activity.json", Format::OpenRouter),
        ("openrouter_activity.csv", Format::OpenRouter),
        ("aws_cur2.csv", Format::AwsCur),
        ("aws_cur_legacy.csv", Format::AwsCur),
        ("focus.csv", Format::Focus),
    ] {
        assert_eq!(detect(&sample(name), "x"), Some(format), "{name}");
        assert_eq!(Format::by_name(format.name()), Some(format));
    }
    assert_eq!(detect(br#"{"data": []}"#, "bills/Anthropic-2026.json"), Some(Format::Anthropic));
    assert_eq!(detect(br#"{"data": []}"#, "page.json"), None);
    assert_eq!(detect(b"a,b\n1,2\n", "table.csv"), None);
    assert_eq!(detect(b"", ""), None);
}

#[test]
fn pages_in_a_row_are_read_and_pages_that_overlap_count_once() {
    let (usage, costs) = (sample("openai_completions_usage.json"), sample("openai_costs.json"));
    let mut both = usage.clone();
    both.extend(&costs);
    both.extend(&usage);
    let mut bill = Bill::default();
    read(Format::OpenAi, &both, &mut bill).unwrap();
    assert_eq!((bill.rows.len(), bill.unread.len(), bill.repeated), (6, 2, 3));
    // The same through a second file, and through a table put together from two.
    read(Format::OpenAi, &costs, &mut bill).unwrap();
    assert_eq!((bill.rows.len(), bill.repeated), (6, 8));
    let table = sample("aws_cur_legacy.csv").repeat(2);
    let mut twice = Bill::default();
    read(Format::AwsCur, &table, &mut twice).unwrap();
    assert_eq!((twice.rows.len(), twice.unread.len(), twice.repeated), (2, 0, 2));
}

#[test]
fn what_is_no_bill_is_said_and_nothing_panics() {
    for format in Format::ALL {
        for bytes in [&b""[..], b"{", b"[1]", b"[]", b"{\"data\": [{}]}", b"a,b\n\"", b"\xff\xfe\x00", b"billedcost,chargeperiodstart\n,\n"]
        {
            let _ = read(format, bytes, &mut Bill::default());
        }
    }
    let mut bill = Bill::default();
    assert!(read(Format::Focus, b"a,b\n1,2\n", &mut bill).unwrap_err().contains("billedcost"));
    assert!(read(Format::OpenAi, b"{\"data\": [", &mut bill).unwrap_err().contains("whole JSON"));
}

proptest::proptest! {
    #[test]
    fn a_cut_sample_never_panics(cut in 0..4000_usize, which in 0..10_usize) {
        let names = ["openai_completions_usage.json", "openai_other_usage.json", "openai_costs.json", "anthropic_usage.json", "anthropic_cost.json",
            "openrouter_activity.json", "openrouter_activity.csv", "aws_cur2.csv", "aws_cur_legacy.csv", "focus.csv"];
        let bytes = sample(names[which]);
        let cut = &bytes[..cut.min(bytes.len())];
        for format in Format::ALL {
            let _ = read(format, cut, &mut Bill::default());
        }
        let _ = detect(cut, "");
    }
}

/// Exports overlap: a line that stands in two files is taken once, whatever the order of their columns; one that has changed in between
/// is named, because the bill would have both.
#[test]
fn what_stands_in_two_files_is_billed_once() {
    const HEAD: &str = "BilledCost,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,SkuMeter,ConsumedQuantity,ConsumedUnit\n";
    const LINE: &str = "AI and Machine Learning,\"gpt-4o, input tokens\",480,Tokens\n";
    let hour = |cost: &str, hour: u8| format!("{cost},2026-09-01T{hour:02}:00:00Z,2026-09-01T{:02}:00:00Z,{LINE}", hour + 1);
    let first = format!("{HEAD}{}{}", hour("0.5", 1), hour("0.5", 1));
    let second = format!("{HEAD}{}{}", hour("0.5", 1), hour("0.5", 2));
    let mut bill = Bill::default();
    read(Format::Focus, first.as_bytes(), &mut bill).unwrap();
    read(Format::Focus, second.as_bytes(), &mut bill).unwrap();
    assert_eq!((bill.rows.len(), bill.repeated, bill.unread.len()), (3, 1, 0));
    read(Format::Focus, format!("{HEAD}{}", hour("0.7", 2)).as_bytes(), &mut bill).unwrap();
    assert_eq!((bill.rows.len(), bill.unread.len()), (3, 1));
    assert!(bill.unread[0].why.contains("other figures"), "{:?}", bill.unread);

    // A day that has grown since the first export, and one that has not.
    let page = |first: u64| {
        let bucket = |day: u64, tokens: u64| {
            format!(
                r#"{{"object":"bucket","start_time":{},"end_time":{},"results":[{{"object":"organization.usage.completions.result","model":"gpt-4o","input_tokens":{tokens},"output_tokens":1,"num_model_requests":1}}]}}"#,
                1_788_220_800 + day * 86_400,
                1_788_220_800 + (day + 1) * 86_400
            )
        };
        format!(r#"{{"object":"page","data":[{},{}],"has_more":false}}"#, bucket(0, 5), bucket(1, first))
    };
    let mut bill = Bill::default();
    read(Format::OpenAi, page(3).as_bytes(), &mut bill).unwrap();
    read(Format::OpenAi, page(4).as_bytes(), &mut bill).unwrap();
    assert_eq!((bill.rows.len(), bill.repeated, bill.unread.len()), (2, 1, 1), "{:?}", bill.unread);
}

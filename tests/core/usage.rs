//! Golden vectors: what providers report, and the meters and the cost it must be read as (`tests/golden/usage`).

use gotoai::base::Exact;
use gotoai::domain::catalog::Usage;
use gotoai::domain::provider::Family;
use gotoai::protocol::{ReadUsage, anthropic, gemini, openai};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: String,
    dialect: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "of")]
    _of: String,
    /// As it is written: a number that passes through a float is another one.
    usage: Box<RawValue>,
    meters: Value,
    total: u64,
    /// In nano-units.
    cost: Option<Exact>,
    #[serde(default = "believed")]
    consistent: bool,
}

fn believed() -> bool {
    true
}

fn read(dialect: &str, usage: &RawValue) -> Option<ReadUsage> {
    let json = usage.get();
    match dialect {
        "openai" => openai::read_usage(json.as_bytes(), None).usage,
        "anthropic" => anthropic::read_usage(json.as_bytes()),
        "gemini" => gemini::read_usage(json.as_bytes()),
        other => panic!("there is no dialect {other}"),
    }
}

fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/usage");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<File> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect();
    assert!(files.len() >= 15, "a provider's vectors are gone");
    files
}

#[test]
fn every_report_is_read_as_its_meters() {
    for File { provider, dialect, cases } in files() {
        for case in cases {
            let name = format!("{provider}: {}", case.name);
            let usage = read(&dialect, &case.usage).unwrap_or_else(|| panic!("{name} is no usage"));
            let meters = Usage::from(usage);
            assert_eq!(serde_json::to_value(meters).unwrap(), case.meters, "{name}");
            assert_eq!(meters.input_tokens() + meters.output_tokens(), case.total, "{name}");
            assert_eq!(usage.consistent, case.consistent, "{name}");
        }
    }
}

/// The same through a whole reply, as the pipeline reads it.
#[test]
fn usage_is_found_in_its_reply() {
    for File { provider, cases, .. } in files().into_iter().filter(|file| file.dialect == "openai") {
        for case in cases {
            let reply = format!(r#"{{"id":"r","usage":{},"service_tier":"default"}}"#, case.usage);
            let form = Family::by_name(&provider).and_then(|family| family.cost);
            let facts = openai::ReplyFacts::read(reply.as_bytes(), form).unwrap();
            let meters = facts.report.usage.map(|usage| serde_json::to_value(Usage::from(usage)).unwrap());
            assert_eq!(meters, Some(case.meters), "{provider}: {}", case.name);
            assert_eq!(facts.service_tier.as_deref(), Some("default"));
            let cost = facts.report.cost.map(|cost| match cost {
                openai::ReportedCost::Told { billed, .. } => billed,
                openai::ReportedCost::Absurd => panic!("{provider}: {} is no cost", case.name),
            });
            assert_eq!(cost, case.cost, "{provider}: {}", case.name);
        }
    }
}

//! The source tree keeps the rules of the house: floors import downwards only, files and functions stay small, every
//! file says what it owns. The tables here are the record of what is allowed, each exception with its reason.

#![expect(clippy::expect_used, reason = "what cannot be read fails the test")]

#[path = "structure/scan.rs"]
mod scan;

use scan::Source;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each floor may import, besides itself. `twin` stands beside the house: a provider, seen from outside; so does `sim`:
/// the world around the request path, with the path in it.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("protocol", &["base"]),
    ("domain", &["base", "protocol"]),
    ("pipeline", &["base", "protocol", "domain"]),
    ("adapters", &["base", "protocol", "domain"]),
    ("app", &["base", "protocol", "domain", "pipeline", "adapters"]),
    ("doors", &["base", "protocol", "domain", "pipeline", "app", "twin", "sim"]),
    ("twin", &["base"]),
    ("sim", &["base", "protocol", "domain", "pipeline", "adapters", "app"]),
];

/// More that tests of a floor may import.
const TESTS_MAY_IMPORT: &[(&str, &str, &str)] = &[("app", "twin", "a wired gateway is tested against a provider that really answers")];

/// Floors whose folders do not know each other, and the sideways edges that are allowed all the same: floor, from, to, reason.
const SEPARATE: &[&str] = &["domain", "adapters"];
const SIDEWAYS: &[(&str, &str, &str, &str)] = &[
    ("domain", "catalog", "provider", "an endpoint is a model at a provider, with its family's traits"),
    ("domain", "catalog", "health", "an endpoint carries its health and its retry policy"),
    ("domain", "routing", "catalog", "candidates are endpoints of the catalog"),
    ("domain", "identity", "catalog", "a key has a default mode"),
    ("domain", "risk", "identity", "limits belong to a caller"),
    ("domain", "risk", "catalog", "limits may name models"),
    ("domain", "ledger", "catalog", "an order pins the price sheet it was rated with"),
    ("domain", "ledger", "identity", "a reserve is a caller's: budgets look at its user path"),
    ("domain", "ledger", "risk", "budgets are changed in the reserve's own transaction"),
    ("adapters", "alerts", "providers", "messages go out over the one pooled HTTP client"),
    ("domain", "usage", "catalog", "a record names the endpoint and the meters"),
];

/// Pairs above that see each other both ways. Each is a debt: a third noun waits to be named.
const CIRCLES: &[(&str, &str)] = &[];

const LINES_PER_FILE_MAX: usize = 800;
const LINES_PER_FUNCTION_MAX: usize = 70;

/// Names that say nothing: such files fill up with what belongs to a noun.
const BANNED_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Where amounts are exact: no floating point.
const EXACT: &[&str] = &[
    "src/base/money.rs",
    "src/domain/catalog/",
    "src/domain/ledger/",
    "src/domain/reconcile/",
    "src/domain/risk/",
    "src/protocol/billing/",
    "src/protocol/stripe/",
];

/// Rule, the start of the complaint it excuses, reason. One that excuses nothing any more fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// A broken rule: its name and what is wrong where.
type Complaint = (&'static str, String);

#[test]
fn the_tree_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    for (path, text) in files(root, &["src"], &["rs"]) {
        complaints.extend(check_floors(&path, &text));
        complaints.extend(check_functions(&path, &text));
        complaints.extend(check_head(&path, &text));
        complaints.extend(check_exact(&path, &text));
    }
    for (path, text) in files(root, &["src", "python", "tests", "scripts", "bench", ".ci"], &["rs", "py", "pyi", "sh", ""]) {
        complaints.extend(check_size(&path, &text));
        complaints.extend(check_name(&path));
    }
    let stale: Vec<_> = EXCEPTIONS.iter().filter(|e| !complaints.iter().any(|c| excuses(e, c))).collect();
    let broken: Vec<_> =
        complaints.iter().filter(|c| !EXCEPTIONS.iter().any(|e| excuses(e, c))).map(|(rule, what)| format!("{rule}: {what}")).collect();
    assert!(broken.is_empty(), "{} broken rules:\n{}", broken.len(), broken.join("\n"));
    assert!(stale.is_empty(), "exceptions that excuse nothing any more: {stale:?}");
    assert!(EXCEPTIONS.iter().all(|(_, _, reason)| reason.len() > 20), "an exception needs its reason");
}

fn excuses(exception: &(&str, &str, &str), complaint: &Complaint) -> bool {
    exception.0 == complaint.0 && complaint.1.starts_with(exception.1)
}

/// `src/domain/catalog/price.rs` is the module `domain::catalog::price`.
fn module_path(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Vec<String> = inner.split('/').map(Into::into).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib") {
        segments.pop();
    }
    segments
}

fn check_floors(path: &str, text: &str) -> Vec<Complaint> {
    let home = module_path(path);
    let Some(floor) = home.first() else { return Vec::new() }; // lib.rs lists the floors
    let Some((_, below)) = FLOORS.iter().find(|(name, _)| name == floor) else {
        return vec![("floors", format!("{path} is on no known floor"))];
    };
    let mut complaints = Vec::new();
    for reference in Source::read(text).references(&home) {
        let Some(target) = reference.path.first() else { continue };
        let told = |why: &str| ("floors", format!("{path}:{} {} {why}", reference.line, reference.path.join("::")));
        if target == floor {
            if !may_see(floor, home.get(1), reference.path.get(1)) {
                complaints.push(told("is a sideways import"));
            }
        } else if !below.contains(&target.as_str()) {
            let excused = TESTS_MAY_IMPORT.iter().any(|(from, to, _)| from == floor && to == target);
            if !(reference.in_test && excused) {
                complaints.push(told(&format!("is not below {floor}")));
            }
        }
    }
    complaints
}

/// May the folder `from` of a floor see its sibling `to`? The floor's own `mod.rs` sees all.
fn may_see(floor: &str, from: Option<&String>, to: Option<&String>) -> bool {
    let (Some(from), Some(to)) = (from, to) else { return true };
    !SEPARATE.contains(&floor) || from == to || SIDEWAYS.iter().any(|(f, a, b, _)| *f == floor && a == from && b == to)
}

fn check_functions(path: &str, text: &str) -> Vec<Complaint> {
    let long = |f: &scan::Function| f.lines > LINES_PER_FUNCTION_MAX && !f.in_test && !path.ends_with("/tests.rs");
    let functions = Source::read(text).functions();
    functions.iter().filter(|f| long(f)).map(|f| ("function size", format!("{path}:{} {} has {} lines", f.line, f.name, f.lines))).collect()
}

fn check_head(path: &str, text: &str) -> Option<Complaint> {
    (!text.starts_with("//! ")).then(|| ("head", format!("{path} does not open with what it owns (//! Owns: ...)")))
}

fn check_exact(path: &str, text: &str) -> Option<Complaint> {
    if !EXACT.iter().any(|exact| path.starts_with(exact)) {
        return None;
    }
    let source = Source::read(text);
    let line = ["f32", "f64"].iter().find_map(|float| source.first_use(float))?;
    Some(("exact money", format!("{path}:{line} uses floating point")))
}

fn check_size(path: &str, text: &str) -> Option<Complaint> {
    let lines = text.lines().count();
    (lines > LINES_PER_FILE_MAX).then(|| ("file size", format!("{path} has {lines} lines")))
}

fn check_name(path: &str) -> Option<Complaint> {
    let banned = |part: &str| BANNED_NAMES.contains(&part.split('.').next().unwrap_or(part));
    path.split('/').any(banned).then(|| ("name", format!("{path} is named after nothing")))
}

/// Files under `folders` with one of `extensions`, as (path from the root, text), sorted. What was built or installed is no source.
fn files(root: &Path, folders: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    let mut found = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").map(|entry| entry.expect("a readable entry")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if !["node_modules", "target", "vendor", "__pycache__", "data"].contains(&name.as_str()) {
                    open.push(path);
                }
            } else if extensions.contains(&path.extension().unwrap_or_default().to_string_lossy().as_ref()) {
                let text = fs::read(&path).expect("a readable file");
                let shown = path.strip_prefix(root).expect("a path under the root").to_string_lossy().into_owned();
                found.insert((shown, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    found.into_iter().collect()
}

/// The rules bite: each of these samples breaks one.
mod samples {
    use super::*;

    fn floors(path: &str, text: &str) -> usize {
        check_floors(path, text).len()
    }

    #[test]
    fn upward_imports_are_found() {
        assert_eq!(floors("src/base/money.rs", "use crate::domain::catalog::Meter;"), 1);
        assert_eq!(floors("src/protocol/chat.rs", "use crate::{base::Error, domain::{ledger::Order, usage}};"), 2);
        assert_eq!(floors("src/domain/risk/mod.rs", "fn f() -> crate::app::Gateway { crate::app::open() }"), 2);
        assert_eq!(floors("src/app/admin.rs", "use crate::domain::ledger::Order;\nuse crate::adapters::stores::Sqlite;"), 0);
        assert_eq!(floors("src/cellar/mod.rs", ""), 1);
    }

    #[test]
    fn sideways_imports_are_found() {
        assert_eq!(floors("src/pipeline/route.rs", "use crate::adapters::stores::Sqlite;"), 1);
        assert_eq!(floors("src/adapters/stores/sqlite.rs", "use crate::pipeline::Call;"), 1);
        assert_eq!(floors("src/adapters/stores/sqlite.rs", "use crate::adapters::providers::Http;"), 1);
        assert_eq!(floors("src/domain/ledger/decide.rs", "use crate::domain::routing::plan;"), 1);
        assert_eq!(floors("src/domain/ledger/decide.rs", "use crate::domain::{catalog::PriceSheet, ledger::Order};"), 0);
        assert_eq!(floors("src/pipeline/route.rs", "use crate::pipeline::context::Context;"), 0);
    }

    #[test]
    fn super_climbs_are_followed() {
        assert_eq!(floors("src/domain/ledger/mod.rs", "use super::routing::plan;"), 1);
        assert_eq!(floors("src/domain/ledger/store/memory.rs", "use super::super::super::routing;"), 1);
        assert_eq!(floors("src/base/mod.rs", "use super::twin::Twin;"), 1);
        assert_eq!(floors("src/domain/ledger/decide.rs", "use super::Order;\npub(super) fn f() {}\nmod tests { use super::*; }"), 0);
    }

    #[test]
    fn the_twin_is_for_doors_and_tests_of_the_app() {
        let plain = "use crate::twin::Twin;";
        let test = "#[cfg(test)]\nmod tests { use crate::twin::Twin; }";
        assert_eq!((floors("src/app/gateway.rs", plain), floors("src/app/gateway.rs", test)), (1, 0));
        assert_eq!((floors("src/doors/python/twin.rs", plain), floors("src/pipeline/mod.rs", test)), (0, 1));
        assert_eq!(floors("src/twin/server.rs", "use crate::protocol::sse;"), 1);
    }

    #[test]
    fn comments_and_literals_are_no_imports() {
        let text = r#"
            // use crate::app::Gateway;
            /* crate::app::x /* nested */ crate::app::y */
            const A: &str = "crate::app::z"; const B: &[u8] = br"crate::app::\"; const C: char = '"';
            fn lifetime<'a>(x: &'a str) -> &'a str { x }
            pub(crate) fn visible() {}
        "#;
        assert_eq!(check_floors("src/base/id.rs", text), []);
        assert_eq!(floors("src/base/id.rs", &format!("{text}\nuse crate::app::Gateway;")), 1);
    }

    #[test]
    fn long_functions_are_found_outside_tests() {
        let long = format!("fn long(f: fn(u8) -> u8) -> [u8; 2]\n{{\n{}}}\n", "    let _ = '{'; // }\n".repeat(68));
        let short = format!("fn short() {{\n{}}}\n", "    step();\n".repeat(68));
        let found = check_functions("src/base/id.rs", &format!("trait T {{ fn none(&self); }}\n{long}{short}"));
        assert_eq!(found, [("function size", "src/base/id.rs:2 long has 71 lines".into())]);
        assert_eq!(check_functions("src/base/id.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}\n}}")), []);
    }

    #[test]
    fn sizes_heads_names_and_floats_are_held() {
        assert!(check_size("python/gotoai/big.py", &"x\n".repeat(801)).is_some());
        assert!(check_size("python/gotoai/big.py", &"x\n".repeat(800)).is_none());
        assert!(check_head("src/base/id.rs", "use std::fmt;\n").is_some());
        assert!(check_name("src/app/utils.rs").is_some() && check_name("src/common/id.rs").is_some());
        assert!(check_name("src/base/id.rs").is_none());
        assert!(check_exact("src/domain/ledger/decide.rs", "fn f() -> f64 { 0.1 }").is_some());
        assert!(check_exact("src/domain/ledger/decide.rs", "//! no f64 here\n#[cfg(test)]\nmod tests { type T = f64; }").is_none());
    }

    #[test]
    fn every_allowed_edge_has_its_reason_and_no_circle() {
        assert!(SIDEWAYS.iter().all(|(.., reason)| reason.len() > 10));
        let known = |from: &str, to: &str| CIRCLES.iter().any(|(a, b)| (*a, *b) == (from, to) || (*b, *a) == (from, to));
        for (floor, from, to, _) in SIDEWAYS {
            let (mut open, mut seen) = (vec![*to], BTreeSet::new());
            while let Some(here) = open.pop() {
                assert!(here != *from || known(from, to), "{floor}: {from} imports {to}, which leads back to it");
                if seen.insert(here) && !known(from, to) {
                    open.extend(SIDEWAYS.iter().filter(|(f, a, ..)| f == floor && *a == here).map(|(_, _, b, _)| *b));
                }
            }
        }
        for (a, b) in CIRCLES {
            let both = [(a, b), (b, a)].iter().all(|(x, y)| SIDEWAYS.iter().any(|(_, from, to, _)| from == *x && to == *y));
            assert!(both, "{a} and {b} no longer import each other: take them off the list");
        }
    }
}

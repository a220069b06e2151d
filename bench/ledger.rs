//! Closed-loop benchmark of the ledger: `callers` tasks on two workers, each reserves, then settles, then again. Tasks and not
//! threads, because that is how the gateway waits: a commit that wakes 512 threads measures the kernel's scheduler.
//! `cargo bench --bench ledger -- [seconds] [callers,...] [wallets,...] [strict,hybrid,relaxed]` prints one line a run;
//! `cargo bench --bench ledger -- recover [orders]` kills a process with so many orders open and starts the next;
//! `cargo bench --bench ledger -- count [orders]` does the same work every time, for `valgrind --tool=callgrind`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark prints, and ends where something is wrong")]
#![expect(clippy::disallowed_types, reason = "wall-clock time is what it measures")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quantile's index")]

use gotoai::adapters::stores::sqlite::{Database, SqliteLedger};
use gotoai::base::{Clock, Money, OpId, OrderId, Ratio, Timestamp};
use gotoai::domain::catalog::{Meter, PinnedPrice, PriceLine, PriceSheet, Rating, Sell, Usage};
use gotoai::domain::identity::UserPath;
use gotoai::domain::ledger::{
    Action, Attempt, AttemptOutcome, Command, Durability, Ledger, OpenWallet, Operation, Rated, Reply, Reserve, Settle, TopUp, UsageSource,
    WalletKind, settle_amounts,
};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// As on the two cores that the figures are given for.
const WORKERS: usize = 2;

fn sheet() -> PriceSheet {
    let line = |meter, num| PriceLine::new(meter, num, 1_000_000);
    let lines = vec![line(Meter::InputUncached, 150_000_000_000), line(Meter::OutputText, 600_000_000_000)];
    PriceSheet::new(lines, "bench".into(), 0)
}

fn reserve(order: OrderId, wallet: &Arc<str>, node: (i64, i64)) -> Command {
    Command::Reserve(Box::new(Reserve {
        order,
        wallet: Arc::clone(wallet),
        key: None,
        user_path: UserPath::root(),
        labels: Vec::new(),
        operation: "chat",
        model: "gpt-4o-mini".into(),
        endpoint: "openai/gpt-4o-mini".into(),
        fallbacks: Vec::new(),
        provider: "openai".into(),
        hold: Some(Money::nano(9_600_000)),
        least: None,
        input_cost: Money::nano(3_000),
        stream: false,
        expires_at: Timestamp(i64::MAX / 2),
        node: node.0,
        epoch: node.1,
        once: None,
    }))
}

fn settle(order: OrderId, sheet: &PriceSheet, price: &Arc<PinnedPrice>) -> Command {
    let usage = Usage::default().with(Meter::InputUncached, 21).with(Meter::OutputText, 42);
    let attempt = Attempt {
        n: 1,
        endpoint: "openai/gpt-4o-mini".into(),
        outcome: AttemptOutcome::Served,
        status: Some(200),
        started_at_ms: 1,
        first_byte_at_ms: Some(2),
        ended_at_ms: 3,
    };
    Command::Settle(Box::new(Settle {
        order,
        endpoint: Some("openai/gpt-4o-mini".into()),
        provider: Some("openai".into()),
        rated: Some(Rated {
            price: Arc::clone(price),
            rating: Rating::standard(Timestamp(0)),
            sell: Sell::Markup(Ratio { num: 55, den: 1000 }),
            builder: Ratio::ZERO,
            upstream: None,
            reported: None,
        }),
        usage,
        usage_source: UsageSource::Provider,
        amounts: settle_amounts(&usage, sheet, &Rating::standard(Timestamp(0)), &Sell::Markup(Ratio { num: 55, den: 1000 }), Ratio::ZERO)
            .ok(),
        unpriced_cost: None,
        outcome: None,
        loss: Money::ZERO,
        suspense: false,
        builder: None,
        losses: Vec::new(),
        attempts: vec![attempt],
        provider_request_id: Some("chatcmpl-D0q7lRI0Z2q8190Q0ue3JnnWtqLrd".into()),
        finish: "stop",
        answer: None,
    }))
}

/// One caller: reserves, settles, and again, until told to stop. How long each reserve took.
async fn call(
    ledger: Arc<SqliteLedger>,
    mut n: usize,
    names: Arc<Vec<Arc<str>>>,
    price: Arc<PinnedPrice>,
    stop: Arc<AtomicBool>,
) -> Vec<Duration> {
    let (mut latencies, sheet, node) = (Vec::new(), sheet(), ledger.node());
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let (order, began) = (OrderId::new(), Instant::now());
        let held = ledger.submit(reserve(order, &names[n % names.len()], node)).wait().await;
        latencies.push(began.elapsed());
        assert!(matches!(held, Ok(Reply::Held { .. })), "{held:?}");
        let settled = ledger.submit(settle(order, &sheet, &price)).wait().await;
        assert!(matches!(settled, Ok(Reply::Settled { .. })), "{settled:?}");
    }
    latencies
}

/// A new ledger in `folder`, with its wallets topped up.
fn filled(folder: &Path, wallets: usize, durability: Durability) -> (Database, Arc<SqliteLedger>, Arc<Vec<Arc<str>>>) {
    let database = Database::open(&folder.join("gotoai.db")).unwrap();
    let (ledger, _) = SqliteLedger::open(&database, &Clock::system(), durability, true).unwrap();
    let names: Vec<Arc<str>> = (0..wallets).map(|n| format!("w{n}").into()).collect();
    let mut tickets = Vec::new();
    for name in &names {
        let operate = |action| {
            let operation = Operation { op: OpId::new(), actor: "bench".into(), reference: "r".into(), action };
            ledger.submit(Command::Operate(Box::new(operation)))
        };
        let wallet = || Arc::clone(name);
        tickets.push(operate(Action::OpenWallet(OpenWallet { wallet: wallet(), kind: WalletKind::Prepaid, credit_limit_nano: None })));
        let (amount_nano, payment_provider) = (1_000_000_000_000, "bench".into());
        tickets.push(operate(Action::TopUp(TopUp { wallet: wallet(), amount_nano, fee_nano: 0, payment_provider })));
    }
    for ticket in tickets {
        assert!(matches!(ticket.wait_blocking(), Ok(Reply::Done { .. })));
    }
    (database, Arc::new(ledger), Arc::new(names))
}

/// What the file and its log take on the disk.
fn size_bytes(database: &Database) -> u64 {
    let mut log = database.path().as_os_str().to_owned();
    log.push("-wal");
    [database.path(), Path::new(&log)].iter().filter_map(|path| std::fs::metadata(path).ok()).map(|m| m.len()).sum()
}

fn run(runtime: &Runtime, seconds: f64, callers: usize, wallets: usize, durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let (database, ledger, names) = filled(folder.path(), wallets, durability);
    let before = size_bytes(&database);
    let (stop, price) = (Arc::new(AtomicBool::new(false)), PinnedPrice::of(&sheet()));
    let cpu = cpu_seconds();
    let start = Instant::now();
    let mut latencies = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for n in 0..callers {
            let (ledger, stop, price, names) = (ledger.clone(), stop.clone(), price.clone(), names.clone());
            tasks.spawn(call(ledger, n * 7919, names, price, stop));
        }
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        stop.store(true, Ordering::Relaxed);
        tasks.join_all().await.concat()
    });
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    latencies.sort();
    let pairs = latencies.len();
    let at = |q: f64| latencies[((pairs as f64 * q) as usize).min(pairs - 1)].as_secs_f64() * 1e3;
    ledger.close();
    println!(
        "durability={} callers={callers} wallets={wallets} pairs_per_s={:.0} reserve_p50_ms={:.2} reserve_p99_ms={:.2} \
         cpu_us_per_pair={:.1} verified_events_per_s={:.0} bytes_per_pair={:.0}",
        format!("{durability:?}").to_lowercase(),
        pairs as f64 / elapsed,
        at(0.5),
        at(0.99),
        cpu * 1e6 / pairs as f64,
        verified_per_s(&ledger),
        size_bytes(&database).saturating_sub(before) as f64 / pairs as f64,
    );
}

/// The full proof, in events a second.
fn verified_per_s(ledger: &SqliteLedger) -> f64 {
    let began = Instant::now();
    let report = ledger.verify().unwrap();
    assert!(report.ok(), "{:?}", report.findings.first());
    report.events as f64 / began.elapsed().as_secs_f64()
}

/// The same work every time, so that its instructions can be counted: so many pairs, 512 at once, then the proof.
fn count(orders: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (_, ledger, names) = filled(folder.path(), 1000, Durability::Relaxed);
    let (price, sheet, node) = (PinnedPrice::of(&sheet()), sheet(), ledger.node());
    let all: Vec<usize> = (0..orders).collect();
    for some in all.chunks(512) {
        let ids: Vec<OrderId> = some.iter().map(|_| OrderId::new()).collect();
        let held = some.iter().zip(&ids).map(|(n, id)| ledger.submit(reserve(*id, &names[n % names.len()], node)));
        held.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait_blocking().unwrap()));
        let settled = ids.iter().map(|id| ledger.submit(settle(*id, &sheet, &price)));
        settled.collect::<Vec<_>>().into_iter().for_each(|ticket| drop(ticket.wait_blocking().unwrap()));
    }
    ledger.close();
    println!("pairs={orders} verified_events_per_s={:.0}", verified_per_s(&ledger));
}

/// A process that dies with `orders` open ones: it reserves them, says so, and waits to be killed.
fn reserve_and_wait(folder: &Path, orders: usize) {
    let (_, ledger, names) = filled(folder, 1000, Durability::Strict);
    let mut tickets = VecDeque::new();
    for n in 0..orders {
        tickets.push_back(ledger.submit(reserve(OrderId::new(), &names[n % names.len()], ledger.node())));
        // Far below what the ledger lets queue.
        if tickets.len() == 16_384 {
            assert!(matches!(tickets.pop_front().unwrap().wait_blocking(), Ok(Reply::Held { .. })));
        }
    }
    for ticket in tickets {
        assert!(matches!(ticket.wait_blocking(), Ok(Reply::Held { .. })));
    }
    println!("reserved");
    let _ = std::io::stdin().read(&mut [0]);
}

/// How long the next start takes when a process was killed with so many orders open: until all are settled.
fn recover(orders: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut dying = std::process::Command::new(std::env::current_exe().unwrap())
        .args([OsStr::new("reserve"), OsStr::new(&orders.to_string()), folder.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(dying.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "reserved\n");
    dying.kill().unwrap();
    dying.wait().unwrap();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let database = Database::open(&folder.path().join("gotoai.db")).unwrap();
    let (ledger, recovered) = SqliteLedger::open(&database, &Clock::system(), Durability::Strict, true).unwrap();
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(recovered, orders);
    ledger.close();
    let verified = verified_per_s(&ledger);
    println!("recovered_orders={recovered} seconds={elapsed:.2} cpu_seconds={cpu:.2} verified_events_per_s={verified:.0}");
}

/// CPU time of this process, user and system, from the kernel's clock ticks (100 a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.rsplit(") ").next().unwrap_or("").split(' ').filter_map(|field| field.parse().ok()).collect();
    fields.get(10..12).map_or(0.0, |ticks| (ticks[0] + ticks[1]) / 100.0)
}

fn durability(name: &str) -> Durability {
    match name {
        "strict" => Durability::Strict,
        "hybrid" => Durability::Hybrid,
        "relaxed" => Durability::Relaxed,
        other => panic!("strict, hybrid or relaxed, not '{other}'"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let argument = |n: usize, default: &str| arguments.get(n).cloned().unwrap_or_else(|| default.to_owned());
    let number = |n: usize, default: &str| argument(n, default).parse::<usize>().unwrap();
    match arguments.first().map(String::as_str) {
        Some("count") => return count(number(1, "20000")),
        Some("recover") => return recover(number(1, "100000")),
        Some("reserve") => return reserve_and_wait(Path::new(&argument(2, "")), number(1, "0")),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
    let seconds = argument(0, "4").parse().unwrap();
    for name in argument(3, "strict").split(',') {
        for wallets in argument(2, "1000").split(',') {
            for callers in argument(1, "1,64,512").split(',') {
                run(&runtime, seconds, callers.parse().unwrap(), wallets.parse().unwrap(), durability(name));
            }
        }
    }
}

//! Load for an OpenAI-shaped gateway over HTTP/1.1, on one thread; prints one JSON object. See `options.rs` for its arguments.
//!
//! Closed loop: so many connections, each with one request after the other. With `--rate` open loop: the schedule does not wait
//! for replies, and latency counts from the scheduled time, so that a stall shows in every request that it delays.

mod options;
mod pace;
mod process;
mod reply;
mod tally;

use options::Options;
use pace::Pace;
use process::Tree;
use reply::{Connection, Reply};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tally::Tally;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

type Failure = Box<dyn Error>;

/// What is still under way at the end is not counted, but let end.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// The time that counts: what came before is warm-up.
#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

fn main() -> Result<(), Failure> {
    let options = Rc::new(Options::parse(std::env::args().skip(1))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, run(options))?;
    print(&report)
}

fn print(report: &Value) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

async fn run(options: Rc<Options>) -> Result<Value, Failure> {
    let start = Instant::now() + Duration::from_millis(20);
    let from = start + options.warmup;
    let window = Window { from, to: from + options.duration };
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let pace = options.rate.map(|rate| Pace::begin(start, window.to, rate)).transpose()?.map(Rc::new);
    let mut workers = JoinSet::new();
    for _ in 0..options.connections {
        workers.spawn_local(work(Rc::clone(&options), Rc::clone(&tally), pace.clone(), window));
    }

    sleep_until(window.from).await;
    let before: Vec<Tree> = options.watched.iter().map(|(_, pid)| Tree::of(*pid)).collect();
    let began = Instant::now();
    sleep_until(window.to).await;
    let seconds = began.elapsed().as_secs_f64();
    let processes = options.watched.iter().zip(&before).map(|((name, pid), before)| (name.clone(), Tree::of(*pid).since(before)));
    let processes: Map<String, Value> = processes.collect();
    timeout(PATIENCE, async { while workers.join_next().await.is_some() {} }).await.ok();

    let mut report = tally.borrow().report(seconds);
    report["seconds"] = json!(seconds);
    report["processes"] = Value::Object(processes);
    Ok(report)
}

/// One connection's requests, one after the other, until the window closes.
async fn work(options: Rc<Options>, tally: Rc<RefCell<Tally>>, pace: Option<Rc<Pace>>, window: Window) {
    let mut connection: Option<Connection> = None;
    loop {
        let began = match &pace {
            Some(pace) => match pace.next().await {
                Some(due) => due,
                None => return,
            },
            None => Instant::now(),
        };
        if began >= window.to {
            return;
        }
        let answered = exchange(&options, &mut connection).await;
        let ended = Instant::now();
        // Closed loop: whatever ends in the window counts, or a slow gateway would lose what was under way when it opened.
        let counts = ended <= window.to && if pace.is_some() { began >= window.from } else { ended >= window.from };
        if counts {
            tally.borrow_mut().count(&options, &answered, began, ended);
        }
        if answered.is_err() {
            sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

/// One request on the connection that is there, or on a new one. A connection that failed or was ended is not kept.
async fn exchange(options: &Options, kept: &mut Option<Connection>) -> io::Result<Reply> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(&options.host).await?,
    };
    let reply = connection.exchange(&options.request, options.stream).await?;
    if !reply.ends_connection {
        *kept = Some(connection);
    }
    Ok(reply)
}

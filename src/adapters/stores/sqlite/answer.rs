//! Owns: bringing the answers of a commit to those who wait for them.
//! Refuses to know: what was asked, and when a commit may be answered (the writer).

use crate::base::Result;
use crate::domain::ledger::{Reply, Ticket};
use tokio::runtime::Handle;
use tokio::sync::oneshot::Sender;
use tokio::task;

/// Where one answer goes.
pub(super) struct Answer {
    waiting: Sender<Result<Reply>>,
    /// The runtime whose task waits for it.
    home: Option<Handle>,
}

/// An answer with what it says.
type Letter = (Answer, Result<Reply>);

impl Answer {
    /// For who asks now, with the ticket to wait on. Only a task is sure of a runtime that runs: a thread that has merely entered
    /// one may block it while it waits.
    pub(super) fn new() -> (Self, Ticket) {
        let (waiting, ticket) = Ticket::new();
        let home = task::try_id().and_then(|_| Handle::try_current().ok());
        (Self { waiting, home }, ticket)
    }

    pub(super) fn send(self, outcome: Result<Reply>) {
        let _ = self.waiting.send(outcome);
    }
}

/// Answers all of them. To wake a task from another thread is a system call, and may at once take the core from who does it: so
/// each runtime is woken once, by a task that answers the others from within.
pub(super) fn deliver(answers: impl Iterator<Item = Letter>) {
    let mut homes: Vec<(Handle, Vec<Letter>)> = Vec::new();
    for (mut answer, outcome) in answers {
        let Some(home) = answer.home.take() else {
            answer.send(outcome);
            continue;
        };
        match homes.iter_mut().find(|(known, _)| known.id() == home.id()) {
            Some((_, letters)) => letters.push((answer, outcome)),
            None => homes.push((home, vec![(answer, outcome)])),
        }
    }
    for (home, letters) in homes {
        drop(home.spawn(async move {
            for (answer, outcome) in letters {
                answer.send(outcome);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::JoinSet;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    fn done(seq: i64) -> Reply {
        Reply::Done { seq, duplicate: false }
    }

    #[test]
    fn tasks_of_every_runtime_and_plain_threads_get_their_own_answers() {
        let (ask, asked) = sync_channel(16);
        let caller = |first: i64| {
            let ask = ask.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let mut calls = JoinSet::new();
                    for seq in first..first + 4 {
                        let ask = ask.clone();
                        calls.spawn(async move {
                            let (answer, ticket) = Answer::new();
                            ask.send((answer, Ok(done(seq)))).unwrap();
                            assert_eq!(ticket.wait().await.unwrap(), done(seq));
                        });
                    }
                    assert_eq!(calls.join_all().await.len(), 4);
                });
            })
        };
        let callers = [caller(0), caller(10)];
        let (answer, ticket) = Answer::new();
        ask.send((answer, Ok(done(99)))).unwrap();
        deliver((0..9).map(|_| asked.recv().unwrap()).collect::<Vec<_>>().into_iter());
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(ticket.wait_blocking().unwrap(), done(99));
    }

    #[test]
    fn who_blocks_inside_a_runtime_that_does_not_run_is_answered() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let (answer, ticket) = Answer::new();
        deliver([(answer, Ok(done(1)))].into_iter());
        assert_eq!(ticket.wait_blocking().unwrap(), done(1));
    }

    #[test]
    fn an_answer_to_a_runtime_that_is_gone_is_refused_and_not_lost() {
        let runtime = runtime();
        let (answer, ticket) =
            runtime.block_on(async { JoinSet::from_iter([async { Answer::new() }]).join_next().await.unwrap().unwrap() });
        drop(runtime);
        deliver([(answer, Ok(done(1)))].into_iter());
        assert!(ticket.wait_blocking().is_err());
    }
}

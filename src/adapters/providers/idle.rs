//! Owns: a reply body that fails when it is silent for too long, and whose errors are provider faults.
//! Refuses to know: what the pieces hold.

use super::http::describe;
use crate::domain::provider::{FaultKind, ProviderFault};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Pieces usually arrive within milliseconds and the limit is minutes, so the timer must cost a piece nothing: there is
/// one for the whole body, made at the first wait, and it is not moved when a piece arrives. When it rings, it is set to
/// the end of the present silence, if that is still to come.
pub(super) struct IdleBody<B> {
    inner: B,
    idle_timeout: Duration,
    /// End of the present silence; `None` while pieces arrive.
    silent_until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl<B> IdleBody<B> {
    pub(super) fn new(inner: B, idle_timeout: Duration) -> Self {
        Self { inner, idle_timeout, silent_until: None, timer: None, is_over: false }
    }

    /// Ready when the silence has lasted too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.silent_until.get_or_insert_with(|| Instant::now() + self.idle_timeout);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<B> Body for IdleBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = ProviderFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ProviderFault>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let fault = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.silent_until = None;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => Some(ProviderFault::new(FaultKind::Broken, describe(&error))),
            Poll::Pending => match this.poll_silence(cx) {
                Poll::Ready(()) => Some(ProviderFault::new(FaultKind::Timeout, format!("silent for {:?}", this.idle_timeout))),
                Poll::Pending => return Poll::Pending,
            },
        };
        this.is_over = true;
        Poll::Ready(fault.map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the test's own tasks end with its runtime")]
    #![expect(clippy::type_complexity, reason = "a channel into a body is what it says")]
    #![expect(clippy::unnecessary_wraps, reason = "pieces are frames, and frames may fail")]

    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;
    use std::io;
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    const IDLE: Duration = Duration::from_secs(10);

    fn channel<E: std::error::Error + Send + 'static>()
    -> (mpsc::Sender<Result<Frame<Bytes>, E>>, IdleBody<impl Body<Data = Bytes, Error = E> + Unpin>) {
        let (sender, mut receiver) = mpsc::channel(8);
        (sender, IdleBody::new(StreamBody::new(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx))), IDLE))
    }

    fn piece<E>() -> Result<Frame<Bytes>, E> {
        Ok(Frame::data(Bytes::from_static(b"x")))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_at_the_limit_and_pieces_extend_it() {
        let (sender, mut body) = channel::<Infallible>();
        let start = Instant::now();
        let feeder = tokio::spawn(async move {
            for _ in 0..5 {
                sender.send(piece()).await.unwrap();
                sleep(IDLE * 9 / 10).await;
            }
            sender.closed().await;
        });
        for _ in 0..5 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        let last_piece = start.elapsed();
        let fault = body.frame().await.unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Timeout);
        let silence = start.elapsed().saturating_sub(last_piece);
        assert!(silence >= IDLE && silence < IDLE + Duration::from_millis(10), "{silence:?}");
        assert!(body.frame().await.is_none() && body.is_end_stream(), "over is over");
        drop(body);
        feeder.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_a_silent_provider() {
        let (sender, mut body) = channel::<Infallible>();
        sender.send(piece()).await.unwrap();
        body.frame().await.unwrap().unwrap();
        sender.send(piece()).await.unwrap();
        sleep(IDLE * 3).await;
        assert!(body.frame().await.unwrap().is_ok());
        drop(sender);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_error_is_a_broken_exchange() {
        let (sender, mut body) = channel::<io::Error>();
        sender.send(Err(io::Error::other("reset"))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap_err(), ProviderFault::new(FaultKind::Broken, "reset"));
        assert!(body.frame().await.is_none());
    }
}

//! The adapter against a real HTTP server on loopback.

#![expect(clippy::disallowed_methods, reason = "the test's own tasks end with its runtime")]

use super::*;
use futures_util::stream::poll_fn;
use http::Response;
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// The server's base URL, and how many connections it has accepted.
async fn serve<F, R>(handler: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let replying = handler(request);
                async move { Ok::<_, Infallible>(replying.await) }
            });
            tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
        }
    });
    (url, accepted)
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder().status(status).body(Full::new(body.into()).boxed()).unwrap()
}

fn provider(url: &str, keys: &[&str]) -> OpenAiCompatible {
    let config = ProviderConfig {
        name: "test".into(),
        family: Family::by_name("openai").unwrap(),
        base_url: url.into(),
        keys: keys.iter().map(|key| Secret::new(*key)).collect(),
        headers: vec![("x-team".into(), Secret::new("t1"))],
    };
    OpenAiCompatible::new(&config, HttpClient::new().unwrap()).unwrap()
}

fn call() -> ProviderCall {
    ProviderCall {
        operation: Operation::Chat,
        body: Bytes::from_static(b"{\"model\":\"m\"}"),
        request_id: "req-1".into(),
        head_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
    }
}

async fn text(reply: ProviderReply) -> String {
    String::from_utf8(reply.body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_call_arrives_as_it_should_and_connections_are_kept() {
    let (url, accepted) = serve(|request: Request<Incoming>| async move {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let headers = ["authorization", "content-type", "x-client-request-id", "x-team", "accept-encoding", "user-agent"].map(header);
        let seen = json!({ "line": format!("{} {}", request.method(), request.uri()), "headers": headers });
        let body = request.into_body().collect().await.unwrap().to_bytes();
        reply(200, format!("{seen}\n{}", String::from_utf8_lossy(&body)))
    })
    .await;
    let provider = provider(&url, &["k1"]);
    let first = provider.call(call()).await.unwrap();
    assert_eq!(first.status, 200);
    let want = format!(
        "{}\n{{\"model\":\"m\"}}",
        json!({
            "line": "POST /v1/chat/completions",
            "headers": ["Bearer k1", "application/json", "req-1", "t1", "identity", AGENT],
        })
    );
    assert_eq!(text(first).await, want);
    let embeddings = ProviderCall { operation: Operation::Embeddings, request_id: "bad\nid".into(), ..call() };
    let second = text(provider.call(embeddings).await.unwrap()).await;
    assert!(second.contains("POST /v1/embeddings") && second.contains("null"), "{second}");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_keys_no_authorization_is_sent() {
    let (url, _) =
        serve(|request: Request<Incoming>| async move { reply(200, request.headers().contains_key(AUTHORIZATION).to_string()) }).await;
    assert_eq!(text(provider(&url, &[]).call(call()).await.unwrap()).await, "false");
}

#[tokio::test]
async fn a_refused_key_rests_and_the_next_one_serves() {
    let (url, _) = serve(|request: Request<Incoming>| async move {
        match request.headers()[AUTHORIZATION].to_str().unwrap() {
            "Bearer bad" => reply(401, "{}"),
            "Bearer busy" => reply(429, "{}"),
            _ => reply(200, "{}"),
        }
    })
    .await;
    let three = provider(&url, &["bad", "busy", "good"]);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(three.call(call()).await.unwrap().status);
    }
    assert_eq!(statuses, [401, 429, 200, 200, 200, 200]);
    let none_left = provider(&url, &["bad", "busy"]);
    assert_eq!(none_left.call(call()).await.unwrap().status, 401);
    assert!(none_left.has_ready_credential());
    assert_eq!(none_left.call(call()).await.unwrap().status, 429);
    assert!(!none_left.has_ready_credential());
    assert_eq!(none_left.call(call()).await.err().unwrap().kind, FaultKind::NoCredential);
    let only = provider(&url, &["bad"]);
    for _ in 0..2 {
        assert_eq!(only.call(call()).await.unwrap().status, 401);
        assert!(!only.has_ready_credential());
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let fault = provider(&url, &["sk-live"]).call(call()).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Connect);
    assert!(!fault.may_have_billed() && !fault.detail.contains("sk-live"), "{fault}");
    assert!(fault.detail.contains("refused"), "{fault}");
}

/// Tells when it is dropped.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

/// A server that takes one request and never answers; what it tells: received, abandoned.
async fn silent() -> (String, mpsc::Receiver<()>, oneshot::Receiver<()>) {
    let (received, on_received) = mpsc::channel(1);
    let (gone, on_gone) = oneshot::channel();
    let gone = Arc::new(parking_lot::Mutex::new(Some(Gone(Some(gone)))));
    let (url, _) = serve(move |_request| {
        let (received, gone) = (received.clone(), gone.lock().take());
        async move {
            let _gone = gone;
            received.send(()).await.unwrap();
            std::future::pending().await
        }
    })
    .await;
    (url, on_received, on_gone)
}

#[tokio::test]
async fn no_head_in_time() {
    let (url, mut on_received, _on_gone) = silent().await;
    let calling = tokio::spawn(async move { provider(&url, &["k"]).call(call()).await.err().unwrap() });
    on_received.recv().await.unwrap();
    // From here on nothing can happen but the timeout, so the clock may jump to it.
    tokio::time::pause();
    let fault = calling.await.unwrap();
    assert_eq!((fault.kind, fault.may_have_billed()), (FaultKind::Timeout, true));
}

#[tokio::test]
async fn dropping_a_call_hangs_up() {
    let (url, mut on_received, on_gone) = silent().await;
    let calling = tokio::spawn(async move { provider(&url, &["k"]).call(call()).await.is_ok() });
    on_received.recv().await.unwrap();
    calling.abort();
    on_gone.await.unwrap();
}

/// A server whose reply's body is what is sent into the channel.
async fn streaming() -> (String, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel::<Bytes>(4);
    let receiver = Arc::new(parking_lot::Mutex::new(Some(receiver)));
    let (url, _) = serve(move |_request| {
        let receiver = receiver.lock().take();
        async move {
            let Some(mut receiver) = receiver else { return reply(500, "") };
            let pieces = poll_fn(move |cx| receiver.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, Infallible>(Frame::data(piece)))));
            Response::new(BodyExt::boxed(StreamBody::new(pieces)))
        }
    })
    .await;
    (url, sender)
}

#[tokio::test]
async fn a_stream_arrives_in_pieces_and_silence_ends_it() {
    let (url, sender) = streaming().await;
    let provider = provider(&url, &["k"]);
    sender.send(Bytes::from_static(b"data: 1\n\n")).await.unwrap();
    let mut reply = provider.call(call()).await.unwrap();
    assert_eq!(reply.body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    sender.send(Bytes::from_static(b"data: 2\n\n")).await.unwrap();
    assert_eq!(reply.body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 2\n\n");
    tokio::time::pause();
    assert_eq!(reply.body.frame().await.unwrap().unwrap_err().kind, FaultKind::Timeout);
}

#[tokio::test]
async fn dropping_a_body_hangs_up() {
    let (url, sender) = streaming().await;
    let provider = provider(&url, &["k"]);
    sender.send(Bytes::from_static(b"data: 1\n\n")).await.unwrap();
    let mut reply = provider.call(call()).await.unwrap();
    reply.body.frame().await.unwrap().unwrap();
    drop(reply);
    sender.closed().await;
}

#[tokio::test]
async fn a_cut_body_is_a_broken_exchange() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    });
    let mut reply = provider(&url, &["k"]).call(call()).await.unwrap();
    assert_eq!(reply.body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert_eq!(reply.body.frame().await.unwrap().unwrap_err().kind, FaultKind::Broken);
}

#[tokio::test]
async fn models_are_listed() {
    let (url, _) = serve(|request: Request<Incoming>| async move {
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer k");
        match request.uri().path() {
            "/v1/models" => reply(200, r#"{"object":"list","data":[{"id":"b"},{"id":"a"}]}"#),
            _ => reply(404, "{}"),
        }
    })
    .await;
    assert_eq!(provider(&url, &["k"]).list_models().await.unwrap(), ["b", "a"]);
    let fault = provider(&format!("{url}/x"), &["k"]).list_models().await.unwrap_err();
    assert!(fault.kind == FaultKind::Broken && fault.detail.contains("404"), "{fault}");
}

#[tokio::test]
async fn a_model_list_has_limits() {
    let (url, mut on_received, _on_gone) = silent().await;
    let listing = tokio::spawn(async move { provider(&url, &["k"]).list_models().await.unwrap_err() });
    on_received.recv().await.unwrap();
    tokio::time::pause();
    assert_eq!(listing.await.unwrap().kind, FaultKind::Timeout);
    tokio::time::resume();
    let (url, _) = serve(|_request| async { reply(200, vec![b' '; LIST_LIMIT_BYTES + 1]) }).await;
    assert!(provider(&url, &["k"]).list_models().await.unwrap_err().detail.contains("limit"));
}

#[test]
fn model_lists_in_all_their_shapes() {
    let ids = |list: Value| model_ids(&list);
    let want = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(ids(json!({"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"x": 1}, {"id": ""}]})), want);
    assert_eq!(ids(json!([{"id": "a"}, {"id": "b"}])), want);
    assert_eq!(ids(json!({"models": [{"name": "a"}, {"model": "b"}]})), want);
    assert_eq!(ids(json!({"data": ["a", "b"]})), want);
    assert_eq!(ids(json!({"data": null})), Some(vec![]));
    for bad in [json!({}), json!({"data": {}}), json!("a"), json!({"error": {"message": "no"}})] {
        assert_eq!(ids(bad), None);
    }
}

#[test]
fn what_cannot_be_sent_is_refused_without_showing_it() {
    let config = |base_url: &str, key: &str| ProviderConfig {
        name: "p".into(),
        family: Family::by_name("custom").unwrap(),
        base_url: base_url.into(),
        keys: vec![Secret::new(key)],
        headers: Vec::new(),
    };
    let client = HttpClient::new().unwrap();
    for config in [config("/v1", "k"), config("http://h h/v1", "k"), config("http://h/v1", "sk-live\n")] {
        let error = OpenAiCompatible::new(&config, client.clone()).unwrap_err();
        assert!(error.kind == ErrorKind::Configuration && !error.message.contains("sk-live"), "{error}");
    }
}

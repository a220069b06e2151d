//! The floor: what it costs at least to pass a request on with hyper. Knows no keys, no routes, no limits and no money.
//!
//! `bareproxy LISTEN UPSTREAM none` looks at no body. `bareproxy LISTEN UPSTREAM splice` does what any gateway must:
//! it reads the request's model, swaps it in the bytes, and reads the usage out of the reply.

mod exchange;
mod usage;

use bytes::Bytes;
use exchange::Exchange;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Failure>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, mode] = arguments.as_slice() else {
        return Err("usage: bareproxy LISTEN UPSTREAM none|splice".into());
    };
    let splices = match mode.as_str() {
        "none" => false,
        "splice" => true,
        other => return Err(format!("{other} is neither none nor splice").into()),
    };
    let exchange = Arc::new(Exchange::new(upstream)?);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(serve(connection, Arc::clone(&exchange), splices));
    }
}

/// One connection to its end; a client that leaves is no error.
async fn serve(connection: TcpStream, exchange: Arc<Exchange>, splices: bool) {
    if connection.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        async move {
            let answered = if splices { exchange.splice(request).await } else { exchange.pass(request).await };
            Ok::<_, Infallible>(answered.unwrap_or_else(|failure| bad_gateway(&failure)))
        }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await.ok();
}

fn bad_gateway(failure: &Failure) -> Response<Body> {
    let body = Full::new(Bytes::from(failure.to_string())).map_err(Failure::from).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

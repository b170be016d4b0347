//! HTTP on localhost.
//!
//! One thread, one runtime of its own, one listener; each request takes the lock once, and waits (latency,
//! slow, hang) outside it. Connections can be reset from inside, because a fault has to look real to a
//! client. It refuses nothing: what to say is decided by `State`.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State as Extracted, connect_info::Connected},
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    serve::{IncomingStream, Listener},
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    answer::{Answer, Delivery},
    call::{Call, parse_query},
    state::State,
};

/// The state behind its lock. A panicking test must not take the simulator with it.
#[derive(Debug)]
pub struct Shared(Mutex<State>);

impl Shared {
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self(Mutex::new(state)))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serve until `stop` fires or its sender is gone. Open connections are dropped, hanging ones too.
pub async fn run(listener: TcpListener, shared: Arc<Shared>, stop: oneshot::Receiver<()>) {
    let router = Router::new().fallback(handle).with_state(shared);
    let service = router.into_make_service_with_connect_info::<Connection>();
    let serving = axum::serve(Local(listener), service);
    tokio::select! {
        _ = serving.into_future() => {}
        _ = stop => {}
    }
}

/// Lowers `in_flight` also when the client went away.
struct InFlight {
    shared: Arc<Shared>,
    token: Option<usize>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.shared.lock().finish(token);
        }
    }
}

const LARGEST_BODY: usize = 16 * 1024 * 1024;

async fn handle(
    Extracted(shared): Extracted<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let raw_query = head.uri.query().unwrap_or_default().to_owned();
    let call = Call {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: parse_query(&raw_query),
        raw_query,
        host: header(header::HOST).unwrap_or("localhost").to_owned(),
        bearer: header(header::AUTHORIZATION)
            .and_then(|text| text.strip_prefix("Bearer "))
            .map(str::to_owned),
        body: axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default(),
    };
    let (answer, token) = shared.lock().answer(&call);
    let _in_flight = InFlight {
        shared: Arc::clone(&shared),
        token,
    };
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    Ok(deliver(answer, &connection).await)
}

async fn deliver(answer: Answer, connection: &Connection) -> Response<Body> {
    let length = answer.body.len();
    let (body, promised) = match answer.delivery {
        Delivery::Whole => (Body::from(answer.body), None),
        Delivery::Chunked => (pieces(answer.body, 64, Duration::ZERO, None), None),
        Delivery::Trickle {
            pieces: number,
            pause,
        } => (pieces(answer.body, number, pause, None), Some(length)),
        Delivery::Cut { after } => {
            let sent = answer.body.slice(..after.min(length));
            (
                pieces(sent, 1, Duration::ZERO, Some(connection.clone())),
                Some(length),
            )
        }
        Delivery::Pieces(made) => {
            let steps = stream::iter((0..).map_while(move |number| made.piece(number)));
            (Body::from_stream(steps.map(Ok::<_, Infallible>)), None)
        }
        Delivery::Never => std::future::pending().await,
        Delivery::Reset => {
            connection.reset();
            (Body::empty(), None)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(promised) = promised {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(promised));
    }
    response
}

/// A body in pieces; with `cut` the connection is reset after the last one.
fn pieces(body: Bytes, number: usize, pause: Duration, cut: Option<Connection>) -> Body {
    let size = body.len().div_ceil(number.max(1)).max(1);
    let steps = stream::unfold((body, cut, true), move |(mut rest, cut, first)| async move {
        if !first && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if !rest.is_empty() {
            let piece = rest.split_to(size.min(rest.len()));
            return Some((Ok(piece), (rest, cut, false)));
        }
        let connection = cut?;
        // What was sent has to reach the client before the reset does.
        tokio::time::sleep(Duration::from_millis(20)).await;
        connection.reset();
        Some((
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            (rest, None, false),
        ))
    });
    Body::from_stream(steps)
}

/// A handle on the connection a request came in on.
#[derive(Clone, Debug)]
struct Connection(Arc<AtomicBool>);

impl Connection {
    fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Local>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Local>) -> Self {
        Self(Arc::clone(&stream.io().reset))
    }
}

struct Local(TcpListener);

impl Listener for Local {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((tcp, from)) => {
                    // Many small answers: waiting for acknowledgements would add 40 ms to each.
                    let _ = tcp.set_nodelay(true);
                    return (
                        Wire {
                            tcp,
                            reset: Arc::new(AtomicBool::new(false)),
                        },
                        from,
                    );
                }
                // Out of file descriptors, most likely: others will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A TCP connection that can be told to end in a reset instead of its next byte.
struct Wire {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Wire {
    fn refuse(&self) -> io::Result<()> {
        if self.reset.load(Ordering::Relaxed) {
            // No lingering: the peer sees a reset, not an orderly end.
            self.tcp.set_zero_linger()?;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.refuse()?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.refuse()?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

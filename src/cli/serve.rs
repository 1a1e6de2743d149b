//! `serve`: starts everything, serves until a signal, and stops in order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use axum_server::Handle;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::fail;
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::http::{connection, metrics_routes, router, routes};
use crate::lifecycle::{Lifecycle, Signals};
use crate::telemetry::banner;

/// Part of the time for a stop that is kept for the queue and the store.
const FLUSH_SHARE: u32 = 3;

/// What is left of the time for a stop when the process ends, to be sure that it does so in time.
const STOP_MARGIN: Duration = Duration::from_millis(300);

/// How long no request may be in flight before connections that have none are cut: the head of one may be on its way.
const SETTLE: Duration = Duration::from_millis(500);

/// Connections that may wait to be taken.
const BACKLOG: u32 = 1_024;

/// A socket that has its port, and takes no connection yet.
struct Bound {
    socket: TcpSocket,
    address: SocketAddr,
    /// The setting that names the port.
    setting: &'static str,
}

pub(super) async fn run(config: Config) -> ExitCode {
    start_and_serve(config).await.unwrap_or_else(fail)
}

async fn start_and_serve(config: Config) -> Result<ExitCode, String> {
    // Before anything that takes time: as the first process of a container, it would not hear a signal otherwise.
    let mut signals = Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    // Connections are bounded by a setting, not by a low default of the shell; where the system refuses, it stays.
    drop(rlimit::increase_nofile_limit(u64::from(config.max_connections.get()) * 2 + 256));
    let metrics =
        config.prometheus_port.map(|port| Bound::new(&config, "PROMETHEUS_PORT", port)).transpose()?;
    let main = Bound::new(&config, "SERVICE_PORT", config.service_port)?;
    let lifecycle = Lifecycle::default();
    let started = tokio::select! {
        started = start(config, &lifecycle) => started,
        // Nothing was promised to anybody yet.
        () = signals.next() => {
            lifecycle.begin_stop();
            return Ok(ExitCode::SUCCESS);
        }
    };
    let app = started.inspect_err(|_problem| lifecycle.begin_stop())?;
    // Who connected before would have to wait for an answer.
    let (main, metrics) = (main.listen()?, metrics.map(Bound::listen).transpose()?);
    let port = main.local_addr().map_or(app.config.service_port, |address| address.port());
    println!("{}", banner(&app.config, app.store.place(), port));
    Ok(serve(&app, main, metrics, &lifecycle, &mut signals).await)
}

impl Bound {
    fn new(config: &Config, setting: &'static str, port: u16) -> Result<Self, String> {
        let address = SocketAddr::new(config.host(), port);
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Otherwise the port would stay taken for a while after a restart. On Windows it means something else.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bind().map_err(|error| cannot_listen(address, setting, &error))?;
        Ok(Self { socket, address, setting })
    }

    fn listen(self) -> Result<TcpListener, String> {
        let listener = self.socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
        listener.map_err(|error| cannot_listen(self.address, self.setting, &error))
    }
}

fn cannot_listen(address: SocketAddr, setting: &str, error: &io::Error) -> String {
    format!("cannot listen on {address}: {error}; set {setting} to a free port")
}

async fn start(config: Config, lifecycle: &Lifecycle) -> Result<App, String> {
    warn_of_open_persons(&config);
    let app = App::start(config, Clock::system(), lifecycle).await?;
    app.start_tasks(lifecycle);
    Ok(app)
}

/// Says what keeps persons from being as safe as they could be.
fn warn_of_open_persons(config: &Config) {
    const MAKE_ONE: &str = "make one with: openssl rand -hex 32";
    match (&config.privacy_hash_key, config.environment) {
        (Some(_), _) => {}
        (None, Environment::Production) => {
            tracing::warn!("PRIVACY_HASH_KEY is not set: privacy routes that need it answer 503; {MAKE_ONE}");
        }
        (None, _) => tracing::warn!(
            "PRIVACY_HASH_KEY is not set: persons are hashed under a key that everybody knows; {MAKE_ONE}"
        ),
    }
    if config.allow_unauthenticated_privacy && !config.authenticates() {
        tracing::warn!(
            "ALLOW_UNAUTHENTICATED_PRIVACY is set: whoever reaches the service can see and erase persons' data"
        );
    }
}

async fn serve(
    app: &App,
    main: TcpListener,
    metrics: Option<TcpListener>,
    lifecycle: &Lifecycle,
    signals: &mut Signals,
) -> ExitCode {
    let max = app.config.max_connections.get() as usize;
    let handles = [Handle::new(), Handle::new()];
    let main = connection::serve(main, router(app, routes::table(app)), max, handles[0].clone());
    let metrics = async {
        let Some(listener) = metrics else { return Ok(()) };
        connection::serve(listener, router(app, metrics_routes(app)), max, handles[1].clone()).await
    };
    let mut servers = pin!(async { tokio::try_join!(main, metrics) });
    tokio::select! {
        served = &mut servers => {
            return fail(format!("cannot serve: {}", served.err().unwrap_or_else(|| io::Error::other("closed"))));
        }
        () = signals.next() => tracing::info!("stopping; a second signal exits at once"),
        () = lifecycle.stopping().cancelled() => {}
    }
    let limit = Duration::from_secs(app.config.shutdown_seconds.get().into()).saturating_sub(STOP_MARGIN);
    let orderly = async {
        let cut = cut_when_idle(app, &handles, limit.saturating_sub(limit / FLUSH_SHARE));
        drop(tokio::join!(servers, cut));
        lifecycle.end().await;
    };
    lifecycle.begin_stop();
    tokio::select! {
        () = signals.next() => return fail("stopped by a second signal"),
        _ = timeout(limit, orderly) => {}
    }
    if lifecycle.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Stops accepting, lets what is in flight finish within `limit`, and cuts what is open then.
async fn cut_when_idle(app: &App, handles: &[Handle<SocketAddr>], limit: Duration) {
    for handle in handles {
        handle.graceful_shutdown(Some(limit));
    }
    drop(timeout(limit, none_in_flight(app)).await);
    handles.iter().for_each(Handle::shutdown);
}

/// Returns when no request was in flight for a while.
async fn none_in_flight(app: &App) {
    const STEP: Duration = Duration::from_millis(25);
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < SETTLE {
        sleep(STEP).await;
        if !app.answering.is_empty() {
            quiet_since = Instant::now();
        }
    }
}

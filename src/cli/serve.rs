//! `serve`: starts the service, serves until a stop signal, and shuts down in order.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use axum_server::Handle;
use futures_util::future::try_join_all;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::{fail, output};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::http::{connection, metrics_routes, router, routes};
use crate::lifecycle::{Lifecycle, Signals};
use crate::telemetry::banner;

/// The share of the shutdown time reserved for the queue and the store: one in this many.
const DRAIN_SHARE: u32 = 3;

/// The reserve at the end of the shutdown time, so that the process exits in time.
const EXIT_MARGIN: Duration = Duration::from_millis(300);

/// How long no request must be in flight before idle connections are closed: a request may be arriving.
const IDLE_TIME: Duration = Duration::from_millis(500);

/// The maximum number of connections waiting to be accepted.
const BACKLOG: u32 = 1_024;

/// A socket that is bound to its port and does not accept connections yet.
struct Bound {
    socket: TcpSocket,
    address: SocketAddr,
    /// The setting of the port.
    setting: &'static str,
}

pub(super) async fn run(config: Config) -> ExitCode {
    start_and_serve(config).await.unwrap_or_else(fail)
}

async fn start_and_serve(config: Config) -> Result<ExitCode, String> {
    // First of all: as PID 1 of a container, the process ignores signals until their handlers are installed.
    let mut signals = Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    // Connections are limited by a setting, not by a low default of the shell. If the system refuses, its
    // limit stays.
    drop(rlimit::increase_nofile_limit(u64::from(config.max_connections.get()) * 2 + 256));
    let metrics =
        config.prometheus_port.map(|port| Bound::new(&config, "PROMETHEUS_PORT", port)).transpose()?;
    let main = Bound::new(&config, "SERVICE_PORT", config.service_port)?;
    let lifecycle = Lifecycle::default();
    let started = tokio::select! {
        started = start(config, &lifecycle) => started,
        // No request has been accepted yet.
        () = signals.next() => {
            lifecycle.begin_stop();
            return Ok(ExitCode::SUCCESS);
        }
    };
    let app = started.inspect_err(|_problem| lifecycle.begin_stop())?;
    // Listening starts only here, because earlier connections would have to wait.
    let main = main.listen_with_ipv6(&app.config)?;
    let metrics = metrics.map_or(Ok(Vec::new()), |bound| bound.listen_with_ipv6(&app.config))?;
    let port = main[0].local_addr().map_or(app.config.service_port, |address| address.port());
    if let Err(error) = output::print(banner(&app.config, app.store.place(), port)) {
        tracing::warn!("cannot write the banner to standard output: {error}");
    }
    Ok(serve(&app, main, metrics, &lifecycle, &mut signals).await)
}

impl Bound {
    fn new(config: &Config, setting: &'static str, port: u16) -> Result<Self, String> {
        Self::to(SocketAddr::new(config.host(), port), setting)
    }

    fn to(address: SocketAddr, setting: &'static str) -> Result<Self, String> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Otherwise the port would stay in use for a while after a restart. On Windows, the option has
            // another meaning.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bind().map_err(|error| cannot_listen(address, setting, &error))?;
        Ok(Self { socket, address, setting })
    }

    /// Listens, and without a key also on `::1`, which `localhost` may stand for; not every machine has it.
    fn listen_with_ipv6(self, config: &Config) -> Result<Vec<TcpListener>, String> {
        let setting = self.setting;
        let mut listeners = vec![self.listen()?];
        if config.service_host.is_none() && config.host().is_loopback() {
            let port = listeners[0].local_addr().map_or(0, |address| address.port());
            let beside = Self::to((Ipv6Addr::LOCALHOST, port).into(), setting);
            listeners.extend(beside.and_then(Self::listen));
        }
        Ok(listeners)
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
    warn_of_privacy_settings(&config);
    let app = App::start(config, Clock::system(), lifecycle).await?;
    app.start_tasks(lifecycle);
    Ok(app)
}

/// Warns of settings that protect personal data less than they could.
fn warn_of_privacy_settings(config: &Config) {
    const MAKE_ONE: &str = "make one with: openssl rand -hex 32";
    match (&config.privacy_hash_key, config.environment) {
        (Some(_), _) => {}
        (None, Environment::Production) => {
            tracing::warn!("PRIVACY_HASH_KEY is not set: privacy routes that need it return 503; {MAKE_ONE}");
        }
        (None, _) => tracing::warn!(
            "PRIVACY_HASH_KEY is not set: personal identifiers are hashed with a publicly known key; {MAKE_ONE}"
        ),
    }
    if config.environment == Environment::Production {
        warn_of_missing_information(config);
    }
    if config.allow_unauthenticated_privacy && !config.authenticates() {
        tracing::warn!(
            "ALLOW_UNAUTHENTICATED_PRIVACY is set: anyone who can reach the service can read and erase personal data"
        );
    }
}

/// Warns of what the notice and exports must state (Art. 13 (1) (a), 15 (1) GDPR) and no setting has.
fn warn_of_missing_information(config: &Config) {
    if config.controller_name.is_none() {
        tracing::warn!(
            "CONTROLLER_NAME is not set: the privacy notice and exports do not say who is responsible; set it to the name \
             of the business, and CONTROLLER_ADDRESS to its address"
        );
    }
    if config.privacy_contact.is_none() {
        tracing::warn!(
            "PRIVACY_CONTACT is not set: the privacy notice and exports do not say whom to ask; set it to an address that \
             someone monitors"
        );
    }
}

async fn serve(
    app: &App,
    main: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
    lifecycle: &Lifecycle,
    signals: &mut Signals,
) -> ExitCode {
    let limits = connection::Limits::new(&app.config);
    let environment = app.config.environment;
    let main = main.into_iter().map(|listener| (listener, router(app, routes::table())));
    let metrics = metrics.into_iter().map(|listener| (listener, router(app, metrics_routes())));
    let (handles, servers): (Vec<_>, Vec<_>) = main
        .chain(metrics)
        .map(|(listener, router)| {
            let handle = Handle::new();
            (handle.clone(), connection::serve(listener, router, limits.clone(), environment, handle))
        })
        .unzip();
    let mut servers = pin!(try_join_all(servers));
    tokio::select! {
        served = &mut servers => {
            return fail(format!("cannot serve: {}", served.err().unwrap_or_else(|| io::Error::other("closed"))));
        }
        () = signals.next() => tracing::info!("shutting down; a second signal exits immediately"),
        () = lifecycle.stopping().cancelled() => {}
    }
    let limit = Duration::from_secs(app.config.shutdown_seconds.get().into()).saturating_sub(EXIT_MARGIN);
    let orderly = async {
        let close = close_when_idle(app, &handles, limit.saturating_sub(limit / DRAIN_SHARE));
        drop(tokio::join!(servers, close));
        lifecycle.end().await;
    };
    lifecycle.begin_stop();
    tokio::select! {
        () = signals.next() => return fail("exiting on the second signal"),
        _ = timeout(limit, orderly) => {}
    }
    if lifecycle.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Stops accepting connections, lets requests in flight finish within `limit`, and closes what is still open.
async fn close_when_idle(app: &App, handles: &[Handle<SocketAddr>], limit: Duration) {
    for handle in handles {
        handle.graceful_shutdown(Some(limit));
    }
    drop(timeout(limit, none_in_flight(app)).await);
    handles.iter().for_each(Handle::shutdown);
}

/// Returns when no request has been in flight for [`IDLE_TIME`].
async fn none_in_flight(app: &App) {
    const STEP: Duration = Duration::from_millis(25);
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < IDLE_TIME {
        sleep(STEP).await;
        if !app.answering.is_empty() {
            quiet_since = Instant::now();
        }
    }
}

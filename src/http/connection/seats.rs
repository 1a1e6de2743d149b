//! Who may be connected. A client address has a share of the seats, so that one alone cannot shut out all others; when no seat is
//! free, an idle connection of the greediest client is closed. A few more seats are kept for probes and for callers with a valid
//! key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::Limits;
use super::state::Connection;
use crate::auth::{Caller, ClientIp};

/// The seats kept for probes and for callers with a valid key, per ordinary seat, and the bounds of their number.
const RESERVED_SHARE: usize = 16;
const RESERVED: (usize, usize) = (4, 64);

/// How long a connection must have been idle before it may be closed for another, in milliseconds.
const IDLE_MS: Idle = Idle { own: 1_000, others: 1_000 };

/// The same on a reserved seat, where it must show soon whose it is, and at once if its client has more of them than the other.
const RESERVED_IDLE_MS: Idle = Idle { own: 200, others: 0 };

/// How long a connection must have been idle before it may be closed for another of its own client, and for one of another client.
#[derive(Debug, Clone, Copy)]
struct Idle {
    own: u64,
    others: u64,
}

/// The share of the reserved seats that one client may have.
const RESERVED_PER_CLIENT: usize = 4;

/// The seats of a listener.
#[derive(Debug)]
pub(super) struct Seats {
    limits: Limits,
    opened: Instant,
    rooms: Mutex<Rooms>,
}

#[derive(Debug)]
struct Rooms {
    /// The number of connections that were accepted.
    last: u64,
    ordinary: Room,
    reserved: Room,
}

/// Seats, and the connections that have one, by client and in the order in which they were accepted.
#[derive(Debug)]
struct Room {
    max: usize,
    max_per_client: usize,
    idle_ms: Idle,
    open: usize,
    clients: HashMap<IpAddr, BTreeMap<u64, Connection>>,
}

/// The seat of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) connection: Connection,
    client: IpAddr,
    number: u64,
    seats: Arc<Seats>,
}

impl Seats {
    pub(super) fn new(limits: Limits) -> Self {
        let reserved = (limits.max_connections / RESERVED_SHARE).clamp(RESERVED.0, RESERVED.1);
        let rooms = Rooms {
            last: 0,
            ordinary: Room::new(limits.max_connections, limits.max_per_client, IDLE_MS),
            reserved: Room::new(reserved, reserved / RESERVED_PER_CLIENT, RESERVED_IDLE_MS),
        };
        Self { limits, opened: Instant::now(), rooms: Mutex::new(rooms) }
    }

    /// Takes a seat for a connection from `peer`; `None` if there is none.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Seat> {
        self.take_at(peer, self.now_ms())
    }

    fn take_at(self: &Arc<Self>, peer: SocketAddr, now_ms: u64) -> Option<Seat> {
        let ip = ClientIp(peer.ip().to_canonical());
        let is_proxy = |client| self.limits.proxies.trusts(client);
        let client = if is_proxy(ip.0) { ip.0 } else { Caller::network(ip) };
        let mut rooms = self.rooms.lock();
        let is_reserved = !rooms.ordinary.has_seat(client, now_ms, is_proxy);
        if is_reserved && !rooms.reserved.has_seat(client, now_ms, is_proxy) {
            return None;
        }
        rooms.last += 1;
        let (number, connection) = (rooms.last, Connection::new(peer, is_reserved));
        connection.record_activity(now_ms);
        rooms.room(is_reserved).add(client, number, connection.clone());
        Some(Seat { connection, client, number, seats: self.clone() })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Rooms {
    fn room(&mut self, is_reserved: bool) -> &mut Room {
        if is_reserved { &mut self.reserved } else { &mut self.ordinary }
    }
}

impl Room {
    fn new(max: usize, max_per_client: usize, idle_ms: Idle) -> Self {
        Self { max, max_per_client, idle_ms, open: 0, clients: HashMap::new() }
    }

    /// Returns whether there is a seat for another connection of `client`, for which an idle one may be closed: one of its own,
    /// or of the greediest client that has more than it. Proxies have no share, and keep theirs.
    fn has_seat(&mut self, client: IpAddr, now_ms: u64, is_proxy: impl Fn(IpAddr) -> bool) -> bool {
        let own = self.clients.get(&client).map_or(0, BTreeMap::len);
        if !is_proxy(client) && own >= self.max_per_client {
            return self.close_idle(client, now_ms, self.idle_ms.own);
        }
        if self.open < self.max {
            return true;
        }
        let mut greedier: Vec<(usize, IpAddr)> = self
            .clients
            .iter()
            .map(|(other, connections)| (connections.len(), *other))
            .filter(|(number, other)| *number > own.max(1) && !is_proxy(*other))
            .collect();
        greedier.sort_by_key(|(number, _)| Reverse(*number));
        greedier.into_iter().any(|(_, other)| self.close_idle(other, now_ms, self.idle_ms.others))
    }

    /// Closes a connection of `client` on which no request has been answered for `idle_ms`. One without a valid key goes first, then the one that
    /// has been idle for longest. Returns whether there was one.
    fn close_idle(&mut self, client: IpAddr, now_ms: u64, idle_ms: u64) -> bool {
        let idle = self
            .clients
            .get(&client)
            .into_iter()
            .flatten()
            .filter(|(_, connection)| connection.answered().is_some())
            .filter(|(_, connection)| connection.active_ms() + idle_ms <= now_ms)
            .min_by_key(|(_, connection)| (connection.has_key(), connection.active_ms()))
            .map(|(number, connection)| (*number, connection.clone()));
        let Some((number, connection)) = idle else { return false };
        connection.close();
        self.remove(client, number);
        true
    }

    fn add(&mut self, client: IpAddr, number: u64, connection: Connection) {
        self.open += 1;
        self.clients.entry(client).or_default().insert(number, connection);
    }

    /// Removes a connection, unless that has been done before.
    fn remove(&mut self, client: IpAddr, number: u64) {
        let Some(connections) = self.clients.get_mut(&client) else { return };
        if connections.remove(&number).is_some() {
            self.open -= 1;
        }
        if connections.is_empty() {
            self.clients.remove(&client);
        }
    }
}

impl Seat {
    /// Records that the client is active.
    pub(super) fn record_activity(&self) {
        self.connection.record_activity(self.seats.now_ms());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.seats.rooms.lock();
        rooms.room(self.connection.is_reserved()).remove(self.client, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::time::Duration;

    use super::*;
    use crate::auth::Proxies;
    use crate::config::Setting;

    /// Returns seats for 8 connections, 3 for each client but the proxy 10.0.0.1.
    fn seats() -> Arc<Seats> {
        Arc::new(Seats::new(Limits {
            max_connections: 8,
            max_per_client: 3,
            keep_alive: Duration::from_secs(1),
            proxies: Proxies::new(Vec::read("10.0.0.1").unwrap()),
        }))
    }

    /// Takes a seat; those taken before have been idle for long enough.
    fn take(seats: &Arc<Seats>, ip: &str) -> Option<Seat> {
        let now_ms = (seats.rooms.lock().last + 1) * IDLE_MS.own;
        seats.take_at(SocketAddr::new(ip.parse().unwrap(), 1), now_ms)
    }

    fn is_closed(seat: &Seat) -> bool {
        let waker = futures_util::task::noop_waker();
        seat.connection.poll_closing(&Context::from_waker(&waker))
    }

    /// Makes a request be answered on the connection.
    fn make_busy(seat: &Seat) {
        std::mem::forget(seat.connection.begin(&axum::http::Request::new(())));
    }

    #[test]
    fn a_client_with_its_share_gives_up_its_own_idle_connection() {
        let seats = seats();
        let own: Vec<Seat> = (0..3).map(|_| take(&seats, "192.0.2.1").unwrap()).collect();
        own[0].connection.record_key();
        let more = take(&seats, "192.0.2.1").unwrap();
        assert!(!more.connection.is_reserved());
        assert_eq!(
            own.iter().map(is_closed).collect::<Vec<_>>(),
            [false, true, false],
            "without a key first"
        );
        for seat in [&own[0], &own[2], &more] {
            make_busy(seat);
        }
        let kept = take(&seats, "192.0.2.1").expect("a reserved seat");
        assert!(kept.connection.is_reserved());
        make_busy(&kept);
        assert!(take(&seats, "192.0.2.1").is_none(), "it has its share of the reserved seats");
        assert!(take(&seats, "192.0.2.2").is_some());
    }

    #[test]
    fn a_connection_that_was_active_just_now_is_kept() {
        let seats = seats();
        let own: Vec<Seat> = (0..3).map(|_| take(&seats, "192.0.2.1").unwrap()).collect();
        for seat in &own {
            seat.connection.record_activity(10_000);
        }
        let at = |now_ms| seats.take_at(SocketAddr::new("192.0.2.1".parse().unwrap(), 1), now_ms);
        let kept = at(10_500).unwrap();
        assert!(kept.connection.is_reserved());
        assert!(at(10_699).is_none() && !is_closed(&kept), "it may still show whose it is");
        assert!(at(10_700).unwrap().connection.is_reserved() && is_closed(&kept));
        assert!(!at(11_000).unwrap().connection.is_reserved());
    }

    #[test]
    fn when_no_seat_is_free_the_greediest_client_gives_up_an_idle_connection() {
        let seats = seats();
        let full: Vec<Seat> = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .into_iter()
            .flat_map(|ip| [ip; 3])
            .take(8)
            .map(|ip| take(&seats, ip).unwrap())
            .collect();
        make_busy(&full[0]);
        make_busy(&full[1]);
        make_busy(&full[2]);
        let newcomer = take(&seats, "192.0.2.4").unwrap();
        assert!(!newcomer.connection.is_reserved());
        assert_eq!(full.iter().position(is_closed), Some(3), "the idle one of those with most");
        full[3..].iter().for_each(make_busy);
        assert!(take(&seats, "192.0.2.5").unwrap().connection.is_reserved(), "all others are busy");
    }

    #[test]
    fn a_trusted_proxy_has_no_share() {
        let seats = seats();
        let through: Vec<Seat> = (0..8).map(|_| take(&seats, "10.0.0.1").unwrap()).collect();
        assert!(through.iter().all(|seat| !seat.connection.is_reserved() && !is_closed(seat)));
        assert!(take(&seats, "192.0.2.1").unwrap().connection.is_reserved(), "its connections are kept");
        drop(through);
        assert!(!take(&seats, "192.0.2.1").unwrap().connection.is_reserved());
    }
}

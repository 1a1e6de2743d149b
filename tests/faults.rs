//! What goes wrong around the service, with real processes and sockets.

mod connections;
mod crash;
mod database_away;
mod durable;
mod foreign_key;
mod load;
mod redis;
mod stop;
mod tls;

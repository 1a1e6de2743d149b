//! What goes wrong around the service, with real processes and sockets.

mod book;
mod calls;
mod connections;
mod consent;
mod crash;
mod crowd;
mod database_away;
mod durable;
mod erasure;
mod foreign_key;
mod full_disk;
mod liar;
mod load;
mod network;
mod overload;
mod power_cut;
mod redis;
mod replicas;
mod spool;
mod spool_damage;
mod stop;
mod tls;
mod turns;

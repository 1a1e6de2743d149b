//! What goes wrong around the service, with real processes and sockets.

mod connections;
mod consent;
mod crash;
mod database_away;
mod durable;
mod erasure;
mod fairness;
mod faulty_proxy;
mod foreign_key;
mod full_disk;
mod hostile_clients;
mod ledger;
mod load;
mod network;
mod overload;
mod power_cut;
mod redis;
mod replicas;
mod requests;
mod spool;
mod spool_damage;
mod stop;
mod tls;

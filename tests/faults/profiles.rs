//! Profiles of businesses, when the database is away.

use chrono::{Days, Timelike};
use mlops_service::audit::Actor;
use mlops_service::business::ProfileChange;

use super::requests::track;
use crate::harness::{Link, Service, TcpProxy, eventually, real_now};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spooled_before_the_profiles_were_read_is_counted_by_them() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let (now, today) = (real_now(), real_now().date_naive());
    // A zone in which it is not the day that it is in UTC.
    let (zone, day) = match now.hour() < 12 {
        true => ("Etc/GMT+12", today - Days::new(1)),
        false => ("Pacific/Kiritimati", today + Days::new(1)),
    };
    let (store, mut change) = (backend.store(&[]).await, ProfileChange::default());
    change.set_time_zone(zone).unwrap();
    store.set_profile("acme", &change, now, &Actor::service()).await.unwrap();
    proxy.set(Link::Down);
    let service = Service::start(&proxy.view(&backend), &[]);
    assert_eq!(track(&service).await.0, 202, "it is spooled");
    proxy.set(Link::Up);
    let counted = "select coalesce(sum(events), 0) from ai_rollup_daily_now";
    eventually("it is counted", async || backend.number(counted).await == 1).await;
    assert_eq!(backend.number(&format!("{counted} where day = '{day}'")).await, 1, "{zone}");
}

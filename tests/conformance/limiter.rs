//! The limiter: the fixed window that opens with a caller's first request and closes as a whole.

use mlops_service::config::{RedisUrl, Setting};
use mlops_service::metrics::Metrics;
use mlops_service::quota::memory::Limiter;
use mlops_service::quota::{Decision, Quota, shared};

use crate::harness::Redis;

/// A limiter of either kind.
trait Counter: Sync {
    /// Counts a request of a caller at a time.
    fn hit(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision;
    /// Tells whether one would pass.
    fn peek(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision;
}

impl Counter for Limiter<u32> {
    fn hit(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision {
        Self::hit(self, caller, quota, now_ms)
    }

    fn peek(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision {
        Self::peek(self, caller, quota, now_ms)
    }
}

/// A limiter on the Redis of the tests, for the callers of one case.
struct OnRedis {
    runtime: tokio::runtime::Runtime,
    limiter: shared::Limiter,
    case: &'static str,
}

impl OnRedis {
    fn new(case: &'static str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let url = RedisUrl::read(&Redis::shared().url()).unwrap();
        let limiter = shared::Limiter::open(&url, Metrics::new().0.redis()).unwrap();
        runtime.block_on(limiter.connect());
        Self { runtime, limiter, case }
    }
}

impl Counter for OnRedis {
    fn hit(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision {
        let name = format!("{}:{caller}", self.case);
        self.runtime.block_on(self.limiter.hit(&name, quota, now_ms)).expect("Redis answers")
    }

    fn peek(&self, caller: u32, quota: &Quota, now_ms: i64) -> Decision {
        let name = format!("{}:{caller}", self.case);
        self.runtime.block_on(self.limiter.peek(&name, quota, now_ms)).expect("Redis answers")
    }
}

/// Runs each case on every implementation.
macro_rules! on_every_limiter {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[test]
            fn $case() {
                super::$case(&mlops_service::quota::memory::Limiter::new(1_000));
            })+
        }
        mod redis {
            $(#[test]
            fn $case() {
                super::$case(&super::OnRedis::new(stringify!($case)));
            })+
        }
    };
}

on_every_limiter! {
    the_window_opens_with_the_first_request_and_closes_as_a_whole,
    pace_does_not_matter,
    the_window_with_the_least_room_is_told,
    a_refused_request_consumes_nothing,
    a_refused_request_opens_no_window,
    a_peek_tells_and_consumes_nothing,
    callers_do_not_share,
    a_clock_that_is_set_back_does_not_lock_a_caller_out,
    concurrent_requests_are_counted_exactly,
    coming_near_a_limit_is_told_once_in_a_window,
}

/// A time in milliseconds, not on a whole minute.
const START: i64 = 1_767_000_123_456;

fn quota(text: &str) -> Quota {
    text.parse().unwrap()
}

fn the_window_opens_with_the_first_request_and_closes_as_a_whole(limiter: &dyn Counter) {
    let quota = quota("3 per minute");
    for (after, remaining) in [(0, 2), (1, 1), (59_998, 0)] {
        let decision = limiter.hit(1, &quota, START + after);
        assert!(decision.allowed);
        assert_eq!((decision.remaining, decision.closes_ms), (remaining, START + 60_000));
    }
    let refused = limiter.hit(1, &quota, START + 59_999);
    assert!(!refused.allowed);
    assert_eq!((refused.remaining, refused.retry_ms, refused.retry_after_seconds()), (0, 1, 1));
    assert_eq!(refused.reset_seconds(), 1_767_000_184, "the first whole second at which it is closed");
    assert_eq!(refused.window.to_string(), "3 per 1 minute");
    let next = limiter.hit(1, &quota, START + 60_000);
    assert!(next.allowed);
    assert_eq!((next.remaining, next.closes_ms), (2, START + 120_000));
}

fn pace_does_not_matter(limiter: &dyn Counter) {
    let quota = quota("100 per minute");
    for (caller, pace) in [(1, 0), (2, 5), (3, 10), (4, 200), (5, 590)] {
        let allowed = |i: i64| limiter.hit(caller, &quota, START + i * pace).allowed;
        assert!((0..100).all(allowed), "the first hundred at {pace} ms");
        assert!(!allowed(100), "the 101st at {pace} ms");
    }
}

fn the_window_with_the_least_room_is_told(limiter: &dyn Counter) {
    let quota = quota("5 per day; 2 per minute");
    let told = |after| {
        let decision = limiter.hit(1, &quota, START + after);
        (decision.allowed, decision.window.to_string(), decision.remaining)
    };
    assert_eq!(told(0), (true, "2 per 1 minute".to_owned(), 1));
    assert_eq!(told(1), (true, "2 per 1 minute".to_owned(), 0));
    assert_eq!(told(2), (false, "2 per 1 minute".to_owned(), 0));
    assert_eq!(told(60_000), (true, "2 per 1 minute".to_owned(), 1));
    assert_eq!(told(60_001), (true, "2 per 1 minute".to_owned(), 0));
    assert_eq!(told(120_000), (true, "5 per 1 day".to_owned(), 0));
    assert_eq!(told(120_001), (false, "5 per 1 day".to_owned(), 0));
    let refused = limiter.hit(1, &quota, START + 180_000);
    assert_eq!(refused.retry_ms, 86_400_000 - 180_000);
}

fn a_refused_request_consumes_nothing(limiter: &dyn Counter) {
    let quota = quota("3 per hour; 1 per second");
    assert!(limiter.hit(1, &quota, START).allowed);
    assert!((1..500).all(|after| !limiter.hit(1, &quota, START + after).allowed));
    assert!(limiter.hit(1, &quota, START + 1_000).allowed);
    assert!(limiter.hit(1, &quota, START + 2_000).allowed);
    assert!(!limiter.hit(1, &quota, START + 3_000).allowed);
}

fn a_refused_request_opens_no_window(limiter: &dyn Counter) {
    let quota = quota("2 per 8 seconds; 1 per 3 seconds");
    for (after, allowed) in [(0, true), (3_100, true), (7_000, false), (8_100, true), (10_200, false)] {
        assert_eq!(limiter.hit(1, &quota, START + after).allowed, allowed, "after {after} ms");
    }
}

fn a_peek_tells_and_consumes_nothing(limiter: &dyn Counter) {
    let quota = quota("2 per minute");
    for after in [0, 10_000] {
        let told = limiter.peek(1, &quota, START + after);
        assert_eq!((told.allowed, told.near, told.remaining), (true, false, 2));
        assert_eq!(told.closes_ms, START + after + 60_000, "no window is open yet");
    }
    assert!(limiter.hit(1, &quota, START + 20_000).allowed);
    let told = limiter.peek(1, &quota, START + 30_000);
    assert_eq!((told.allowed, told.remaining, told.closes_ms), (true, 1, START + 80_000));
    assert!(limiter.hit(1, &quota, START + 40_000).near);
    let told = limiter.peek(1, &quota, START + 50_000);
    assert_eq!((told.allowed, told.near, told.retry_ms), (false, false, 30_000));
    assert!(limiter.peek(1, &quota, START + 80_000).allowed);
}

fn callers_do_not_share(limiter: &dyn Counter) {
    let quota = quota("1 per hour");
    assert!((0..50).all(|caller| limiter.hit(caller, &quota, START).allowed));
    assert!((0..50).all(|caller| !limiter.hit(caller, &quota, START).allowed));
}

fn a_clock_that_is_set_back_does_not_lock_a_caller_out(limiter: &dyn Counter) {
    let quota = quota("1 per minute");
    assert!(limiter.hit(1, &quota, START).allowed);
    assert!(limiter.hit(1, &quota, START - 86_400_000).allowed);
}

fn concurrent_requests_are_counted_exactly(limiter: &dyn Counter) {
    let quota = quota("100 per minute");
    let passed: usize = std::thread::scope(|threads| {
        let run = || (0..50).filter(|_| limiter.hit(1, &quota, START).allowed).count();
        let running: Vec<_> = (0..8).map(|_| threads.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
}

fn coming_near_a_limit_is_told_once_in_a_window(limiter: &dyn Counter) {
    let quota = quota("10 per minute; 1000 per day");
    let near = |after| (0..12).filter(|i| limiter.hit(1, &quota, START + after + i).near).collect::<Vec<_>>();
    assert_eq!(near(0), [7], "the eighth of ten");
    assert_eq!(near(60_000), [7]);
    let one = self::quota("1 per minute");
    assert!(limiter.hit(2, &one, START).near);
}

#[test]
fn a_million_callers_take_bounded_memory_and_idle_ones_are_forgotten() {
    let limiter = Limiter::new(10_000);
    let quota = quota("100 per minute");
    for caller in 0..1_000_000_u32 {
        assert!(limiter.hit(caller, &quota, START).allowed);
    }
    assert!(limiter.callers() <= 10_000 + 64, "{}", limiter.callers());
    limiter.sweep(START + 59_999);
    assert!(limiter.callers() > 0);
    limiter.sweep(START + 60_000);
    assert_eq!(limiter.callers(), 0);
}
